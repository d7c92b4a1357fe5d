"""A worker that was taken over sends what it likes: there is an outcome, in time, and no exception."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import engines
import pytest

from visprog.sandbox import Limits, Outcome, Sandbox

from .conftest import Image


class Unguarded(Sandbox):
    """Without the check and the confinement: the worker is taken to be lost."""

    _checked = False
    _confined = False


@pytest.fixture(scope="module")
def taken_over() -> Iterator[Sandbox]:
    limits = Limits(cpu=1, grace=1, time=12, calls=50)
    with Unguarded(limits, library="shapes:LIBRARY", engine="engines:RawFrames", standby=2) as sandbox:
        yield sandbox


TOOLS = {"echo": lambda *args, **kwargs: args, "big": lambda *args: "x" * 200_000}
TYPES = [(Image, ("width", "height"))]


def attack(sandbox: Sandbox, name: str) -> Outcome:
    return sandbox.run(name, tools=TOOLS, inputs={"image": Image(4, 3)}, types=TYPES)


@pytest.fixture(scope="module")
def outcomes(taken_over: Sandbox) -> dict[str, Outcome]:
    names = [*engines.ATTACKS, *engines.LAWFUL]
    jobs = [(name, {"image": Image(4, 3)}) for name in names]
    return dict(zip(names, taken_over.map(jobs, tools=TOOLS, types=TYPES, workers=3), strict=True))


@pytest.mark.parametrize("name", engines.ATTACKS)
def test_broken_frames(outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    if name == "length then nothing":
        assert (outcome.status, outcome.limit) == ("killed", "silence")
    else:
        assert (outcome.status, outcome.limit) == ("killed", "protocol"), outcome
    assert outcome.seconds < 10


@pytest.mark.parametrize("name", engines.LAWFUL)
def test_odd_frames(taken_over: Sandbox, outcomes: dict[str, Outcome], name: str) -> None:
    outcome = outcomes[name]
    assert outcome.status in ("ok", "error")
    assert len(outcome.error or "") <= 500 and len(outcome.error_type or "") <= 500
    assert len(outcome.stdout) <= taken_over.limits.output
    assert outcome.cause is None


@pytest.mark.parametrize("name", ["drip", "silence"])
def test_deadlines_are_absolute(taken_over: Sandbox, name: str) -> None:
    start = time.monotonic()
    outcome = attack(taken_over, name)
    assert (outcome.status, outcome.limit) == ("killed", "silence")
    assert time.monotonic() - start < 10


def test_sends_have_a_deadline(taken_over: Sandbox) -> None:
    start = time.monotonic()
    outcome = attack(taken_over, "flood")
    assert (outcome.status, outcome.limit) in {("killed", "silence"), ("killed", "calls")}
    assert time.monotonic() - start < 15


def test_leaving_is_a_crash(taken_over: Sandbox) -> None:
    outcome = attack(taken_over, "leave")
    assert (outcome.status, outcome.limit) == ("killed", "crash")
    assert "exit code 3" in (outcome.error or "")


def test_a_closed_pipe_is_an_end(taken_over: Sandbox) -> None:
    start = time.monotonic()
    outcome = attack(taken_over, "close")
    assert outcome.status == "killed"
    assert time.monotonic() - start < 10


def test_nothing_is_left(taken_over: Sandbox) -> None:
    taken_over.warm()
    before = len(os.listdir("/proc/self/fd"))
    for name in ("brackets", "leave", "handle unknown"):
        attack(taken_over, name)
    taken_over.warm()
    assert len(os.listdir("/proc/self/fd")) == before

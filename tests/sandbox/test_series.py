"""Runs of one program in few processes: each begins anew, and whatever goes wrong ends the process."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from visprog.sandbox import Limits, Sandbox, Series

from .test_sandbox import children

DOUBLE = "def answer(n):\n    print(n)\n    return double(n) + 1\n"
TOOLS = {"double": lambda n: 2 * n}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu=1.0), standby=0) as sandbox:
        yield sandbox


def workers(sandbox: Sandbox) -> list[int]:
    """The processes that wait for the next inputs of a series."""
    return [worker.pid for waiting in sandbox._standby._series.values() for worker in waiting]


def test_one_process_serves_many_inputs_and_ends_with_the_series(sandbox: Sandbox) -> None:
    with sandbox.series(DOUBLE) as series:
        seen = set()
        for n in range(20):
            outcome = series.run(tools=TOOLS, inputs={"n": n})
            assert (outcome.status, outcome.value, outcome.stdout, outcome.calls) == (
                "ok",
                2 * n + 1,
                f"{n}\n",
                1,
            )
            seen.update(workers(sandbox))
        (pid,) = seen
        assert pid in children()
    assert pid not in children()
    assert series.run(tools=TOOLS, inputs={"n": 1}).value == 3 and not workers(
        sandbox
    )  # closed: a process each


def test_another_program_has_another_process(sandbox: Sandbox) -> None:
    with sandbox.series("result = 1") as one, sandbox.series("result = 2") as other:
        assert (one.run().value, other.run().value, one.run().value) == (1, 2, 1)
        assert len(workers(sandbox)) == 2


@pytest.mark.parametrize(
    "source, first, second",
    [
        ("def answer(n, seen=[]):\n    seen.append(n)\n    return len(seen)", 1, 1),
        ("seen = {}\ndef answer(n):\n    seen[n] = 1\n    return len(seen)", 1, 1),
        ("def answer(n):\n    return [10 ** 400 for i in range(3)] and n", 1, 2),
    ],
)
def test_each_run_begins_anew(sandbox: Sandbox, source: str, first: Any, second: Any) -> None:
    with sandbox.series(source) as series:
        assert [series.run(inputs={"n": n}).value for n in (1, 2)] == [first, second]
        assert len(workers(sandbox)) == 1


def test_handles_of_one_run_are_unknown_in_the_next(sandbox: Sandbox) -> None:
    class Picture:
        width = 3

    source = "def answer(image):\n    return same(image), image.width"
    got = []
    with sandbox.series(source) as series:
        for _ in range(2):
            picture = Picture()
            outcome = series.run(
                tools={"same": lambda image: got.append(image)}, inputs={"image": picture},
                types=[(Picture, ["width"])],
            )  # fmt: skip
            assert outcome.value == (None, 3) and got[-1] is picture


@pytest.mark.parametrize(
    "end, status",
    [("1 // (n - 3)", "error"), ("fail()", "error"), ("2 ** 10 ** 9", "killed"), ("max", "error")],
)
def test_a_run_that_fails_ends_its_process(sandbox: Sandbox, end: str, status: str) -> None:
    def fail() -> None:
        raise ValueError("no")

    with sandbox.series(f"def answer(n):\n    return {end} if n == 3 else n") as series:
        found = []
        for n in (2, 3, 4):
            found.append(series.run(tools={"fail": fail}, inputs={"n": n}).status)
            assert len(workers(sandbox)) == (n != 3)
        assert found == ["ok", status, "ok"]


def test_a_process_that_dies_while_it_waits_is_replaced(sandbox: Sandbox) -> None:
    with sandbox.series("result = 5") as series:
        series.run()
        os.kill(workers(sandbox)[0], signal.SIGKILL)
        assert series.run().value == 5


def test_the_limit_of_processor_time_is_that_of_one_run() -> None:
    with Sandbox(Limits(cpu=0.4), standby=0) as sandbox, sandbox.series("result = sum(range(n))") as series:
        small, large = 4_000_000, 10**11
        began = time.thread_time()
        sum(range(small))
        runs = 1 + int(4 / (time.thread_time() - began))  # twice what the kernel allows to one process
        outcomes = [series.run(inputs={"n": small}) for _ in range(runs)]
        assert {outcome.status for outcome in outcomes} == {"ok"}
        ended = series.run(inputs={"n": large})
        assert ended.status == "killed" and ended.limit in ("cpu", "silence")  # the latter on a busy machine


def test_inputs_that_cannot_cross_lose_no_process(sandbox: Sandbox) -> None:
    with sandbox.series("def answer(n):\n    return n") as series:
        series.run(inputs={"n": 1})
        before = workers(sandbox)
        with pytest.raises(TypeError, match="cannot enter"):
            series.run(inputs={"n": object()})
        assert workers(sandbox) == before and series.run(inputs={"n": 2}).value == 2


def test_many_threads(sandbox: Sandbox) -> None:
    busy, most = [0], [0]
    lock = threading.Lock()

    def double(n: int) -> int:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.01)
        with lock:
            busy[0] -= 1
        return 2 * n

    with sandbox.series(DOUBLE) as series, ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: series.run(tools={"double": double}, inputs={"n": n}).value, range(100))
        assert list(found) == [2 * n + 1 for n in range(100)]
        assert 1 <= len(workers(sandbox)) <= 4 and most[0] > 1


def test_closing_the_sandbox_ends_it_all() -> None:
    before = children()
    sandbox = Sandbox(standby=0)
    series = sandbox.series("result = 1")
    series.run()
    assert children() - before
    sandbox.close()
    assert children() <= before
    series.close()


def test_a_forgotten_series_ends_its_processes(sandbox: Sandbox) -> None:
    series: Series | None = sandbox.series("result = 1")
    assert series is not None
    series.run()
    (pid,) = workers(sandbox)
    series = None
    assert pid not in children()

"""The results of a map while they come: length, progress on standard error, short text."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_tools import FakePlanner, picture
from visprog.agent import Agent
from visprog.answer import Answer
from visprog.errors import VisprogError
from visprog.mapping import progress
from visprog.mapping.map import MapResult, Sources, sources
from visprog.mapping.map_run import MapRun
from visprog.registry import Registry

ONE = "def answer(image):\n    return 1\n"


class Stream(io.StringIO):
    """Standard error of a terminal, a notebook or a file."""

    terminal = False

    def isatty(self) -> bool:
        return self.terminal


class Terminal(Stream):
    terminal = True


Notebook = type("Notebook", (Stream,), {"__module__": "ipykernel.iostream"})


@pytest.fixture
def agent() -> Iterator[Agent]:
    with Agent(FakePlanner(), {}, registry=Registry()) as made:
        yield made


def run_of(statuses: list[Any], images: Sources, shown: bool = True) -> MapRun:
    """A run with these statuses in its results."""

    def results() -> Generator[MapResult, None, None]:
        for i, status in enumerate(statuses):
            yield MapResult(i, str(i), Answer(status))

    return MapRun(results(), images, shown)


def test_the_length_is_that_of_the_images(agent: Agent, tmp_path: Path) -> None:
    for i in range(3):
        picture().save(tmp_path / f"{i}.png")
    (tmp_path / "x.heic").touch()
    run = agent.map("", tmp_path, program=ONE, jobs=1)
    assert len(run) == 3 and bool(run)
    assert [r.answer.value for r in run] == [1, 1, 1] and len(run) == 3
    assert (run.left_out, run.counts) == ({".heic": 1}, {"answered": 3})
    array = np.zeros((2, 8, 8, 3), np.uint8)
    assert [len(agent.map("", images, program=ONE)) for images in ([picture()], (), array)] == [1, 0, 2]


def test_a_run_without_a_known_length_is_a_generator_like_any(agent: Agent) -> None:
    run = agent.map("", (picture() for _ in range(3)), program=ONE, jobs=1)
    with pytest.raises(TypeError, match="number of images is not known: they come from an iterator"):
        len(run)
    assert bool(run) and next(run).answer.value == 1
    assert len(list(run)) == 2
    run.close()
    assert list(run) == []


def test_images_that_are_slow_to_read_are_not_read_to_count_them() -> None:
    class Dataset:
        def __len__(self) -> int:
            return 1000

        def __iter__(self) -> Iterator[Any]:
            raise AssertionError

    assert len(sources(Dataset())) == 1000
    with pytest.raises(TypeError, match="not known"):
        len(sources(Dataset(), wanted=lambda _: True))


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (8, 8, 4), (8, 8, 1)])
def test_one_array_is_not_taken_for_many_images(agent: Agent, shape: tuple[int, ...]) -> None:
    with pytest.raises(VisprogError, match="several images, not one ndarray"):
        agent.map("", np.zeros(shape, np.uint8), program=ONE)


@pytest.mark.parametrize("stream", [Terminal(), Notebook()])
def test_progress_is_a_line_that_is_gone_when_a_result_is_there(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "DELAY", 0)
    monkeypatch.setattr(progress, "INTERVAL", 0)
    run = run_of(["answered", "error"], sources(["a", "b"]))
    next(run)
    assert stream.getvalue().startswith("\r0 of 2 images") and stream.getvalue().endswith(" \r")
    next(run)
    with pytest.raises(StopIteration):
        next(run)
    last = stream.getvalue().split("\r")
    assert last[-3].startswith("2 of 2 images") and last[-3].endswith("s left, 1 without an answer")
    assert not last[-2].strip() and last[-1] == ""


@pytest.mark.parametrize(("stream", "shown"), [(Stream(), True), (Terminal(), False), (None, True)])
def test_no_progress_where_nobody_watches_or_wants_it(
    stream: Stream | None, shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "DELAY", 0)
    assert len(list(run_of(["answered"] * 3, sources(iter("abc")), shown))) == 3
    assert stream is None or stream.getvalue() == ""


def test_short_work_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "DELAY", 1000)
    list(run_of(["answered"] * 3, sources(["a", "b", "c"])))
    assert stream.getvalue() == ""


def test_an_interruption_leaves_no_line_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(progress, "DELAY", 0)

    def interrupted() -> Generator[MapResult, None, None]:
        raise KeyboardInterrupt
        yield

    with pytest.raises(KeyboardInterrupt):
        next(MapRun(interrupted(), sources(["a"]), True))
    assert stream.getvalue().endswith(" \r")


def test_the_text_of_runs_and_results_is_one_short_line() -> None:
    run = run_of(["answered", "refused"], sources(["a", "b", "c"]))
    assert repr(run) == "<MapRun: 0 of 3 images>"
    list(run)
    assert repr(run).startswith("<MapRun: 2 of 3 images, ") and repr(run).endswith(", 1 without an answer>")
    assert repr(run_of([], sources(iter("ab")))) == "<MapRun: 0 images>"
    long = MapResult(3, "x" * 500 + "\n.png", Answer("answered", "word\n" * 500, program="y = 1\n" * 99))
    for result in (long, MapResult(0, "a.png", Answer("error", message="why\n" * 500))):
        assert len(str(result)) < 160 and "\n" not in str(result)

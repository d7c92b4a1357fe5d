"""Batches in time: hanging calls, calls of others, waiting, threads."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.small_tools import picture
from visprog import Agent
from visprog.config import Config
from visprog.errors import BudgetExceeded
from visprog.registry import Registry, Tool, tool
from visprog.runtime.batcher import Batcher, Clock, OutOfTime, Traffic
from visprog.runtime.host import Host, RunEnded
from visprog.values import Image

IMAGE = picture()


class Seconds:
    """The time of a run."""

    def __init__(self, seconds: float, patience: float = 100.0) -> None:
        self.deadline = time.monotonic() + seconds
        self.patience = patience

    @property
    def left(self) -> float:
        return self.deadline - time.monotonic()

    def extend(self, seconds: float) -> None:
        self.deadline += min(seconds, self.patience)


class Backend:
    """Hangs at "hang" until it is let go, and sleeps for a moment at numbers; counts how many work at once."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[list[Any]] = []
        self.now = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        given = [call["x"] for call in calls]
        with self._lock:
            self.batches.append(given)
            self.now += 1
            self.most = max(self.most, self.now)
        if "hang" in given:
            self.go.wait(60)
        time.sleep(sum(x for x in given if isinstance(x, float)))
        with self._lock:
            self.now -= 1
        return [f"{x} done" for x in given]


def test_a_call_that_hangs_ends_with_the_time_of_its_run() -> None:
    backend = Backend()
    batcher = Batcher(backend, Traffic())
    started = time.monotonic()
    with pytest.raises(OutOfTime):
        batcher({"x": "hang"}, Seconds(0.2))
    assert 0.2 <= time.monotonic() - started < 1.2
    # Those who come after do not wait for it.
    assert batcher({"x": "a"}, Seconds(5)) == "a done" and batcher.given_up == 1
    backend.go.set()


def test_the_calls_of_others_in_its_batch_are_made_again() -> None:
    backend = Backend()
    traffic = Traffic()
    batcher = Batcher(backend, traffic)
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher, {"x": 0.3}, Seconds(5))
        while not backend.batches:
            time.sleep(0.01)
        hangs = pool.submit(batcher, {"x": "hang"}, Seconds(0.4))
        others = [pool.submit(batcher, {"x": x}, Seconds(5)) for x in ("a", "b")]
        with pytest.raises(OutOfTime):
            hangs.result(10)
        assert [other.result(10) for other in others] == ["a done", "b done"]
        assert first.result(10) == "0.3 done"
    assert sorted(backend.batches[1], key=str) == ["a", "b", "hang"]
    assert sorted(backend.batches[2]) == ["a", "b"] and traffic.calling == 0
    backend.go.set()


def test_waiting_for_others_does_not_count() -> None:
    batcher = Batcher(Backend(), Traffic(), max_batch=1)
    with ThreadPoolExecutor(3) as pool:
        started = time.monotonic()
        found = [pool.submit(batcher, {"x": 0.4}, Seconds(0.7)) for _ in range(3)]
        assert [each.result(10) for each in found] == ["0.4 done"] * 3
    assert time.monotonic() - started >= 1.2  # one after another, the last after twice its time


def test_waiting_for_others_counts_at_last() -> None:
    backend = Backend()
    batcher = Batcher(backend, Traffic(), max_batch=1)
    with ThreadPoolExecutor(1) as pool:
        hangs = pool.submit(batcher, {"x": "hang"}, Seconds(3))
        while not backend.batches:
            time.sleep(0.01)
        started = time.monotonic()
        with pytest.raises(OutOfTime):
            batcher({"x": "a"}, Seconds(0.2, patience=0.3))
        assert 0.4 < time.monotonic() - started < 1.5
        backend.go.set()
        assert hangs.result(10) == "hang done"


@pytest.mark.parametrize(("threads", "most"), [(1, 1), (3, 3)])
def test_as_many_batches_at_once_as_are_allowed(threads: int, most: int) -> None:
    backend = Backend()
    batcher = Batcher(backend, Traffic(), max_batch=1, max_threads=threads)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: batcher({"x": 0.1}, Seconds(20)), range(6)))
    assert backend.most == most


def test_threads_end_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Batcher, "LINGER", 0.05)
    batcher = Batcher(Backend(), Traffic())
    for _ in range(3):
        assert batcher({"x": "a"}) == "a done"
        time.sleep(0.2)
    assert batcher._threads == batcher._idle == 0


def test_the_clock_of_a_run_is_one() -> None:
    clock: Clock = Host(Registry([])).new_run()
    assert 0 < clock.left <= Config().seconds and clock.patience == 10 * Config().seconds


def hanging(seconds: float) -> Tool:
    """A tool that takes too long."""

    @tool(cache=False)
    def nap(image: Image) -> bool:
        """Sleeps."""
        time.sleep(seconds)
        return True

    return nap


def test_a_run_ends_in_time_whatever_its_tool_does() -> None:
    nap = hanging(20)
    run = Host(Registry([nap]), Config(seconds=0.3)).new_run()
    started = time.monotonic()
    with pytest.raises(RunEnded, match=r"took more than 0.3 s while nap worked; raise 'seconds'") as ended:
        run.call(nap, IMAGE)
    assert time.monotonic() - started < 1.3
    assert isinstance(ended.value.reason, BudgetExceeded)
    assert [call.error for call in run.calls] == [str(ended.value)]


def test_a_program_ends_in_time_whatever_its_tool_does() -> None:
    with Agent(registry=Registry([hanging(20)]), seconds=1.0) as agent:
        started = time.monotonic()
        answer = agent.run("return nap(image)", IMAGE)
        assert time.monotonic() - started < 2.0
    assert answer.status == "error" and "took more than 1 s" in answer.message


def test_programs_that_wait_for_each_other_have_their_whole_time() -> None:
    """Three programs share one tool, which works on one call at a time."""

    @tool(cache=False, alone=True)
    def nap(image: Image) -> bool:
        """Sleeps."""
        time.sleep(0.5)
        return True

    with Agent(registry=Registry([nap]), seconds=1.2, standby=3) as agent, ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: agent.run("return nap(image)", IMAGE), range(3)))
    assert [answer.status for answer in answers] == ["answered"] * 3
    assert max(answer.seconds for answer in answers) > 1.3  # 3 x 0.5, and what the programs take


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own() -> None:
    batcher = Batcher(Backend(), Traffic())
    assert batcher({"x": "a"}) == "a done"
    child = os.fork()
    if not child:
        os._exit(0 if batcher({"x": "b"}, Seconds(5)) == "b done" else 1)
    assert os.waitpid(child, 0)[1] == 0

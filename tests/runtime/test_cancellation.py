"""Work that is cancelled: where it ends, and what it says."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.planner.test_turns import LOOK, Scripted
from tests.runtime.processes.hostile import obey
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent, Answer
from visprog.planner import PlanRequest
from visprog.runtime.cancellation import NEVER, Cancellation, Cancelled, current_cancellation
from visprog.runtime.events import CallStarted, Event

COUNT = 'def answer(image):\n    return len(detect(image, "dog"))\n'


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    settings = {"seconds": 300, "calls": 1_000_000}
    with Agent(FakePlanner(*[COUNT] * 9), settings, registry=REGISTRY | [obey]) as made:
        yield made


def run_and_cancel(agent: Agent, program: str) -> Answer:
    """The answer of a program that is cancelled after it has called a tool."""
    cancellation, timers = Cancellation(), []

    def listen(event: Event) -> None:
        if isinstance(event, CallStarted) and not timers:
            timers.append(threading.Timer(0.3, cancellation.cancel))
            timers[0].start()

    with cancellation.in_force():
        return agent.run(program, picture(), on_event=listen)


def test_a_tool_in_its_process_is_ended(agent: Agent) -> None:
    begun = time.monotonic()
    answer = run_and_cancel(agent, "def answer(image):\n    return obey(image, 'sleep')")
    assert answer.status == "error" and answer.message == str(Cancelled())
    assert time.monotonic() - begun < 30  # it sleeps for a minute
    assert agent.run("def answer(image):\n    return obey(image, 'nothing')", picture()).status == "answered"


def test_a_program_ends_at_its_next_call(agent: Agent) -> None:
    loop = (
        "    while True:\n        try:\n            detect(image, 'dog')\n        except:\n            pass"
    )
    answer = run_and_cancel(agent, f"def answer(image):\n{loop}")
    assert answer.status == "error" and answer.message == str(Cancelled())


def test_no_program_is_asked_for_any_more(agent: Agent) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    asked = len(agent.planner.asked)  # type: ignore[attr-defined]
    with cancellation.in_force():
        answer = agent.ask("How many dogs?", picture())
    assert answer.message == str(Cancelled()) and len(agent.planner.asked) == asked  # type: ignore[attr-defined]
    assert agent.ask("How many dogs?", picture()).value == 2


def test_no_further_turn_is_taken() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with Agent(Scripted(LOOK), {}, registry=REGISTRY, turns=3) as agent, cancellation.in_force():
        answer = agent.ask("How many dogs?", picture())
        assert answer.status == "error" and str(Cancelled()) in answer.message


def test_a_cancelled_plan_is_not_mended() -> None:
    cancellation = Cancellation()

    class Leaving(FakePlanner):
        def plan(self, request: PlanRequest, **given: Any) -> Any:
            cancellation.cancel()
            return super().plan(request, **given)

    planner = Leaving("def answer(image):\n    return detct(image)\n", COUNT)
    with Agent(planner, {}, registry=REGISTRY) as agent, cancellation.in_force():
        assert agent.ask("How many dogs?", picture()).status == "error"
    assert len(planner.asked) == 1


def test_other_threads_are_not_meant() -> None:
    cancellation, seen = Cancellation(), []
    with cancellation.in_force():
        thread = threading.Thread(target=lambda: seen.append(current_cancellation()))
        thread.start()
        thread.join()
        assert current_cancellation() is cancellation
    assert seen == [NEVER] and current_cancellation() is NEVER

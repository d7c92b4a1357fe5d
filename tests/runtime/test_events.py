"""Events: what a listener is told while a question is answered, and that it disturbs nothing."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.small_tools import REGISTRY, FakePlanner, detect, picture
from visprog.agent import Agent
from visprog.commands.status import Status
from visprog.commands.terminal import RunStatus
from visprog.errors import ToolError
from visprog.runtime.events import Answered, CallEnded, CallStarted, Checked, Event, Planned, emitter_of
from visprog.runtime.host import Host

COUNT = 'def answer(image):\n    return len(detect(image, "dog"))\n'
TWICE = COUNT.replace("return", 'detect(image, "dog")\n    return')
WRONG = COUNT.replace("detect", "detekt")
CRASH = COUNT.replace("dog", "crash")


def agent_with(*programs: str, **settings: Any) -> Agent:
    return Agent(FakePlanner(*programs), settings, registry=REGISTRY)


@pytest.fixture
def events() -> Iterator[list[Event]]:
    found: list[Event] = []
    yield found
    assert [e.time for e in found] == sorted(e.time for e in found)


def names(events: list[Event]) -> list[str]:
    return [type(e).__name__ for e in events]


def test_a_question_with_a_repair_in_the_order_of_its_events(events: list[Event]) -> None:
    with agent_with(WRONG, COUNT) as agent:
        answer = agent.ask("How many dogs?", picture(), on_event=events.append)
    planned, checked, again, good, started, ended, last = events
    assert isinstance(planned, Planned) and isinstance(again, Planned)
    assert (planned.question, planned.program, planned.planner) == ("How many dogs?", WRONG, "fake")
    assert isinstance(checked, Checked) and [d.code for d in checked.diagnostics] == ["unknown-tool"]
    assert again.program == COUNT and isinstance(good, Checked) and good.diagnostics == ()
    assert isinstance(started, CallStarted) and isinstance(ended, CallEnded)
    assert (started.tool, started.line, started.caller) == ("detect", 2, "")
    assert started.arguments == {"image": "test.png (60 x 40)", "what": "'dog'"}
    assert ended.call == started.call and (ended.error, ended.cached) == ("", False) and ended.result
    assert isinstance(last, Answered)
    assert (last.status, last.value, last.images, last.seconds) == (
        "answered", "2", ("test.png",), answer.seconds,
    )  # fmt: skip
    assert len({e.run for e in events}) == 1


def test_a_program_that_is_mended_after_its_run(events: list[Event]) -> None:
    with agent_with(CRASH, COUNT) as agent:
        agent.ask("How many dogs?", picture(), on_event=events.append)
    one = ["Planned", "Checked", "CallStarted", "CallEnded"]
    assert names(events) == [*one, *one, "Answered"]
    failed = events[3]
    assert isinstance(failed, CallEnded) and "the detector fell over" in failed.error and not failed.result


def test_a_call_that_is_known_is_marked(events: list[Event]) -> None:
    with agent_with() as agent:
        agent.run(TWICE, picture(), on_event=events.append)
    assert names(events) == ["Checked", *["CallStarted", "CallEnded"] * 2, "Answered"]
    assert [e.cached for e in events if isinstance(e, CallEnded)] == [False, True]
    assert len({e.call for e in events if isinstance(e, CallStarted)}) == 2


def test_a_call_with_wrong_arguments_starts_and_ends(events: list[Event]) -> None:
    run = Host(REGISTRY).new_run(emitter_of(events.append))
    with pytest.raises(ToolError, match="must be str"):
        run.call(detect, picture(), 3)
    started, ended = events
    assert isinstance(started, CallStarted) and started.arguments == {
        "image": "test.png (60 x 40)",
        "what": "3",
    }
    assert isinstance(ended, CallEnded) and ended.call == started.call and "must be str" in ended.error


def test_no_program(events: list[Event]) -> None:
    with agent_with() as agent:
        agent.ask("How many dogs?", picture(), on_event=events.append)
    planned, last = events
    assert isinstance(planned, Planned) and planned.program == ""
    assert isinstance(last, Answered) and (last.status, last.value) == ("error", "") and last.message


def test_a_listener_that_raises_disturbs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Event) -> None:
        raise RuntimeError(f"cannot show a {type(event).__name__}")

    with agent_with(COUNT) as agent, caplog.at_level(logging.WARNING):
        assert agent.ask("How many dogs?", picture(), on_event=broken).value == 2
        results = agent.map("", [picture(value=v) for v in range(4)], program=COUNT, on_event=broken)
        assert [r.answer.value for r in results] == [2] * 4
    assert len([r for r in caplog.records if "a listener to events raised" in r.message]) == 2


def test_many_runs_at_once_are_told_apart() -> None:
    with agent_with(*[COUNT] * 8) as agent, ThreadPoolExecutor(4) as pool:
        found: list[Event] = []

        def ask(i: int) -> int:
            mine: list[Event] = []
            agent.ask("How many?", picture(value=i), on_event=mine.append)
            found.extend(mine)
            (run,) = {e.run for e in mine}
            assert names(mine)[-1] == "Answered"
            return run

        assert len(set(pool.map(ask, range(8)))) == 8 and len(found) == 8 * 5


def test_each_image_of_a_map_is_a_run(events: list[Event]) -> None:
    images = [picture(value=v, name=f"{v}.png") for v in range(5)]
    with agent_with(COUNT) as agent:
        list(agent.map("How many?", images, jobs=1, on_event=events.append))
    assert names(events)[:2] == ["Planned", "Checked"]
    answered = [e for e in events if isinstance(e, Answered)]
    assert [e.images for e in answered] == [(f"{v}.png",) for v in range(5)]
    assert len({e.run for e in events}) == 6
    with agent_with(*[COUNT + f"# {i}\n" for i in range(5)]) as agent:
        events.clear()
        list(agent.map("How many?", images, jobs=1, plan_each=True, on_event=events.append))
    assert names(events) == ["Planned", "Checked", "CallStarted", "CallEnded", "Answered"] * 5


def test_the_status_of_a_run_in_a_terminal() -> None:
    status, shown = Status("planning"), []
    show = RunStatus(status)

    def listen(event: Event) -> None:
        show(event)
        shown.append(str(status.__rich__()))

    with agent_with(WRONG, COUNT) as agent:
        agent.ask("How many dogs?", picture(), on_event=listen)
    assert shown == [
        "checking…", "planning again…", "checking…", "running…", "detect…", "running…", "running…",
    ]  # fmt: skip
    status._since -= 2.1
    assert re.fullmatch(r"running \([23]\.\d s\)…", str(status.__rich__()))

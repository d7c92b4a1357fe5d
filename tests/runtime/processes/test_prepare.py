"""Processes that get ready before their first call: it finds them ready, and everything else stays as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.processes import hostile
from tests.small_tools import picture
from visprog import Agent
from visprog.config import Config
from visprog.errors import ToolError
from visprog.planner.base import Plan, PlanRequest
from visprog.runtime.host import Host
from visprog.runtime.processes import launch
from visprog.runtime.processes.launch import Confinement, launch_early
from visprog.runtime.processes.pool import NATIVE, ToolProcesses
from visprog.runtime.processes.process import Memory, ToolProcess

pytestmark = pytest.mark.skipif(os.name != "posix", reason="tool processes need Linux or macOS")

IMAGE = picture()
LIMITS = Memory(1 << 30, 1 << 30)


@pytest.fixture
def processes() -> Iterator[ToolProcesses]:
    made = ToolProcesses()
    yield made
    made.pool.close()


def host(processes: ToolProcesses, **options: Any) -> Host:
    chosen = {"load_and_say": {"backend": "loader", **options}}
    return Host(hostile.REGISTRY, Config.of({"tools": chosen}), loader=processes)


def test_a_backend_is_loaded_before_its_first_call(processes: ToolProcesses) -> None:
    made = host(processes)
    made.prepare("load_and_say")
    assert processes.pool.processes() == {"loader": 1}
    made.prepare("load_and_say")  # it is told once
    run = made.new_run()
    assert run.call(hostile.load_and_say, IMAGE, "loaded:") == "loaded: True"
    assert processes.pool.processes() == {"loader": 1}


def test_what_cannot_be_loaded_is_an_error_of_the_call_alone(processes: ToolProcesses) -> None:
    made = host(processes, order="error")
    made.prepare("load_and_say")
    made.prepare("no such tool")
    with pytest.raises(ToolError, match="OSError: no weights"):
        made.new_run().call(hostile.load_and_say, IMAGE, "loaded:")


def test_a_backend_that_crashes_while_it_is_loaded_is_called_all_the_same(processes: ToolProcesses) -> None:
    made = host(processes, order="abort")
    made.prepare("load_and_say")
    (process,) = processes.pool._idle["loader"]
    process._process.wait(20)
    assert made.new_run().call(hostile.load_and_say, IMAGE, "loaded:") == "loaded: False"


def test_others_do_not_wait_for_what_is_loaded(processes: ToolProcesses) -> None:
    made = host(processes, order="hang", process=NATIVE)
    made.prepare("load_and_say")
    assert made.new_run().call(hostile.load_and_say, IMAGE, "loaded:") == "loaded: False"


def test_only_what_shares_the_process_of_plain_functions_is_loaded_on_a_guess() -> None:
    processes = ToolProcesses()
    with Agent(config={}, registry=hostile.REGISTRY, loader=processes) as agent:
        agent.host.start(["load_and_say", "rest"])
        assert set(processes.pool.processes()) == {NATIVE}
    processes.pool.close()


class Expecting:
    """A planner that notes what it was asked for, and expects a tool."""

    name = "expecting"

    def plan(self, request: PlanRequest, *, failed: Any = None, n: int = 1) -> list[Plan]:
        request.expect("load_and_say")
        return [Plan("def answer(image):\n    return process_id(image)\n", self.name)]


def test_what_a_planner_expects_gets_ready() -> None:
    processes = ToolProcesses()
    with Agent(Expecting(), config={}, registry=hostile.REGISTRY, loader=processes) as agent:
        answer = agent.ask("What is the number?", IMAGE)
        assert answer.status == "answered", answer.message
        assert "loader" in processes.pool.processes()
        number = agent.run("def answer(image):\n    return load_and_say(image, 'loaded:')\n", IMAGE)
        assert number.value == "loaded: True"
    processes.pool.close()


def test_nothing_starts_for_tools_in_the_process_of_the_host() -> None:
    processes = ToolProcesses()
    made = Host(hostile.REGISTRY, Config(in_process=True))
    made.start(["load_and_say"])
    made.prepare("load_and_say")
    assert processes.pool.processes() == {}
    assert made.new_run().call(hostile.process_id, IMAGE) == os.getpid()


def test_a_process_that_was_launched_early_is_the_next_of_its_kind() -> None:
    confinement = Confinement(writable=("/nowhere",))
    launch_early(confinement)
    early = launch._early[confinement]
    process = ToolProcess(LIMITS, confinement)
    another = ToolProcess(LIMITS, confinement)
    try:
        process.wait()
        assert process.pid == early.process.pid != another.pid
        assert confinement not in launch._early
    finally:
        process.close()
        another.close()


def test_a_process_that_nobody_took_ends_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "_early", {})
    launch_early(Confinement(writable=("/nowhere",)))
    (early,) = launch._early.values()
    launch._end_early()
    assert early.process.returncode is not None and not Path(early.folder).exists()
    assert launch._early == {}

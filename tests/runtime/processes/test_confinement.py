"""How far tool processes are confined: found out by trying, in processes of each kind."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.runtime.processes import hostile
from tests.small_tools import picture
from visprog.config import Config
from visprog.registry import default_registry
from visprog.runtime.host import Host
from visprog.runtime.processes.launch import Confinement
from visprog.runtime.processes.pool import ToolProcesses
from visprog.runtime.processes.process import Memory, ToolProcess, Work
from visprog.values import Box, Image

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are confined on Linux")

WORK = Work(0, "", "tests.runtime.processes.hostile:attempt", ())
Attempt = Callable[[str], str]


@pytest.fixture
def attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[Confinement | None], Attempt]]:
    """Start a process, and get what tries something in it."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    monkeypatch.setenv("HF_TOKEN", "secret")
    started = []
    image = Image(picture().pixels, name=str(tmp_path))

    def start(confinement: Confinement | None) -> Attempt:
        process = ToolProcess(Memory(1 << 40, 1 << 40), confinement)
        started.append(process)
        process.wait()
        if confinement is not None and (process.how["landlock"] < 4 or not process.how["no_new_privs"]):
            pytest.skip(f"this kernel confines little: {process.how}")
        return lambda what: str(process.run(WORK, [{"image": image, "what": what}])[0])

    yield start
    for process in started:
        process.close()


def test_a_confined_process_reads_and_computes_and_nothing_else(attempt: Any) -> None:
    found = attempt(Confinement())
    assert found("read") == found("write a temporary file") == "done"
    denied = {what: found(what) for what in ("write", "connect", "socket", "run", "signal")}
    assert denied == dict.fromkeys(denied, "PermissionError")
    assert found("keys") == ""


def test_a_process_that_is_not_confined_does_as_it_likes(attempt: Any) -> None:
    found = attempt(None)
    for what in ("read", "write", "write a temporary file", "socket", "run", "signal"):
        assert found(what) == "done", what
    assert set(found("keys").split(",")) >= {"OPENAI_API_KEY", "HF_TOKEN"}


def test_the_network_is_open_until_a_model_is_loaded(attempt: Any, tmp_path: Path) -> None:
    found = attempt(Confinement(network=True, writable=(str(tmp_path),)))
    assert found("threads") == "done"  # the first batch: from now on it is cut off
    assert found("socket") == found("socket in an older thread") == "PermissionError"
    assert found("write") == "done" and found("run") == "PermissionError"
    found = attempt(Confinement(network=True))
    assert found("socket") == "done" and found("write") == "PermissionError"


def test_the_folder_of_a_process_goes_with_it(attempt: Any) -> None:
    process = ToolProcess(Memory(1 << 40, 1 << 40), Confinement())
    process.wait()
    folder = Path(process._launched.folder)
    assert folder.is_dir()
    process.close()
    assert not folder.exists()


def test_tools_of_this_package_are_confined_and_others_are_not() -> None:
    processes = ToolProcesses()
    tools = default_registry() | hostile.REGISTRY
    run = Host(tools, Config(), loader=processes).new_run()
    try:
        run.call(tools["crop"], picture(), Box(0, 0, 9, 9))
        run.call(hostile.process_id, picture())
        how = {group: [p.how for p in idle] for group, idle in processes.pool._idle.items()}
    finally:
        processes.pool.close()
    assert how["functions"] == [{}] and how["native"][0]["no_new_privs"]

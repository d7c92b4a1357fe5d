"""Tools in processes: whatever they do, the run ends in time, and others lose nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.runtime.processes import hostile
from tests.small_tools import picture
from visprog import Agent
from visprog.config import Config
from visprog.errors import ConfigError, Refused, ToolError
from visprog.registry import BACKENDS, Registry, Tool, tool
from visprog.runtime.batcher import OutOfTime
from visprog.runtime.host import Host, RunEnded
from visprog.runtime.processes.pool import InProcess, ToolProcesses
from visprog.values import Box, Image

pytestmark = pytest.mark.skipif(os.name != "posix", reason="tool processes need Linux or macOS")

REGISTRY = hostile.REGISTRY
IMAGE = picture()
LARGE = Image.open(np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8), name="large.png")


@pytest.fixture(scope="module")
def processes() -> Iterator[ToolProcesses]:
    made = ToolProcesses()
    yield made
    made.pool.close()


def host(processes: ToolProcesses, **settings: Any) -> Host:
    return Host(REGISTRY, Config(**settings), loader=processes)


def running(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_tools_work_in_another_process(processes: ToolProcesses) -> None:
    run = host(processes).new_run()
    (pid,) = {run.call(hostile.process_id, IMAGE) for _ in range(3)}
    assert pid != os.getpid() and processes.pool.processes()["functions"] >= 1


@pytest.mark.parametrize("order", ["sleep", "loop", "hold", "deaf", "child"])
def test_a_tool_that_hangs_ends_with_its_run(order: str, processes: ToolProcesses) -> None:
    hosts = host(processes, seconds=60), host(processes, seconds=0.5)
    pid = hosts[0].new_run().call(hostile.process_id, IMAGE)
    run = hosts[1].new_run()
    with pytest.raises(RunEnded, match=r"more than 0.5 s while obey worked"):
        run.call(hostile.obey, IMAGE, order)
    assert time.monotonic() - run.started < 1.5
    for _ in range(100):
        if not running(pid):
            break
        time.sleep(0.02)
    assert not running(pid)
    assert hosts[0].new_run().call(hostile.obey, IMAGE, "rest") == "rest done"


@pytest.mark.parametrize(
    ("order", "how"),
    [
        ("segfault", "SIGSEGV"),
        ("abort", "SIGABRT"),
        ("exit", "exit code 3"),
        ("kill", "SIGKILL, perhaps for want of memory"),
        ("close", "it ended with exit code"),
        ("gpu", "its GPU failed: CUDA error: device-side assert triggered"),
    ],
)
def test_a_tool_that_crashes_is_an_error(order: str, how: str, processes: ToolProcesses) -> None:
    run = host(processes).new_run()
    for _ in range(2):  # the second time it is not even tried
        with pytest.raises(ToolError, match=f"it crashed the process of the tool twice.*{how}"):
            run.call(hostile.obey, IMAGE, order)
    assert run.calls[1].seconds < 0.1 or order == "kill"  # which may have been meant for another
    assert run.call(hostile.obey, IMAGE, "rest") == "rest done"


def test_a_tool_that_takes_too_much_memory_is_ended() -> None:
    small = ToolProcesses(memory=300 << 20)
    try:
        run = host(small).new_run()
        with pytest.raises(ToolError, match="it took more than 300 MiB of memory"):
            run.call(hostile.obey, IMAGE, "memory")
    finally:
        small.pool.close()


def test_a_process_that_leaks_is_replaced_between_calls() -> None:
    small = ToolProcesses(memory=300 << 20)
    try:
        run = host(small).new_run()
        pids = set()
        for _ in range(16):
            assert run.call(hostile.obey, IMAGE, "leak") == "leak done"
            pids.add(run.call(hostile.process_id, IMAGE))
        assert 1 < len(pids) < 8
    finally:
        small.pool.close()


def test_what_tools_raise_arrives(processes: ToolProcesses) -> None:
    run = host(processes).new_run()
    with pytest.raises(Refused, match="too dark"):
        run.call(hostile.obey, IMAGE, "refuse")
    with pytest.raises(ToolError, match="obey failed: KeyError: 'nothing'"):
        run.call(hostile.obey, IMAGE, "error")
    with pytest.raises(ToolError, match="obey failed: SystemExit: enough"):
        run.call(hostile.obey, IMAGE, "sys.exit")
    run.call(hostile.obey, IMAGE, "caution")
    assert run.calls[-1].cautions == ("look again",)


def test_what_tools_print_is_not_printed_here(
    processes: ToolProcesses, capfd: pytest.CaptureFixture[str]
) -> None:
    host(processes).new_run().call(hostile.obey, IMAGE, "flood")
    assert "xxx" not in capfd.readouterr().out


def test_plain_functions_work_side_by_side_unless_they_are_alone(processes: ToolProcesses) -> None:
    made = host(processes, seconds=10)

    def pids(tool: Tool) -> list[int]:
        with ThreadPoolExecutor(3) as pool:
            return list(pool.map(lambda _: made.new_run().call(tool, IMAGE, 0.3), range(3)))

    assert len(set(pids(hostile.nap))) == 3
    assert len(set(pids(hostile.nap_alone))) == 1


def test_others_lose_nothing_when_a_call_hangs_or_crashes(processes: ToolProcesses) -> None:
    """Two runs in one batch with a third that hangs, or that crashes the process."""
    for order in ("sleep", "crash"):
        short, long = host(processes, seconds=1.0), host(processes, seconds=30)
        batcher = long.batcher(hostile.rest)
        # Three programs run, so that the first to call waits a little for the others.
        with ThreadPoolExecutor(4) as pool, long.new_run(), long.new_run(), long.new_run():
            batcher._seconds = 80.0
            bad = pool.submit(batcher, {"image": IMAGE, "what": order}, short.new_run())
            good = [pool.submit(batcher, {"image": IMAGE, "what": what}, long.new_run()) for what in "ab"]
            assert [each.result(20).split()[0] for each in good] == ["a", "b"]
            with pytest.raises(OutOfTime if order == "sleep" else ToolError):
                bad.result(20)


def test_a_backend_keeps_its_process_and_its_options(processes: ToolProcesses) -> None:
    run = Host(
        REGISTRY, Config.of({"tools": {"rest": {"backend": "sleeper", "size": 7}}}), loader=processes
    ).new_run()
    words = {run.call(hostile.rest, IMAGE, "a") for _ in range(3)}
    assert len(words) == 1 and words.pop().endswith(" 7")
    with pytest.raises(ToolError, match="rest failed: ValueError: odd"):
        run.call(hostile.rest, IMAGE, "odd")


def test_tools_of_another_process_call_others_through_the_host(processes: ToolProcesses) -> None:
    red = Image.open(np.full((60, 60, 3), (220, 20, 20), np.uint8))
    run = host(processes, seconds=20).new_run()
    assert run.call(hostile.by_way, red, "red") is True
    assert [(call.tool, call.caller) for call in run.calls] == [("has_color", "by_way"), ("by_way", "")]
    # The process that waits answers the inner call itself.
    pid = run.call(hostile.process_id, IMAGE)
    assert run.call(hostile.ask_nap, IMAGE, 0.0) == pid


def test_a_hang_behind_another_tool_ends_with_the_run(processes: ToolProcesses) -> None:
    run = host(processes, seconds=0.5).new_run()
    with pytest.raises(RunEnded):
        run.call(hostile.ask_nap, IMAGE, 60.0)
    assert time.monotonic() - run.started < 1.5
    assert host(processes).new_run().call(hostile.ask_nap, IMAGE, 0.0) != os.getpid()


def test_images_come_back_as_the_objects_that_they_are(processes: ToolProcesses) -> None:
    """Tools link what they find to its image by identity."""
    run = host(processes).new_run()
    crop = LARGE.crop(Box(10, 10, 50, 50))
    inner = crop.crop(Box(20, 20, 30, 30))
    given = [LARGE, crop, inner, IMAGE, LARGE]
    assert all(one is other for one, other in zip(run.call(hostile.same, given), given, strict=True))
    (region,) = run.call(hostile.find, inner)
    assert region.image is LARGE


def test_arrays_and_pil_images_become_values_before_they_cross(processes: ToolProcesses) -> None:
    run = host(processes).new_run()
    assert (run.call(hostile.invert, LARGE).pixels == 255 - LARGE.pixels).all()
    crop = LARGE.crop(Box(100, 50, 300, 250))
    assert run.call(hostile.corner, crop).box == Box(100, 50, 105, 55)
    mask = run.call(hostile.bright, crop)
    assert mask.box == crop.box and (mask.pixels == (crop.pixels.mean(2) > 127)).all()


def test_many_images_take_no_memory_in_the_end(processes: ToolProcesses) -> None:
    run = host(processes, cache=0).new_run()
    sizes = []
    for number in range(180):
        pid = run.call(hostile.process_id, Image.open(np.full((1000, 1500, 3), number, np.uint8)))
        sizes.append(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096)
    assert sizes[-1] < sizes[90] + (60 << 20)
    assert len(os.listdir("/proc/self/fd")) < 150


def test_what_cannot_be_imported_stays_here() -> None:
    @tool(cache=False)
    def local(image: Image) -> int:
        """Number of this process."""
        return os.getpid()

    made = ToolProcesses()
    run = Host(Registry([local]), loader=made).new_run()
    assert run.call(local, IMAGE) == os.getpid() and not made.pool.processes()


def test_what_only_this_process_can_import_stays_here(
    processes: ToolProcesses,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "elsewhere_tools.py").write_text(
        "import os\nfrom visprog import Image, tool\n\n@tool\ndef where(image: Image) -> int:\n"
        '    """Number of the process."""\n    return os.getpid()\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    import elsewhere_tools  # type: ignore[import-not-found]

    monkeypatch.undo()
    run = Host(Registry([elsewhere_tools.where]), loader=processes).new_run()
    assert run.call(elsewhere_tools.where, IMAGE) == os.getpid()
    assert "another cannot import it" in caplog.text


def test_backends_share_the_processes_that_the_settings_name() -> None:
    made = ToolProcesses()
    settings = {"rest": {"process": "mine"}, "obey": {"process": "mine"}, "process_id": {"process": "host"}}
    run = Host(REGISTRY, Config.of({"tools": settings}), loader=made).new_run()
    try:
        assert run.call(hostile.process_id, IMAGE) == os.getpid()
        run.call(hostile.rest, IMAGE, "a")
        run.call(hostile.obey, IMAGE, "rest")
        assert made.pool.processes() == {"mine (settings)": 1}
    finally:
        made.pool.close()
    with pytest.raises(ConfigError, match=r"\[tools.rest\]: 'process' must be a name, not 3"):
        Config.of({"tools": {"rest": {"process": 3}}})


def test_the_memory_of_processes_is_a_setting() -> None:
    with Agent(registry=REGISTRY, process_memory=300) as agent:
        answer = agent.run('return obey(image, "memory")', IMAGE)
        assert answer.status == "error" and "it took more than 300 MiB of memory" in answer.message
        (pool,) = {agent.host.batcher(hostile.obey).backend.pool}
    assert pool.processes() == {}


def test_in_process_is_a_setting() -> None:
    assert Host(REGISTRY, Config(in_process=True)).loader is BACKENDS
    assert isinstance(Host(REGISTRY, Config(in_process=False)).loader, ToolProcesses)


def test_what_is_known_without_a_call_is_the_backends(processes: ToolProcesses) -> None:
    from visprog.registry import default_registry

    made = Host(default_registry(), Config(), loader=processes)
    assert (
        made.in_force["detect"].sees
        == Host(default_registry(), Config(), loader=BACKENDS).in_force["detect"].sees
    )
    assert isinstance(made.batcher(default_registry()["detect"]).backend, InProcess)


def test_an_agent_answers_from_processes(processes: ToolProcesses) -> None:
    with Agent(registry=REGISTRY, loader=processes, seconds=3.0) as agent:
        answer = agent.run("return process_id(image)", IMAGE)
        assert answer.status == "answered" and answer.value != os.getpid()
        answer = agent.run('return obey(image, "segfault")', IMAGE)
        assert answer.status == "error" and "crashed the process of the tool twice" in answer.message
        answer = agent.run('return obey(image, "loop")', IMAGE)
        assert answer.status == "error" and "more than 3 s while obey worked" in answer.message
        assert answer.seconds < 4


def test_processes_end_with_the_host() -> None:
    code = (
        "import os, sys\nfrom tests.runtime.processes.hostile import process_id\n"
        "from tests.small_tools import picture\n"
        "from visprog.registry import Registry\nfrom visprog.runtime.host import Host\n"
        "print(Host(Registry([process_id])).new_run().call(process_id, picture()), flush=True)\n"
        "sys.argv[1] == 'wait' and sys.stdin.read()\n"
    )
    for how in ("end", "wait"):
        child = subprocess.Popen(
            [sys.executable, "-c", code, how],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[3],
            text=True,
        )
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        if how == "wait":
            child.send_signal(signal.SIGKILL)
        child.wait(20)
        for _ in range(250):
            if not running(pid):
                break
            time.sleep(0.02)
        assert not running(pid)


@pytest.mark.parametrize(
    ("order", "message"),
    [("segfault", "crashed the process of the tool twice"), ("loop", "took more than 2 s while obey worked")],
)
def test_an_image_that_crashes_or_hangs_a_tool_is_one_error_of_many(
    order: str, message: str, tmp_path: Path
) -> None:
    for number in range(12):
        PIL.Image.new("RGB", (30 + number, 20)).save(tmp_path / f"{number:02}.png")
    program = f'return obey(image, "{order}" if image.width in (33, 38) else "rest")'
    with Agent(registry=REGISTRY, seconds=2.0) as agent:
        results = list(agent.map("?", tmp_path, program=program, jobs=4, progress=False))
    bad = {i for i, result in enumerate(results) if result.answer.status == "error"}
    assert bad == {3, 8} and all(message in results[i].answer.message for i in bad)
    assert all(result.answer.value == "rest done" for i, result in enumerate(results) if i not in bad)

"""Whatever happens around a run, there is an answer or one clear error, and nothing is left behind."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import engines  # noqa: F401 - the library of the tests is on the path
import pytest

from visprog.sandbox import Limits, Sandbox, SandboxUnavailable

from .test_sandbox import children, is_running
from .weaken import copy_of_repository

ROOT = Path(__file__).parents[2]
SPIN = "ready()\nwhile True: pass\nresult = 1"

CHILDREN = (
    inspect.getsource(children)
    + """
import json, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored by what is started in the background
from visprog.sandbox import Limits, Sandbox
"""
)


@contextmanager
def script(source: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python that runs the source; it is ended in the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILDREN + source],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def told(process: subprocess.Popen[str]) -> Any:
    """The next line that a script prints, as JSON."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline() or "null")


def all_ended(pids: list[int], patience: float) -> bool:
    deadline = time.monotonic() + patience
    while any(is_running(str(pid)) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(is_running(str(pid)) for pid in pids)


# --- the parent is interrupted, killed, large ---


def test_ctrl_c_is_for_the_parent_alone() -> None:
    """As in a terminal or a notebook: the signal goes to the whole process group."""
    source = """
sandbox = Sandbox().warm()
try:
    sandbox.run("ready()\\nwhile True: pass\\nresult = 1", tools={"ready": lambda: print([*children()], flush=True)})
except KeyboardInterrupt:
    print(sandbox.run("result = 7").value, flush=True)
sandbox.warm()
before = children()
time.sleep(0.1)
print(json.dumps(children() == before), flush=True)
sandbox.close()
print([*children()], flush=True)
"""
    with script(source) as process:
        during = told(process)
        assert during
        os.killpg(process.pid, signal.SIGINT)
        assert told(process) == 7
        assert told(process) is True
        assert told(process) == []
        assert all_ended(during, 5)


def test_an_interrupted_kernel_goes_on(tmp_path: Path) -> None:
    manager = pytest.importorskip("jupyter_client.manager")
    pytest.importorskip("ipykernel")
    kernel = manager.KernelManager(connection_file=str(tmp_path / "kernel.json"))
    kernel.start_kernel(env={**os.environ, "PYTHONPATH": str(ROOT), "IPYTHONDIR": str(tmp_path)})
    client = kernel.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)

        def cell(source: str) -> str:
            client.execute(source, stop_on_error=False)
            return source

        cell(CHILDREN + "sandbox = Sandbox().warm()\nprint('begun', flush=True)")
        cell("sandbox.run('while True: pass\\nresult = 1')")
        time.sleep(2)
        kernel.interrupt_kernel()
        reply = client.execute_interactive(
            "first = sandbox.run('result = 7').value\nsandbox.close()\nassert (first, children()) == (7, set())",
            timeout=60,
            output_hook=lambda message: None,
            store_history=False,
        )
        assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        kernel.shutdown_kernel(now=True)


@pytest.mark.parametrize("program", ["while True: pass", "wait()", "x = [i for i in range(10 ** 7)]"])
def test_no_worker_outlives_a_killed_parent(program: str) -> None:
    source = f"""
sandbox = Sandbox(Limits(cpu=60, time=90)).warm()
tools = {{"ready": lambda: print([*children()], flush=True), "wait": lambda: time.sleep(60)}}
sandbox.run("ready()\\n{program}\\nresult = 1", tools=tools)
"""
    with script(source) as process:
        pids = told(process)
        process.kill()
        process.wait()
        assert pids and all_ended(pids, 15)


def test_a_parent_of_three_gigabytes() -> None:
    free = [line for line in Path("/proc/meminfo").read_text().split("\n") if line.startswith("MemAvailable")]
    if int(free[0].split()[1]) < 6 << 20:
        pytest.skip("needs 6 GB of free memory")
    source = """
ballast = b"x" * (3 << 30)
with Sandbox(standby=0) as sandbox:
    print([sandbox.run("return tool(n)", inputs={"n": n}, tools={"tool": lambda n: n + 1}).value for n in range(3)])
"""
    with script(source) as process:
        assert told(process) == [1, 2, 3]


def test_the_package_may_lie_where_only_its_owner_reads() -> None:
    """A worker of root becomes nobody, who could import nothing more from there."""
    source = "with Sandbox(standby=0) as sandbox:\n    print(sandbox.run('result = 7').value)"
    with copy_of_repository() as folder:
        assert folder.stat().st_mode & 0o077 == 0
        with script(source, PYTHONPATH=str(folder)) as process:
            assert told(process) == 7


# --- many at once ---


def test_many_threads_and_their_ends() -> None:
    before = children()
    sources = [
        "result = n",
        "while True: pass\nresult = n",
        "return 2 ** 10 ** 9",
        "result = open",
        "return 1 / 0",
    ]
    ends = {"result = n": "ok", "result = open": "rejected", "return 1 / 0": "error"}
    with Sandbox(Limits(cpu=0.3, grace=5), standby=2) as sandbox:
        with ThreadPoolExecutor(12) as pool:
            outcomes = list(pool.map(lambda n: sandbox.run(sources[n % 5], inputs={"n": n}), range(40)))
        assert [outcome.status for outcome in outcomes] == [
            ends.get(sources[n % 5], "killed") for n in range(40)
        ]
        assert [outcome.value for outcome in outcomes[::5]] == list(range(0, 40, 5))
    assert children() <= before


def test_under_xdist() -> None:
    pytest.importorskip("xdist")
    tests = [f"tests/sandbox/test_sandbox.py::test_{name}" for name in ("output", "nothing_is_left")]
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "xdist", "-n", "2", "-p", "no:cacheprovider", *tests],
        cwd=ROOT, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stdout


def test_cancelling_leaves_no_worker() -> None:
    async def main(sandbox: Sandbox) -> None:
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def ready() -> None:
            loop.call_soon_threadsafe(started.set)

        task = asyncio.create_task(sandbox.arun(SPIN, tools={"ready": ready}))
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = children()
    with Sandbox(Limits(cpu=30), standby=0) as sandbox:
        asyncio.run(main(sandbox))
        deadline = time.monotonic() + 10
        while children() - before and time.monotonic() < deadline:
            time.sleep(0.02)
        assert children() <= before
        assert sandbox.run("result = 1").value == 1


def test_a_fork_has_workers_of_its_own() -> None:
    with Sandbox() as sandbox:
        worker = sandbox.warm()._standby._ready[0]
        child = os.fork()
        if child == 0:
            code = 1
            signal.alarm(30)  # a fork has none of its parent's threads: whoever waits for one waits for ever
            try:
                code = (
                    0 if sandbox.run("result = 7").value == sandbox.warm().run("result = 7").value == 7 else 2
                )
                sandbox.close()
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        time.sleep(0.2)
        assert worker.is_alive and sandbox._standby._ready[0] is worker
        assert sandbox.run("result = 8").value == 8


def test_closing_while_a_program_runs() -> None:
    before = children()
    sandbox = Sandbox()
    running = threading.Event()
    outcomes: list[Any] = []

    def work() -> None:
        outcomes.append(
            sandbox.run("ready()\nreturn 5", tools={"ready": lambda: (running.set(), time.sleep(0.3))[0]})
        )

    thread = threading.Thread(target=work)
    thread.start()
    running.wait()
    sandbox.close()
    thread.join()
    assert outcomes[0].value == 5
    assert children() <= before


# --- the system refuses ---


def test_a_worker_that_never_gets_ready() -> None:
    before = children()
    sandbox = Sandbox(Limits(startup=0.5), engine="engines:NeverReady", standby=0)
    with sandbox, pytest.raises(SandboxUnavailable, match="did not start"):
        sandbox.run("result = 1")
    assert children() <= before


def test_no_descriptors_are_left() -> None:
    source = """
import resource
from visprog.sandbox import SandboxUnavailable
def attempt(sandbox):
    try:
        return sandbox.run("result = 7").value
    except SandboxUnavailable as error:
        return str(error)
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
with Sandbox(standby=0) as sandbox:
    first = attempt(sandbox)
    held = len(os.listdir("/proc/self/fd")) - 1
    answers = []
    for room in range(7):
        resource.setrlimit(resource.RLIMIT_NOFILE, (held + room, hard))
        answers.append(attempt(sandbox))
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert len(os.listdir("/proc/self/fd")) - 1 == held, room
        assert not children(), room
    print(json.dumps([first, answers, attempt(sandbox)]))
"""
    with script(source) as process:
        first, answers, last = told(process)
    assert (first, last) == (7, 7)
    refused = [answer for answer in answers if answer != 7]
    assert refused
    assert all("cannot be started" in answer and "Too many open files" in answer for answer in refused)


def test_no_process_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with Sandbox(standby=0) as sandbox:
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", refuse)
            with pytest.raises(SandboxUnavailable, match="cannot be started"):
                sandbox.run("result = 1")
        assert sandbox.run("result = 1").value == 1


def test_no_file_is_ever_made(tmp_path: Path) -> None:
    """Neither a full disk nor a read-only one matters."""
    source = """
with Sandbox(Limits(cpu=0.5, grace=5)) as sandbox:  # byte code is cached before
    sandbox.warm()
changes = []
def watch(event, arguments):
    path = arguments[0] if arguments else None
    if event == "open" and isinstance(path, (str, bytes)) and path != os.devnull:
        if arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            changes.append([event, str(path)])
    elif event in ("os.mkdir", "os.rename", "os.link", "os.symlink", "tempfile.mkstemp", "tempfile.mkdtemp"):
        changes.append([event, str(path)])
sys.addaudithook(watch)
with Sandbox(Limits(cpu=0.5, grace=5)) as sandbox:
    for program in ("return echo('x' * 99999)", "while True: pass\\nreturn 1", "return open", "return 1 / 0",
                    "print('x' * 99999)\\nreturn 1", "return 2 ** 10 ** 9"):
        sandbox.run(program, tools={"echo": lambda x: x})
print(json.dumps(changes))
"""
    with script(source, TMPDIR=str(tmp_path)) as process:
        assert told(process) == []
    assert not list(tmp_path.iterdir())

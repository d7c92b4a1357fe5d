"""The interface: forms of programs, tools, handles, values, errors, many at once."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from visprog.sandbox import Limits, Sandbox, SandboxUnavailable, StopProgram, current_line

from .conftest import Image

TYPES = [(Image, ("width", "height", "root"))]


@pytest.fixture(scope="module")
def shapes() -> Iterator[Sandbox]:
    with Sandbox(library="shapes:LIBRARY") as sandbox:
        yield sandbox


def test_forms(sandbox: Sandbox) -> None:
    for source in (
        "result = n + 1",
        "return n + 1",
        "def answer(n):\n    return n + 1",
        "def answer(anything):\n    return anything + 1",
        "def answer(n, /):\n    return n + 1",
        "def answer(*, n):\n    return n + 1",
        "def answer(n, more=0):\n    return n + 1 + more",
        "def answer():\n    return 4",
    ):
        assert sandbox.run(source, inputs={"n": 3}).value == 4, source


def test_inputs_by_name(sandbox: Sandbox) -> None:
    inputs = {"a": 1, "b": 2}
    assert sandbox.run("def answer(b, a):\n    return a - b", inputs=inputs).value == -1
    assert sandbox.run("def answer(b):\n    return b", inputs=inputs).value == 2
    wrong = sandbox.run("def answer(c):\n    return c", inputs=inputs)
    assert wrong.status == "rejected" and wrong.diagnostics[0].code == "wrong-inputs"
    assert "a, b" in (wrong.diagnostics[0].suggestion or "")


def test_values_cross_unchanged(sandbox: Sandbox) -> None:
    values: list[Any] = [
        None, True, 0, -(2**70), 1.5, float("inf"), "", "é\ud800\0", [], [1, [2]], (), (1, (2,)), {},
        {"a": {}}, {1: 2, "x": 3}, {"$h": 1}, {(1, 2): [3]}, {1, 2}, frozenset("ab"),
    ]  # fmt: skip
    outcome = sandbox.run("result = echo(values)", inputs={"values": values}, tools={"echo": lambda x: x})
    assert outcome.value == values
    assert [type(value) for value in outcome.value] == [type(value) for value in values]


def test_handles_are_the_same_objects(sandbox: Sandbox, image: Image) -> None:
    seen: list[Any] = []
    other = Image(1, 2)
    source = (
        "use(image)\no = make()\nuse(o)\nuse(image=image.root)\nreturn image, {'o': o}, o.width, o == make()"
    )
    tools: dict[str, Callable[..., Any]] = {"use": lambda image: seen.append(image), "make": lambda: other}
    outcome = sandbox.run(source, tools=tools, inputs={"image": image}, types=TYPES)
    assert outcome.value == (image, {"o": other}, 1, True)
    assert seen == [image, other, image] and seen[0] is image


def test_subclasses_of_declared_types_cross(sandbox: Sandbox) -> None:
    class Crop(Image):
        pass

    crop = Crop(3, 4)
    outcome = sandbox.run("result = image, image.width", inputs={"image": crop}, types=TYPES)
    assert outcome.value == (crop, 3)


def test_handles_end_with_the_run(sandbox: Sandbox, image: Image) -> None:
    import weakref

    gone = Image(1, 1)
    reference = weakref.ref(gone)
    sandbox.run("result = 1", inputs={"image": gone}, types=TYPES)
    gone.root = image  # it names itself
    del gone
    gc.collect()
    assert reference() is None


def test_library_values(shapes: Sandbox, image: Image) -> None:
    from shapes import Box, Region

    regions = [Region(Box(0, 0, 2, 2), "a", image), Region(Box(5, 0, 9, 9), "b", image)]
    source = (
        "r = largest(regions)\nreturn r, r.image.width, [x.box.left_of(r.box) for x in regions], r in regions"
    )
    outcome = shapes.run(source, inputs={"regions": regions}, types=TYPES)
    assert outcome.value == (regions[1], 40, [True, False], True)
    assert outcome.value[0].image is image


def test_library_errors(shapes: Sandbox) -> None:
    outcome = shapes.run("x = 1\nresult = largest([])")
    assert (outcome.status, outcome.error_type, outcome.line) == ("error", "NothingFound", 2)
    assert shapes.run("try:\n    largest([])\nexcept NothingFound as e:\n    return e.args").value


def test_wrong_library() -> None:
    with pytest.raises(ImportError):
        Sandbox(library="no_such_module:LIBRARY")
    with pytest.raises(TypeError, match="is no visprog"):
        Sandbox(library="os:path")
    with pytest.raises(ValueError, match="'module:ATTRIBUTE'"):
        Sandbox(library="os")


def test_tool_errors(sandbox: Sandbox) -> None:
    class HostError(Exception):
        pass

    def fail(text: str) -> None:
        raise HostError(text)

    tools = {"fail": fail}
    outcome = sandbox.run("def answer():\n    x = 1\n    return fail('down')", tools=tools)
    assert (outcome.status, outcome.error_type, outcome.error, outcome.line) == (
        "error",
        "HostError",
        "down",
        3,
    )
    assert type(outcome.cause) is HostError
    source = (
        "try:\n    fail('x' * 999)\nexcept ToolError as e:\n    return isinstance(e, Exception), len(str(e))"
    )
    assert sandbox.run(source, tools=tools).value == (True, 500)
    outcome = sandbox.run(
        "try:\n    fail('x')\nexcept ToolError as e:\n    raise ValueError('mine') from e\nreturn 1",
        tools=tools,
    )
    assert (outcome.error_type, outcome.error, outcome.cause) == ("ValueError", "mine", None)
    outcome = sandbox.run("try:\n    fail('1')\nexcept ToolError:\n    pass\nreturn fail('2')", tools=tools)
    assert outcome.error == "2" and str(outcome.cause) == "2"


def test_stop_program_cannot_be_caught(sandbox: Sandbox) -> None:
    class Budget(StopProgram):
        pass

    calls = []

    def tool() -> None:
        calls.append(current_line())
        raise Budget("spent")

    source = """print('before')
while True:
    try:
        tool()
    except:
        pass
    finally:
        continue
return 1"""
    outcome = sandbox.run(source, tools={"tool": tool})
    assert (outcome.status, outcome.error_type, outcome.line) == ("error", "Budget", 4)
    assert type(outcome.cause) is Budget and calls == [4] and outcome.stdout == "before\n"


def test_lines_of_calls(sandbox: Sandbox) -> None:
    lines = []
    source = """

def helper(x):
    return tool(x)

def answer():
    tool(1)
    return [helper(x) for x in range(2)], list(map(tool, [1]))
"""
    sandbox.run(source, tools={"tool": lambda x: lines.append(current_line())})
    assert lines == [7, 4, 4, 8]
    assert current_line() is None


def test_results_of_tools_that_cannot_cross(sandbox: Sandbox) -> None:
    outcome = sandbox.run("return tool()", tools={"tool": object})
    assert outcome.error_type == "TypeError" and "tool() returned" in (outcome.error or "")
    assert sandbox.run("return [x for x in [1]] + [tool()]", tools={"tool": lambda: 2}).value == [1, 2]


def test_a_failed_result_leaves_no_half_known_handle(sandbox: Sandbox, image: Image) -> None:
    results: list[Any] = [[image, object()], image]
    source = "try:\n    tool()\nexcept ToolError:\n    pass\nreturn tool().width"
    assert sandbox.run(source, tools={"tool": lambda: results.pop(0)}, types=TYPES).value == 40


def test_wrong_arguments(sandbox: Sandbox) -> None:
    with pytest.raises(TypeError, match="a program is a str"):
        sandbox.run(b"result = 1")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="cannot enter the program"):
        sandbox.run("result = 1", inputs={"x": object()})
    with pytest.raises(ValueError, match="no name"):
        sandbox.run("result = 1", inputs={"_x": 1})
    with pytest.raises(ValueError, match="a tool and of an input"):
        sandbox.run("result = 1", inputs={"x": 1}, tools={"x": print})
    with pytest.raises(ValueError, match="require"):
        Sandbox(require="maybe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="positive"):
        Limits(cpu=0)
    assert sandbox.run("result = 1").status == "ok"


def test_output(sandbox: Sandbox) -> None:
    outcome = sandbox.run("def f():\n    print('b', end='')\nprint('a', 1, sep='-')\nf()\nresult = 1")
    assert outcome.stdout == "a-1\nb" and not outcome.truncated
    assert sandbox.run("print('kept')\nreturn 1 / 0").stdout == "kept\n"
    with Sandbox(Limits(output=10)) as small:
        outcome = small.run("for i in range(9):\n    print('abc')\nresult = 1")
        assert outcome.stdout == "abc\nabc\nab" and outcome.truncated and outcome.value == 1


# --- many at once ---


def test_map_keeps_the_order(sandbox: Sandbox) -> None:
    jobs = [("result = n * n", {"n": n}) for n in range(12)]
    assert [outcome.value for outcome in sandbox.map(jobs, workers=4)] == [n * n for n in range(12)]


def test_map_can_be_left(sandbox: Sandbox) -> None:
    first = next(sandbox.map((("result = n", {"n": n}) for n in range(1000)), workers=2))
    assert first.value == 0


def test_threads(sandbox: Sandbox, image: Image) -> None:
    def one(n: int) -> bool:
        mine = Image(n, n)
        outcome = sandbox.run("result = tool(image), image.width", tools={"tool": lambda i: i.width + n},
                              inputs={"image": mine}, types=TYPES)  # fmt: skip
        return bool(outcome.value == (2 * n, n))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(16)))


def test_async_tools_run_on_the_loop(sandbox: Sandbox) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        async def tool(n: int) -> int:
            assert asyncio.get_running_loop() is loop
            await asyncio.sleep(0.01)
            assert current_line() == 1
            return n + 1

        def plain(n: int) -> int:
            assert threading.current_thread() is not threading.main_thread()
            return n * 2

        tools = {"tool": tool, "plain": plain}
        runs = [sandbox.arun(f"return tool({n}) + plain({n})", tools=tools) for n in range(6)]
        assert [outcome.value for outcome in await asyncio.gather(*runs)] == [3 * n + 1 for n in range(6)]
        assert sandbox.run("result = 1").value == 1  # as in a notebook: the loop runs

    asyncio.run(main())


def test_async_needs_arun(sandbox: Sandbox) -> None:
    async def tool() -> int:
        return 1

    outcome = sandbox.run("return tool()", tools={"tool": tool})
    assert outcome.error_type == "TypeError" and "arun" in (outcome.error or "")


def test_cancelling_ends_the_program(sandbox: Sandbox) -> None:
    events = []

    async def main() -> None:
        started = asyncio.Event()

        async def tool() -> None:
            events.append("started")
            started.set()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                events.append("cancelled")
                raise

        def plain() -> None:
            loop.call_soon_threadsafe(started.set)

        loop = asyncio.get_running_loop()
        for source in ("return tool()", "plain()\nwhile True: pass\nresult = 1"):
            started.clear()
            task = asyncio.create_task(sandbox.arun(source, tools={"tool": tool, "plain": plain}))
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.2)

    start = time.monotonic()
    asyncio.run(main())
    assert events == ["started", "cancelled"] and time.monotonic() - start < 20


# --- processes ---


def children() -> set[int]:
    """The processes that any thread of this one has started; tests also run the source of this in other processes."""
    found = set()
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/children") as file:
                found |= set(map(int, file.read().split()))
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            pass
    return found


def test_nothing_is_left() -> None:
    import gc

    gc.collect()
    processes, files = children(), len(os.listdir("/proc/self/fd"))
    sandbox = Sandbox(Limits(cpu=0.3, grace=0.3))
    for source in (
        "result = 1",
        "while True: pass\nresult = 1",
        "result = sum(range(10 ** 12))",
        "return 2 ** 10 ** 9",
    ):
        sandbox.run(source)
    sandbox.warm()
    sandbox.close()
    assert children() <= processes and len(os.listdir("/proc/self/fd")) <= files
    with pytest.raises(SandboxUnavailable, match="closed"):
        sandbox.run("result = 1")


def test_a_forgotten_sandbox_ends_its_workers() -> None:
    sandbox = Sandbox().warm()
    worker = sandbox._standby._ready[0].pid
    assert worker in children()
    del sandbox
    gc.collect()
    assert worker not in children()


def test_a_dead_standby_is_replaced() -> None:
    with Sandbox() as sandbox:
        sandbox.warm()
        os.kill(sandbox._standby._ready[0].pid, signal.SIGKILL)
        assert sandbox.run("result = 1").value == 1


def test_a_standby_that_dies_on_the_way_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    from visprog.sandbox.process import WorkerProcess

    with Sandbox() as sandbox:
        sandbox.warm()
        os.kill(sandbox._standby._ready[0].pid, signal.SIGKILL)
        time.sleep(0.1)
        monkeypatch.setattr(WorkerProcess, "is_alive", True)
        assert sandbox.run("result = 1").value == 1


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    script = (
        inspect.getsource(children)
        + """
import os, sys, threading, time
from visprog.sandbox import Sandbox
sandbox = Sandbox().warm()
def run():
    sandbox.run("return wait()", tools={"wait": lambda: time.sleep(60)})
threading.Thread(target=run, daemon=True).start()
time.sleep(0.5)
sandbox.warm()
print(*children(), flush=True)
time.sleep(60)
"""
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert parent.stdout is not None
    pids = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert pids
    deadline = time.monotonic() + 5
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(is_running(pid) for pid in pids)


def is_running(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_interrupt_is_not_for_the_worker(sandbox: Sandbox) -> None:
    sandbox.warm()
    assert os.getpgid(sandbox._standby._ready[0].pid) != os.getpgid(0)


def test_keyboard_interrupt_in_a_tool_leaves_nothing(sandbox: Sandbox) -> None:
    def tool() -> None:
        raise KeyboardInterrupt

    sandbox.warm()
    before = children()
    with pytest.raises(KeyboardInterrupt):
        sandbox.run("return tool()", tools={"tool": tool})
    sandbox.warm()
    assert len(children()) <= len(before)


def test_a_fork_does_not_share_workers(sandbox: Sandbox) -> None:
    sandbox.warm()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if sandbox.run("result = 7").value == 7 else 2
            sandbox._standby.close()
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert sandbox.run("result = 8").value == 8

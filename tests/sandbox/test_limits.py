"""Every limit ends the run, whatever wraps it, and says which it was."""

from __future__ import annotations

import time
from typing import Any

import pytest

from visprog.sandbox import Library, Limits, Outcome, Sandbox
from visprog.sandbox.execution import Execution, Job
from visprog.sandbox.process import PipeClosed, WorkerProcess
from visprog.sandbox.sandbox import ENGINE

from .clock import ends_within
from .conftest import Image

SPIN = "while True:\n    pass\nresult = 1"
SWALLOW = """
while True:
    try:
        {}
    except:
        pass
    finally:
        continue
result = "alive"
"""
TINY = Limits(
    cpu=0.4,
    grace=6,
    time=20,
    calls=3,
    handles=4,
    output=50,
    recursion=50,
    integer=64,
    sequence=100,
    message=2000,
    nodes=60,
    depth=4,
    text=300,
)

CASES = {
    "cpu": "x = 0\n        while True: x += 1",
    "calls": "[echo(1) for _ in range(5)]",
    "handles": "[make(), make(), many()]",
    "recursion": "deep(0)",
    "integer": "2 ** 65",
    "sequence": "[0] * 2000",
    "message": "echo('x' * 301)",
}


@pytest.fixture(scope="module")
def tiny() -> Any:
    with Sandbox(TINY, standby=2) as sandbox:
        yield sandbox


def run(sandbox: Sandbox, source: str) -> Outcome:
    tools = {
        "echo": lambda x: x,
        "make": lambda: Image(1, 1),
        "many": lambda: [Image(1, 1) for _ in range(9)],
    }
    return sandbox.run(
        "def deep(n):\n    return deep(n + 1)\n" + source, tools=tools, types=[(Image, ("width",))]
    )


@pytest.mark.parametrize("limit", CASES)
def test_limit(tiny: Sandbox, limit: str) -> None:
    tiny.warm()
    with ends_within(TINY.cpu):  # the greatest of these limits in seconds
        outcome = run(tiny, f"if True:\n        {CASES[limit]}\nresult = 1")
    assert (outcome.status, outcome.limit) == ("killed", limit)
    assert outcome.error and outcome.value is None


@pytest.mark.parametrize("limit", CASES)
def test_limit_cannot_be_swallowed(tiny: Sandbox, limit: str) -> None:
    outcome = run(tiny, SWALLOW.format(CASES[limit]))
    assert (outcome.status, outcome.limit) == ("killed", limit)


@pytest.mark.parametrize("limit", ["recursion", "integer", "sequence"])
def test_a_worker_ends_with_its_limit(limit: str) -> None:
    """In the instant in which it says so, not when its parent ends it."""
    job = Job(
        "def deep(n):\n    return deep(n + 1)\n" + SWALLOW.format(CASES[limit]),
        {},
        {},
        (),
        Library(),
        TINY,
        print,
    )
    worker = WorkerProcess(TINY, None, ENGINE)
    try:
        worker.greet()
        Execution(job, worker).start()
        message = worker.receive(time.monotonic() + 20)
        assert (message["op"], message["limit"]) == ("LIMIT", limit)
        with pytest.raises(PipeClosed):
            worker.receive(time.monotonic() + 20)
    finally:
        worker.kill()


@pytest.mark.parametrize(
    "value", ["[0] * 70", "[[[[[[1]]]]]]", "{i: i for i in range(40)}", "'x' * 90 + 'y' * 90 + 'z' * 200"]
)
def test_result_is_bounded(tiny: Sandbox, value: str) -> None:
    outcome = run(tiny, f"result = {value}")
    assert (outcome.status, outcome.limit) == ("killed", "result")


def test_result_bytes_are_bounded(tiny: Sandbox) -> None:
    outcome = run(tiny, "result = ['é' * 90 for _ in range(50)]")
    assert (outcome.status, outcome.limit) == ("killed", "result")


def test_inputs_and_replies_are_bounded() -> None:
    with Sandbox(Limits(reply=2000)) as sandbox:
        with pytest.raises(ValueError, match="bytes"):
            sandbox.run("result = 1", inputs={"x": "y" * 3000})
        outcome = sandbox.run("return tool()", tools={"tool": lambda: ["y" * 900] * 3})
        assert (outcome.status, outcome.limit) == ("killed", "message")


def test_silence_inside_c() -> None:
    with Sandbox(Limits(cpu=0.3, grace=0.3)) as sandbox:
        start = time.monotonic()
        for source in (
            "result = sum(range(10 ** 14))",
            "x, y = [1], [1]\nfor _ in range(60): x, y = [x, x], [y, y]\nresult = x == y",
        ):
            outcome = sandbox.run(source)
            assert outcome.status == "killed" and outcome.limit in ("silence", "cpu", "recursion"), outcome
        assert time.monotonic() - start < 30


def test_whole_run() -> None:
    with Sandbox(Limits(time=0.6)) as sandbox:
        sandbox.warm()
        with ends_within(0.6):
            outcome = sandbox.run("while True: tool()\nresult = 1", tools={"tool": lambda: time.sleep(0.1)})
        assert (outcome.status, outcome.limit) == ("killed", "time")
        outcome = sandbox.run("return tool()", tools={"tool": lambda: time.sleep(0.8)})
        assert (outcome.status, outcome.limit) == ("killed", "time")


def test_memory() -> None:
    with Sandbox(Limits(memory=96 << 20)) as sandbox:
        if not sandbox.level.facts["memory"]:
            pytest.skip("this system bounds no memory")
        for wrapped in (
            "x = []\nwhile True: x.append('a' * 4000000)\nresult = 1",
            SWALLOW.format("x = ['a' * 4000000 for _ in range(99)]"),
        ):
            outcome = sandbox.run(wrapped)
            assert (outcome.status, outcome.limit) == ("killed", "memory")
        assert sandbox.run("x = ['a' * 1000000 for _ in range(20)]\nresult = len(x)").value == 20


def test_a_crash_is_an_outcome() -> None:
    class Unguarded(Sandbox):
        _checked = False

    with Unguarded(engine="engines:PlainExec") as sandbox:
        outcome = sandbox.run("import ctypes\nctypes.string_at(0)")
        assert (outcome.status, outcome.limit) == ("killed", "crash")
        assert "SIGSEGV" in (outcome.error or "")
        assert sandbox.run("result = 1").value == 1


def test_lines_of_limits(tiny: Sandbox) -> None:
    assert tiny.run("x = 1\ny = 2 ** 999\nresult = 1").line == 2
    assert tiny.run("def f():\n    while True:\n        pass\nresult = f()").line in (2, 3)
    assert tiny.run("result = tool()", tools={"tool": lambda: "x" * 500}).limit == "text"


def test_output_is_dropped_in_the_worker() -> None:
    with Sandbox(Limits(output=100, message=1000)) as sandbox:
        outcome = sandbox.run("for i in range(9):\n    print('x' * 900)\nresult = 1")
        assert outcome.status == "ok" and outcome.truncated and outcome.stdout == "x" * 100


def test_errors_are_plain_text(tiny: Sandbox) -> None:
    outcome = tiny.run("raise ValueError('\\x1b[2J\\r\\u202e')\nresult = 1")
    assert (outcome.error_type, outcome.error) == ("ValueError", "\\x1b[2J\\r\\u202e")


def test_source_limits() -> None:
    with Sandbox(Limits(source=50, source_nesting=1)) as sandbox:
        assert sandbox.run("result = '" + "x" * 60 + "'").diagnostics[0].code == "too-large"
        assert sandbox.run("if 1:\n if 1:\n  result = 1").diagnostics[0].code == "too-deep"

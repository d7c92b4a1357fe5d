"""What the sandbox costs: start, calls, memory, and loops under guards against plain CPython.

    python benchmarks/sandbox.py [--rounds 5]

Prints medians and ratios. Run it on an idle machine: all but the loops is wall-clock time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visprog.sandbox import Limits, Namespace, RestrictedEngine, Sandbox

N = 20_000
LOOPS = {
    "sum of integers": "t = 0\nfor i in range(n):\n    t += i\nreturn t",
    "arithmetic": "t = 0.0\nfor i in range(n):\n    t = t * 0.5 + i * i - i / 3\nreturn t",
    "modulo and branches": "t = 0\nfor i in range(n):\n    if i % 3 and i % 5:\n        t += 1\nreturn t",
    "list append": "xs = []\nfor i in range(n):\n    xs.append(i)\nreturn len(xs)",
    "list items": "xs = list(range(n))\nfor i in range(1, n):\n    xs[i] = xs[i - 1] + i\nreturn xs[-1]",
    "dict counting": "d = {}\nfor i in range(n):\n    k = i & 63\n    d[k] = d.get(k, 0) + 1\nreturn len(d)",
    "comprehension": "return sum([x * x for x in range(n) if x & 1])",
    "pairs": "t = 0\nfor a, b in zip(range(n), range(n)):\n    t += a - b\nreturn t",
    "calls": "def f(x):\n    return x + 1\nt = 0\nfor i in range(n):\n    t = f(t)\nreturn t",
    "strings": "out = []\nfor i in range(n):\n    out.append(f'{i:05d}'.strip('0').upper())\nreturn len(out)",
}


def median(
    action: Callable[[], object], rounds: int, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds; by ``time.process_time`` other processes matter less."""
    times = []
    for _ in range(rounds):
        start = clock()
        action()
        times.append(clock() - start)
    return statistics.median(times)


def function(body: str) -> str:
    """A loop as the program that everyone runs."""
    return "def answer(n):\n" + "\n".join("    " + line for line in body.split("\n"))


def guarded(source: str, rounds: int) -> float:
    """Seconds under our guards, without the compilation."""

    def stop(limit: str, why: str) -> Any:
        raise RuntimeError(why)

    engine = RestrictedEngine()
    one, many = (Namespace({"n": size}, {}, {}, {}, print, stop, Limits()) for size in (1, N))
    compiling = median(lambda: engine.run(source, one), rounds, time.process_time)
    return median(lambda: engine.run(source, many), rounds, time.process_time) - compiling


def smolagents() -> Callable[[str], float] | None:
    """Seconds in the interpreter of smolagents, where it is installed. One round: it is slow enough."""
    try:
        from smolagents.local_python_executor import LocalPythonExecutor
    except ImportError:
        return None

    def seconds(source: str) -> float:
        executor = LocalPythonExecutor([])
        executor.send_tools({})
        return median(lambda: executor(f"{source}\nanswer({N})"), 1, time.process_time)

    return seconds


def loops(rounds: int) -> None:
    """Prints each loop shape, and the geometric mean of all, as multiples of plain CPython."""
    other = smolagents()
    ratios: dict[str, list[float]] = {"guards": [], "smolagents": []}
    print(f"{'loops, times plain CPython':28}{'guards':>10}{'smolagents' if other else '':>12}")
    for name, body in LOOPS.items():
        source, space = function(body), dict[str, Any]()
        exec(source, space)
        plain = median(lambda run=space["answer"]: run(N), rounds, time.process_time)
        ratios["guards"].append(guarded(source, rounds) / plain)
        if other:
            ratios["smolagents"].append(other(source) / plain)
        print(f"  {name:26}" + "".join(f"{column[-1]:10.2f}" for column in ratios.values() if column))
    means = [statistics.geometric_mean(column) for column in ratios.values() if column]
    print(
        f"  {'geometric mean':26}" + "".join(f"{mean:10.2f}" for mean in means) + "   (target for guards: 4)"
    )
    if other is None:
        print("for smolagents beside it: pip install 'visprog[bench]'")


def private_memory(pid: int) -> float:
    """MiB of memory that only this process has, from the kernel's account of it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().split("\n")
    kib = sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
    return kib / 1024


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    rounds = arguments.parse_args().rounds

    def tool(x: int) -> int:
        return x + 1

    with Sandbox() as sandbox:
        print(f"level: {sandbox.level}")
        ten = "x = 0\nfor i in range(10):\n    x = tool(x)\nreturn x"
        many = "x = 0\nfor i in range(200):\n    x = tool(x)\nreturn x"

        def seconds(source: str, ready: bool) -> float:
            spent = []
            for _ in range(rounds):
                if ready:
                    sandbox.warm()
                    time.sleep(0.02)
                start = time.perf_counter()
                outcome = sandbox.run(source, tools={"tool": tool})
                spent.append(time.perf_counter() - start)
                assert outcome.status == "ok", outcome
            return statistics.median(spent)

        warm, burst = seconds(ten, True), seconds(many, True)
        print(f"program with 10 tool calls, standby ready: {warm * 1e3:.2f} ms (target 6)")
        print(f"one tool call: {(burst - warm) / 190 * 1e3:.3f} ms (target 0.1)")
        with Sandbox(standby=0) as cold:
            print(f"without a standby: {median(lambda: cold.run('return 1'), rounds) * 1e3:.1f} ms")
        worker = sandbox.warm()._standby.take()
        try:
            print(f"private memory of a worker: {private_memory(worker.pid):.1f} MiB (target 20)")
        finally:
            worker.kill()
    loops(rounds)


if __name__ == "__main__":
    main()

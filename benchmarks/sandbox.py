"""What the sandbox costs: start, calls, loops under guards against plain CPython, memory.

    python benchmarks/sandbox.py [--rounds 5]

Prints medians and ratios. Run it on an idle machine: all but the loops is wall-clock time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from visprog.sandbox import Limits, Sandbox
from visprog.sandbox.engine import RestrictedEngine, Scope

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


def loops(rounds: int) -> float:
    """Prints each loop shape under guards against plain CPython; the geometric mean of the ratios."""
    ratios = []
    for name, body in LOOPS.items():
        space: dict[str, Any] = {}
        exec("def plain(n):\n" + "\n".join("    " + line for line in body.split("\n")), space)
        source = "def answer(n):\n" + "\n".join("    " + line for line in body.split("\n"))

        def stop(limit: str, why: str) -> Any:
            raise RuntimeError(why)

        scope = {size: Scope({"n": size}, {}, {}, {}, print, stop, Limits()) for size in (1, N)}
        engine = RestrictedEngine()
        plain = median(lambda run=space["plain"]: run(N), rounds, time.process_time)
        compiling = median(lambda: engine.run(source, scope[1]), rounds, time.process_time)  # noqa: B023
        guarded = median(lambda: engine.run(source, scope[N]), rounds, time.process_time) - compiling  # noqa: B023
        ratios.append(guarded / plain)
        print(f"  {name:24}{guarded / plain:6.2f} x")
    return statistics.geometric_mean(ratios)


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
    print("loops, times plain CPython:")
    mean = loops(rounds)
    assert math.isfinite(mean)
    print(f"  geometric mean          {mean:6.2f} x (target 4)")


if __name__ == "__main__":
    main()

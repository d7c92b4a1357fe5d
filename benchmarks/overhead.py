"""What a program costs over calling its tools directly: check, sandbox, host, with a worker ready.

python benchmarks/overhead.py
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from visprog import Agent, Image, Registry, tool


@tool
def stub(image: Image, n: int) -> int:
    """Twice the number, as fast as can be."""
    return 2 * n


PROGRAM = """
def answer(image):
    total = 0
    for i in range(10):
        total += stub(image, i + {salt} * 10)
    return total
"""


def main(runs: int = 50) -> None:
    picture = Image.open(np.zeros((480, 640, 3), np.uint8))
    direct, whole, sandboxed = [], [], []
    with Agent(planner=_Never(), config={"cache": 0}, registry=Registry([stub])) as agent:
        for salt in range(runs):
            start = time.perf_counter()
            for i in range(10):
                stub.function(picture, i + salt * 10)
            direct.append(time.perf_counter() - start)
            agent.sandbox.warm()
            start = time.perf_counter()
            answer = agent.run(PROGRAM.format(salt=salt), picture)
            whole.append(time.perf_counter() - start)
            if answer.status != "answered":
                raise SystemExit(answer.message)
            agent.sandbox.warm()
            start = time.perf_counter()
            agent.sandbox.run(
                PROGRAM.format(salt=salt), tools={"stub": lambda i, n: 2 * n}, inputs={"image": 1}
            )
            sandboxed.append(time.perf_counter() - start)
    base = statistics.median(direct)
    for name, values in (("agent.run: check, sandbox, host", whole), ("sandbox alone", sandboxed)):
        extra = 1000 * (statistics.median(values) - base)
        print(f"{name}: {extra:.1f} ms over direct calls (median of {runs}, 10 calls)")


class _Never:
    """A planner that is never asked."""

    name = "none"

    def plan(self, request: object, **options: object) -> list[object]:
        return []


if __name__ == "__main__":
    main()

"""What a program costs over calling its tools directly, and a call in a tool process over one in this process.

python benchmarks/overhead.py
"""

from __future__ import annotations

import io
import statistics
import time

import numpy as np
import PIL.Image
from misbehaving import measure

from visprog import Agent, Image, Registry, tool
from visprog.config import Config
from visprog.registry import BACKENDS
from visprog.runtime.host import Host
from visprog.runtime.processes.pool import PROCESSES


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
    calls(runs)


def calls(runs: int) -> None:
    """A call of a tool that does next to nothing, in a process and in this one."""
    settings = Config(calls=1_000_000)
    hosts = [Host(Registry([measure]), settings, loader=loader) for loader in (PROCESSES, BACKENDS)]
    for size in ((480, 640), (3000, 4000)):
        buffer = io.BytesIO()
        PIL.Image.fromarray(np.zeros((*size, 3), np.uint8)).save(buffer, "png")
        image = Image.open(buffer.getvalue())  # decoded by a process, into memory that is shared
        seconds: list[list[float]] = [[], []]
        for _ in range(10 * runs):
            for host, found in zip(hosts, seconds, strict=True):
                run = host.new_run()
                start = time.perf_counter()
                run.call(measure, image, 2)
                found.append(time.perf_counter() - start)
        extra = 1000 * (statistics.median(seconds[0]) - statistics.median(seconds[1]))
        print(f"{size[1]} x {size[0]} pixels, in a tool process: {extra:.2f} ms over this process")


class _Never:
    """A planner that is never asked."""

    name = "none"

    def plan(self, request: object, **options: object) -> list[object]:
        return []


if __name__ == "__main__":
    main()

"""Thousands of programs in a row, a tenth of them hostile, several at a time: no lost answer, nothing left over.

    python benchmarks/soak.py [--programs 10000] [--jobs 8] [--json]

The hostile tenth is the corpus of the tests, crashes of the interpreter, and workers that were taken over and
send what they like. Every outcome is held against what it must be. After the first programs, and again at the
end, everything that could have been left behind is counted. Exit code 1: an answer was wrong or something grew.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from visprog.sandbox import Limits, Outcome, Sandbox

TESTS = Path(__file__).resolve().parents[1] / "tests" / "sandbox"
sys.path.append(str(TESTS / "library"))  # plain modules: the workers import them by name

from engines import ATTACKS  # noqa: E402
from shapes import Box, Region  # noqa: E402

BASELINE = 500
"""After so many programs every cache is filled: what is held then is all that may be held at the end."""
GROWTH = {"resident_mib": 48.0, "blocks": 4000}
"""By so much these may grow. The allocator keeps what the syntax trees of several large programs at once took;
a single object left behind by each program, though, would be thousands of blocks."""
BENIGN = (
    ("def answer(n):\n    return sum([x * x for x in range(n)])", lambda n: n * (n - 1) * (2 * n - 1) // 6),
    ("d = {}\nfor i in range(n):\n    d[i % 3] = d.get(i % 3, 0) + 1\nresult = sum(d.values())", lambda n: n),
    ("try:\n    fail(f'{n}')\nexcept ToolError as e:\n    return str(e)", lambda n: repr(str(n))),
    ("return [echo(i) for i in range(n % 5)]", lambda n: list(range(n % 5))),
    ("boxes = [r.box.left for r in detect(image, 'cat')]\nreturn max(boxes) + n", lambda n: 20 + n),
    ("result = image.width * n, image.root.height, image == image.root", lambda n: (40 * n, 30, True)),
)


class Image:
    """An object that crosses as a handle."""

    def __init__(self) -> None:
        self.width, self.height, self.root = 40, 30, self


class Unchecked(Sandbox):
    """Without the static check: for programs that stand for a language layer that has fallen."""

    _checked = False


class TakenOver(Unchecked):
    """Without the confinement too: the worker itself is the attacker's."""

    _confined = False


@dataclass(frozen=True)
class Case:
    """One program and the outcome it must have: its status, what names its end, and its value."""

    sandbox: Sandbox
    source: str
    verdict: tuple[str, ...] = ("ok",)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    value: Any = None

    def run(self) -> tuple[Outcome, str | None]:
        """The outcome, and what is wrong with it."""
        outcome = self.sandbox.run(self.source, tools=TOOLS, inputs=self.inputs, types=TYPES)
        codes = [diagnostic.code for diagnostic in outcome.diagnostics]
        reached = [outcome.status, outcome.limit, outcome.error_type, *codes]
        right = set(self.verdict) <= set(reached) and (self.value is None or self.value == outcome.value)
        return outcome, None if right else f"{outcome} of {self.source[:80]!r} is not {self.verdict}"


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    descriptors: int
    children: int
    threads: int
    temporary_files: int
    blocks: int
    """Pieces of memory that Python has allocated."""
    resident_mib: float


@dataclass(frozen=True)
class Report:
    """What a soak came to."""

    programs: int
    statuses: dict[str, int]
    wrong: list[str]
    seconds: float
    before: Held
    after: Held

    @property
    def grown(self) -> list[str]:
        """What there is more of at the end."""
        before, after = asdict(self.before), asdict(self.after)
        return [name for name in before if after[name] > before[name] + GROWTH.get(name, 0)]


def detect(image: Image, what: str) -> list[Region]:
    return [Region(Box(10 * i, 0, 11 * i + 1, 5), what, image) for i in range(3)]


def echo(*args: Any, **kwargs: Any) -> Any:
    return args[0] if args else kwargs


def fail(message: str) -> None:
    raise KeyError(message)


TOOLS = {"detect": detect, "echo": echo, "fail": fail, "big": lambda *args: "x" * 200_000}
TYPES = [(Image, ("width", "height", "root"))]


def cases(ordinary: Sandbox, crashing: Sandbox, taken_over: Sandbox, seed: int) -> Iterator[Case]:
    """Programs without end, in an order that the seed decides: a tenth of them are hostile."""
    chance = random.Random(seed)
    image = Image()
    sources = [path.read_bytes().decode() for path in sorted((TESTS / "corpus" / "hostile").glob("*.py"))]
    corpus = cycle(chance.sample(sources, len(sources)))
    attacks = cycle(chance.sample(sorted(ATTACKS), len(ATTACKS)))
    number = 0
    while True:
        number += 1
        kind = chance.random()
        if kind < 0.07:
            source = next(corpus)
            verdict = source.partition("\n")[0].removeprefix("# ").split(" ", 1)
            yield Case(ordinary, source, tuple(verdict), {"image": image})
        elif kind < 0.09:
            name = next(attacks)
            end = "silence" if name == "length then nothing" else "protocol"
            yield Case(taken_over, name, ("killed", end), {"image": image})
        elif kind < 0.1:
            yield Case(crashing, "import ctypes\nctypes.string_at(0)", ("killed", "crash"))
        else:
            source, expected = BENIGN[number % len(BENIGN)]
            yield Case(ordinary, source, inputs={"image": image, "n": number}, value=expected(number))


def held(sandboxes: list[Sandbox]) -> Held:
    """Counts what this process holds, with every sandbox at rest."""
    for sandbox in sandboxes:
        sandbox.warm()
    time.sleep(0.2)  # the threads that filled the standby end
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Held(
        descriptors=len(os.listdir("/proc/self/fd")),
        children=sum(
            len((task / "children").read_text().split()) for task in Path("/proc/self/task").iterdir()
        ),
        threads=threading.active_count(),
        temporary_files=sum(len(files) for _, _, files in os.walk(tempfile.gettempdir())),
        blocks=sys.getallocatedblocks(),
        resident_mib=round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
    )


def soak(programs: int, jobs: int, seed: int, console: Console) -> Report:
    """Runs them all; shows progress on the console."""
    statuses: Counter[str] = Counter()
    wrong: list[str] = []
    start = time.monotonic()
    with ExitStack() as stack:
        limits, short = Limits(cpu=3, grace=20), Limits(cpu=2, grace=3)
        sandboxes = [
            Sandbox(limits, library="shapes:LIBRARY", standby=min(4, jobs)),
            Unchecked(limits, engine="engines:PlainExec"),
            TakenOver(short, library="shapes:LIBRARY", engine="engines:RawFrames"),
        ]
        for sandbox in sandboxes:
            stack.enter_context(sandbox)
        progress = stack.enter_context(Progress(console=console))
        task = progress.add_task(f"{programs} programs, {jobs} at a time", total=programs)
        endless = cases(sandboxes[0], sandboxes[1], sandboxes[2], seed)

        lock = threading.Lock()

        def work(some: Iterator[Case]) -> None:
            while True:
                with lock:
                    case = next(some, None)
                if case is None:
                    return
                outcome, complaint = case.run()
                with lock:
                    statuses[outcome.status] += 1
                    wrong.extend([complaint] if complaint else [])
                    progress.advance(task)

        def run(count: int) -> None:
            some = islice(endless, count)
            with ThreadPoolExecutor(jobs) as pool:
                for worker in [pool.submit(work, some) for _ in range(jobs)]:
                    worker.result()

        first = min(BASELINE, programs // 2)
        run(first)
        before = held(sandboxes)
        run(programs - first)
        after = held(sandboxes)
    return Report(sum(statuses.values()), dict(statuses), wrong, time.monotonic() - start, before, after)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=8, help="how many run at once")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as empty:
        tempfile.tempdir = empty  # whatever the run writes by the usual means appears here
        report = soak(arguments.programs, arguments.jobs, arguments.seed, Console(stderr=True))
    lost = arguments.programs - report.programs
    if arguments.json:
        print(json.dumps(asdict(report) | {"lost": lost, "grown": report.grown}))
    else:
        rate = report.programs / report.seconds
        print(
            f"{report.programs} programs in {report.seconds:.0f} s ({rate:.0f} a second): {report.statuses}"
        )
        print(f"lost answers: {lost}; wrong ones: {len(report.wrong)}", *report.wrong[:20], sep="\n  ")
        print(f"held after the first: {report.before}\nheld at the end:      {report.after}")
        print(f"grown: {', '.join(report.grown) or 'nothing'}")
    return 1 if lost or report.wrong or report.grown else 0


if __name__ == "__main__":
    sys.exit(main())

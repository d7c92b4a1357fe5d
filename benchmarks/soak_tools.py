"""Thousands of programs, a fifth with a tool that hangs, crashes, leaks or floods: all end in time, none is lost.

    python benchmarks/soak_tools.py
    python benchmarks/soak_tools.py --programs 200 --jobs 4 --json

Every answer is held against what it must be, and its time against the limit of a run and one second. What the host
holds (memory, descriptors, processes) is counted after a tenth of the programs and at the end. Exit code 1: an answer
was wrong or late, or something grew.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from misbehaving import MISDEEDS, find, measure, misbehave
from rich.progress import track

from visprog import Agent, Image, Registry
from visprog.answer import Answer

SECONDS, LATE = 3.0, 1.0
GROWTH = {"MiB of memory": 60, "descriptors": 40}


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--programs", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    jobs = [rng.choice(list(MISDEEDS)) if rng.random() < 0.2 else "" for _ in range(options.programs)]
    wrong: list[str] = []
    latest, held = 0.0, {}
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with (
        Agent(planner=_Never(), registry=Registry([measure, find, misbehave]), seconds=SECONDS,
              standby=options.jobs) as agent,
        ThreadPoolExecutor(options.jobs) as pool,
    ):  # fmt: skip
        answers = pool.map(lambda numbered: run(agent, *numbered), enumerate(jobs))
        shown = track(answers, total=len(jobs), description="programs", disable=options.json)
        for number, (answer, seconds) in enumerate(shown):
            counts[f"{jobs[number] or 'well'}: {answer.status}"] += 1
            latest = max(latest, seconds)
            why = fault(jobs[number], number, answer, seconds)
            if why:
                wrong.append(f"program {number} ({jobs[number] or 'well'}): {why}")
            if number == len(jobs) // 10:
                held = holds()
    grown = {name: count - held[name] for name, count in holds().items()}
    grew = [name for name, most in GROWTH.items() if grown[name] > most]
    result = {
        "programs": options.programs, "seconds": round(time.monotonic() - started, 1), "wrong": wrong,
        "longest": round(latest, 2), "counts": dict(sorted(counts.items())), "growth": grown,
    }  # fmt: skip
    if options.json:
        print(json.dumps(result))
    else:
        print(*(f"{name}: {value}" for name, value in result.items()), sep="\n")
    return int(bool(wrong or grew))


def run(agent: Agent, number: int, misdeed: str) -> tuple[Answer, float]:
    """Run one program, and time it."""
    image = Image.open(np.full((48, 64 + number % 7, 3), number % 251, np.uint8), name=f"{number}.png")
    source = "for region in find(image, 3):\n    total = measure(image, 2)\n"
    source += f'text = misbehave(image, "{misdeed}")\n' if misdeed else ""
    begun = time.monotonic()
    answer = agent.run(f"{source}return total + {number}", image)
    return answer, time.monotonic() - begun


def fault(misdeed: str, number: int, answer: Answer, seconds: float) -> str:
    """What is wrong with an answer; empty if nothing is."""
    if seconds > SECONDS + LATE:
        return f"it took {seconds:.1f} s"
    message = MISDEEDS.get(misdeed, "")
    if message:
        return "" if message in answer.message else f"{answer.status} {answer.value}: {answer.message}"
    right = 2 * (64 + number % 7) + number
    return "" if answer.value == right else f"{answer.status} {answer.value}, not {right}: {answer.message}"


def holds() -> dict[str, int]:
    """What this process holds."""
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return {"MiB of memory": resident >> 20, "descriptors": len(os.listdir("/proc/self/fd"))}


class _Never:
    """A planner that is never asked."""

    name = "never"

    def plan(self, request: object) -> object:
        raise AssertionError(request)


if __name__ == "__main__":
    sys.exit(main())

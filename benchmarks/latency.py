"""Where `visprog ask` spends its time, cold and warm.

    python benchmarks/latency.py [IMAGE QUESTION] [--runs 7] [--server URL] [--json]

Each run is a process of its own, which asks twice: the first answer is cold, the second (of the same process, with an
empty cache of results) is warm. The phases are the times between the events of a run; `start` is the start of Python.
`command` is the whole command `visprog ask`, with `--server` also the one that asks that server. `imports` are the
packages whose import took longest (`-X importtime`), without those that they import in turn. Minimum and median of all
runs, in milliseconds: wall time, and processor time of the process (of a command: of all its processes). One command
before them, which is not counted, leaves files in memory and byte code on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE, QUESTION = str(ROOT / "examples/signs.png"), "What is written on the red octagon?"

PHASES = """
import sys, time
stamps = []

def stamp(name):
    stamps.append((name, time.monotonic(), time.process_time()))

stamp("start")
from visprog import Agent
stamp("imports")
agent = Agent(cache=0)
stamp("agent")

def listen(event):
    kind = type(event).__name__
    name = {"Planned": "planning", "Checked": "check", "CallStarted": "program", "Answered": "answer"}.get(kind)
    stamp(name or event.tool)

for _ in range(2):
    answer = agent.ask(sys.argv[2], sys.argv[1], on_event=listen)
    stamp("return")
agent.close()
import json
print(json.dumps([stamps, answer.status]))
"""

Times = Mapping[str, tuple[float, float]]
"""Wall and processor time by phase, in seconds."""


def phases(image: str, question: str) -> Times:
    """The phases of a process that asks twice."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", PHASES, image, question], capture_output=True, text=True, check=True
    )
    stamps, status = json.loads(done.stdout)
    if status != "answered":
        raise SystemExit(f"the question was not answered but {status}")
    found: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    last, state = (begin, 0.0), "cold"
    for name, *now in stamps:
        for key in (f"{state}: {name}", f"{state}: total"):
            found[key] = (found[key][0] + now[0] - last[0], found[key][1] + now[1] - last[1])
        last, state = (now[0], now[1]), "warm" if name == "return" else state
    return dict(found)


def command(arguments: Sequence[str]) -> tuple[float, float]:
    """Wall time of `visprog` with these arguments, and processor time of all its processes, in seconds."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "visprog", *arguments], check=True, stdout=subprocess.DEVNULL, cwd=ROOT
    )
    wall, after = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def imports(image: str, question: str, most: int = 12) -> dict[str, float]:
    """Seconds that the modules of each package took to be imported, the slowest packages first."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", PHASES, image, question],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, float] = defaultdict(float)
    for line in done.stderr.splitlines():
        parts = line.removeprefix("import time:").split("|")
        if len(parts) == 3 and parts[0].strip().isdigit():
            found[parts[2].strip().partition(".")[0]] += int(parts[0]) / 1e6
    return dict(sorted(found.items(), key=lambda pair: -pair[1])[:most])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("image", nargs="?", default=IMAGE)
    parser.add_argument("question", nargs="?", default=QUESTION)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--server", default="", help="URL of a server that is asked too")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.pop("VISPROG_SERVER", None)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed package has its byte code
    ask = ["ask", str(Path(options.image).resolve()), options.question]
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    command(ask)
    for _ in range(options.runs):
        for name, times in phases(*ask[1:]).items():
            rows[name].append(times)
        rows["command"].append(command(ask))
        if options.server:
            rows["command --server"].append(command([*ask, "--server", options.server]))
    slowest = [imports(*ask[1:]) for _ in range(min(3, options.runs))]
    least = {name: min(each.get(name, 0.0) for each in slowest) for name in slowest[0]}
    report(rows, least, options.json)


def report(
    rows: Mapping[str, Sequence[tuple[float, float]]], slowest: Mapping[str, float], as_json: bool
) -> None:
    table = {
        name: {
            f"{clock}_{kind}": round(1e3 * of(values), 1)
            for clock, values in zip(("wall", "cpu"), zip(*times, strict=True), strict=True)
            for kind, of in (("min", min), ("median", statistics.median))
        }
        for name, times in rows.items()
    }
    packages = {name: round(1e3 * seconds, 1) for name, seconds in slowest.items()}
    if as_json:
        print(json.dumps({"milliseconds": table, "imports": packages}, indent=2))
        return
    print(f"{'milliseconds':<24}{'wall min':>12}{'median':>9}{'cpu min':>12}{'median':>9}")
    for name, each in table.items():
        wall, wall_median, cpu, cpu_median = each.values()
        print(f"{name:<24}{wall:>12.0f}{wall_median:>9.0f}{cpu:>12.0f}{cpu_median:>9.0f}")
    print("\nimports: " + ", ".join(f"{name} {ms:.0f}" for name, ms in packages.items()))


if __name__ == "__main__":
    main()

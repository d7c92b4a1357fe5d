"""Runs what is too long for every change, and writes down what came of it: `make nightly`.

    python -m tests.fuzz.nightly [--seconds 1800] [--programs 10000] [--jobs 2] [--only PART] [-o docs/nightly.json]

Every weakening of the sandbox's table is tried, the fuzzers of frames, images, files and requests run for a stated time
each, and the soak test runs. The file holds the date, the commit, the machine and the counts; with `--only`, the parts
that did not run keep their results, each with its own date. Exit code 1: something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.sandbox.weaken import WEAKENINGS, try_out

ROOT = Path(__file__).resolve().parents[2]
RESULT = ROOT / "docs/nightly.json"
FUZZERS = {
    "frames": "tests.sandbox.fuzz_frames",
    "images": "tests.fuzz.images",
    "files": "tests.fuzz.files",
    "requests": "tests.fuzz.requests",
}
PARTS = ("weakenings", *FUZZERS, "soak")


def weakenings(options: argparse.Namespace) -> dict[str, Any]:
    """What became of each weakening, by its name."""
    with ThreadPoolExecutor(options.jobs) as pool:
        verdicts = list(pool.map(try_out, WEAKENINGS))
    results = {verdict.weakening.name: verdict.result for verdict in verdicts}
    bad = [
        f"{v.weakening.name}: {v.result}: {v.why}" for v in verdicts if v.result not in ("caught", "skipped")
    ]
    return {"results": results, "failures": bad}


def fuzzer(module: str, options: argparse.Namespace) -> dict[str, Any]:
    """The report of a fuzzer, with a seed of its own for each day."""
    seed = datetime.now(UTC).toordinal()
    command = ["-m", module, "--seconds", str(options.seconds), "--seed", str(seed), "--json"]
    return report(command, {"seed": seed})


def soak(options: argparse.Namespace) -> dict[str, Any]:
    found = report(["benchmarks/soak.py", "--programs", str(options.programs), "--json"], {})
    kept = {k: found[k] for k in ("programs", "statuses", "lost") if k in found}
    return {
        **kept,
        "failures": [*found.get("failures", ()), *found.get("wrong", ()), *found.get("grown", ())],
    }


def report(command: list[str], known: dict[str, Any]) -> dict[str, Any]:
    """What a program prints as JSON at its end; if it prints nothing, how it ended is a failure."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    return {**known, "failures": [f"ended with {done.returncode}: {done.stderr[-500:]}"]}


def machine() -> dict[str, Any]:
    """The machine in a few words."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """The commit of the working tree, with a + if it has changes."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1800, help="of each fuzzer")
    parser.add_argument("--programs", type=int, default=10_000, help="of the soak test")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="weakenings at a time")
    parser.add_argument("--only", choices=PARTS, action="append", help="part to run; may be repeated")
    parser.add_argument("-o", "--output", type=Path, default=RESULT)
    options = parser.parse_args()
    run: dict[str, Callable[[], dict[str, Any]]] = {
        "weakenings": lambda: weakenings(options),
        **{name: (lambda module=module: fuzzer(module, options)) for name, module in FUZZERS.items()},
        "soak": lambda: soak(options),
    }
    known: dict[str, Any] = json.loads(options.output.read_text()) if options.output.exists() else {}
    for part in options.only or PARTS:
        begin = time.monotonic()
        found = run[part]()
        known[part] = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "commit": commit(),
            "machine": machine(),
            "seconds": round(time.monotonic() - begin),
            **found,
        }
        options.output.write_text(json.dumps(known, indent=1) + "\n")  # also if a later part is interrupted
        print(f"{part}: {len(found['failures'])} failures", *found["failures"], sep="\n  ", flush=True)
    return 1 if any(known[part]["failures"] for part in known) else 0


if __name__ == "__main__":
    sys.exit(main())

"""Takes one defence of the sandbox away at a time, and shows that a test then fails.

    python -m tests.sandbox.weaken [--list] [--only NAME] [--jobs 2]

Each defence of the table is weakened in a copy of the repository, never in the repository itself, and the test
named for it runs there. Exit code 1: a weakening was not caught, or its text is no longer in its file. A test
that this machine skips (a kernel without Landlock, say) counts as neither.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .weakenings import WEAKENINGS, Weakening

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("sandbox", "visprog", "tests/sandbox", "tests/conftest.py", "pyproject.toml")
PATIENCE = 60
"""Seconds for one test: some weakenings make a run endless."""


@dataclass(frozen=True)
class Verdict:
    """What became of one weakening; `why` is the last word of the test."""

    weakening: Weakening
    result: Literal["caught", "NOT caught", "skipped", "broken"]
    why: str


def occurrences(weakening: Weakening) -> int:
    """How often the text that it replaces stands in its file: once, or the table is out of date."""
    return (ROOT / "sandbox" / weakening.file).read_text("utf-8").count(weakening.old)


@contextmanager
def copy_of_repository() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="weaken-") as folder:
        for name in COPIED:
            source, target = ROOT / name, Path(folder, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
                shutil.copytree(source, target, symlinks=True, ignore=ignored)
            else:
                shutil.copy(source, target)
        yield Path(folder)


def try_out(weakening: Weakening) -> Verdict:
    """Weakens a copy and runs the test there."""
    if occurrences(weakening) != 1:
        return Verdict(
            weakening, "broken", f"its text stands {occurrences(weakening)} times in {weakening.file}"
        )
    with copy_of_repository() as folder:
        file = folder / "sandbox" / weakening.file
        file.write_text(file.read_text("utf-8").replace(weakening.old, weakening.new), "utf-8")
        return Verdict(weakening, *run_test(weakening.test, folder))


def run_test(test: str, folder: Path) -> tuple[Literal["caught", "NOT caught", "skipped", "broken"], str]:
    """Runs a test in a copy. It has to fail by itself: what breaks before the test begins proves nothing."""
    try:
        code, output = pytest([test], folder)
    except subprocess.TimeoutExpired:
        return "caught", "the test does not end"
    lines = output.strip().split("\n")
    marked = [line for line in lines if line.startswith(("FAILED", "SKIPPED", "E "))]
    why = (marked or lines)[-1][:200]
    summary = lines[-1]
    if code == 1 and " failed" in summary and " error" not in summary:
        return "caught", why
    if code == 0:
        return ("NOT caught" if " passed" in summary else "skipped"), why
    return "broken", why


def pytest(tests: list[str], folder: Path, patience: float = 2 * PATIENCE) -> tuple[int, str]:
    """The exit code and the output of tests in a copy."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-rsf", "--tb=line", "-p", "no:cacheprovider",
               "-p", "pytest_timeout", f"--timeout={PATIENCE}",
               *(f"tests/sandbox/{test}" for test in tests)]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, output


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="show the table and run nothing")
    parser.add_argument("--only", metavar="NAME", help="the weakenings with this text in their name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    chosen = [weakening for weakening in WEAKENINGS if (arguments.only or "") in weakening.name]
    if not chosen:
        parser.error(f"no weakening is named {arguments.only!r}; --list shows them")
    if arguments.list:
        for weakening in chosen:
            print(f"{weakening.name:32}{weakening.file:16}{weakening.test}")
        return 0
    with copy_of_repository() as folder:
        tests = sorted({weakening.test for weakening in chosen})
        code, output = pytest(tests, folder, patience=20 * PATIENCE)
        if code != 0:
            print(output, "these tests fail while nothing is weakened: they prove nothing", sep="\n")
            return 1
    results: dict[str, int] = {}
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for verdict in pool.map(try_out, chosen):
            results[verdict.result] = results.get(verdict.result, 0) + 1
            print(f"{verdict.result:12}{verdict.weakening.name:32}{verdict.why}", flush=True)
    print(", ".join(f"{count} {result}" for result, count in sorted(results.items())))
    return 1 if "NOT caught" in results or "broken" in results else 0


if __name__ == "__main__":
    sys.exit(main())

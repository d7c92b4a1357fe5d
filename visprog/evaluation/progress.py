"""Progress of a run on standard error: a bar on a terminal, otherwise a line now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

INTERVAL = 30.0
"""Seconds between two lines without a terminal."""


@contextmanager
def progress(total: int, done: int = 0) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Context manager that gives the function to call with every row that is written.

    Rows with "right" are answers, and their share of right ones is shown.

    Args:
        total: Number of questions, or of parts, of the run.
        done: Number of those that an earlier run has answered.
    """
    if sys.stderr.isatty():
        with _bar(total, done) as step:
            yield step
        return
    count, right, start, last_line = done, 0, time.monotonic(), time.monotonic()

    def report(row: Mapping[str, Any]) -> None:
        nonlocal count, right, last_line
        count, right, now = count + 1, right + row.get("right", 0), time.monotonic()
        if now - last_line >= INTERVAL or count == total:
            last_line = now
            rate = (count - done) / max(now - start, 1e-9)
            left = _duration((total - count) / rate)
            share = f" · {right / (count - done):.0%} right" if "right" in row else ""
            print(f"{count} of {total} · {rate:.2g} per second · {left} left{share}", file=sys.stderr)

    yield report


@contextmanager
def _bar(total: int, done: int) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("left{task.fields[right]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total, completed=done, rate="", right="")
        count, right, start = 0, 0, time.monotonic()

        def step(row: Mapping[str, Any]) -> None:
            nonlocal count, right
            count, right = count + 1, right + row.get("right", 0)
            rate = count / max(time.monotonic() - start, 1e-9)
            share = f" · {right / count:.0%} right" if "right" in row else ""
            bar.update(task, advance=1, rate=f"{rate:.2g} per second ·", right=share)

        yield step


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"

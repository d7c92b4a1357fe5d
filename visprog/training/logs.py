"""What a run reports: a progress bar, CSV files, and TensorBoard if it is installed."""

from __future__ import annotations

import csv
import io
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from visprog.files.plain_text import read_text

from .checkpoint import TrainingError

LINE_EVERY = 30.0
"""Seconds between lines of progress where there is no terminal to draw a bar on."""


class StepTable:
    """A CSV file with a row a step, flushed at each, that can be cut back to a step.

    Args:
        last_step: rows of later steps are dropped.
    """

    def __init__(self, path: Path, last_step: int) -> None:
        self.path = path
        rows = _rows(path, last_step)
        self.columns = rows[0] if rows else []
        part = path.with_suffix(".part")
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows(rows)
        os.replace(part, path)
        self.file = path.open("a", newline="", encoding="utf-8")
        self.writer = csv.writer(self.file)

    def add(self, row: Mapping[str, float]) -> None:
        """Write a row. The first row decides the columns; raises `TrainingError` where another differs."""
        if not self.columns:
            self.columns = list(row)
            self.writer.writerow(self.columns)
        if set(row) != set(self.columns):
            raise TrainingError(
                f"{self.path.name} has columns {', '.join(self.columns)}, but a step gave {', '.join(row)}: "
                "an objective must always return the same names"
            )
        self.writer.writerow([repr(row[c]) for c in self.columns])
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class Reporter:
    """Shows how a run goes. Only the main process has one that is not `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=quiet)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.last_line = time.monotonic()
        self.rate: float | None = None

    def say(self, text: str) -> None:
        """A line above the bar."""
        self.console.print(Text(text))

    def start(self, name: str, step: int, steps: int) -> None:
        self.bar = self.progress.add_task(name, total=steps, completed=step, rate="", loss=math.nan)
        self.progress.start()

    def step(self, step: int, steps: int, loss: float, rate: float) -> None:
        """After each step; `rate` is in samples a second."""
        self.rate = rate if self.rate is None else 0.95 * self.rate + 0.05 * rate
        shown = f"{self.rate:,.0f} samples/s" if self.rate >= 10 else f"{self.rate:.2g} samples/s"
        self.progress.update(self.bar, completed=step, loss=loss, rate=shown)
        if self.progress.disable and time.monotonic() - self.last_line > LINE_EVERY:
            self.last_line = time.monotonic()
            self.say(f"step {step} of {steps}, {shown}, loss {loss:.4f}")

    def stop(self) -> None:
        self.progress.stop()


class RunLog:
    """The logs in a run's folder, written by the main process. On resume, what came after `step` is dropped."""

    def __init__(self, folder: Path, step: int, reporter: Reporter) -> None:
        self.losses = StepTable(folder / "log.csv", step)
        self.scores = StepTable(folder / "evaluation.csv", step)
        self.board = _tensorboard(folder / "tensorboard", step, reporter)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.losses.close()
        self.scores.close()
        if self.board is not None:
            self.board.close()

    def step(self, row: Mapping[str, float]) -> None:
        """Losses of a step: "step", "loss" and whatever else."""
        self.losses.add(row)
        self._draw("train", row)

    def evaluation(self, row: Mapping[str, float]) -> None:
        """Scores of an evaluation: "step" and the scores."""
        self.scores.add(row)
        self._draw("val", row)

    def _draw(self, group: str, row: Mapping[str, float]) -> None:
        if self.board is not None:
            for name, value in row.items():
                if name != "step":
                    self.board.add_scalar(f"{group}/{name}", value, int(row["step"]))


def _rows(path: Path, last_step: int) -> list[list[str]]:
    if not path.exists():
        return []
    header, *rows = list(csv.reader(io.StringIO(read_text(path), newline=""))) or [[]]
    # A row that a kill cut short has too few cells; it came after the checkpoint in any case.
    kept = [r for r in rows if len(r) == len(header) and r[0].isdecimal() and int(r[0]) <= last_step]
    return [header, *kept] if kept else []


def _tensorboard(folder: Path, step: int, reporter: Reporter) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        reporter.say("no TensorBoard curves: pip install tensorboard")
        return None
    try:
        return SummaryWriter(str(folder), purge_step=step + 1)
    except UnicodeEncodeError:
        reporter.say("no TensorBoard curves: the name of the folder is not UTF-8")
        return None

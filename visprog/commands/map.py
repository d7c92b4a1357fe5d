"""`visprog map`: one question, a folder of images, a file of answers."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .answering import type_of
from .common import (
    BackendOption,
    ConfigOption,
    JsonOption,
    MaxPixelsOption,
    PlannerOption,
    RecordOption,
    ReplayOption,
    ReturnsOption,
    ToolsOption,
)
from .result import Result, UsageError
from .settings import load_settings
from .status import say

if TYPE_CHECKING:
    from ..agent import Agent
    from ..mapping.map import MapResult
    from ..mapping.results import Results
    from ..mapping.saved_images import SavedImages


def map_command(
    question: Annotated[
        str, typer.Argument(metavar='"QUESTION"', help="Question in quotes.", show_default=False)
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Folder of images, or of videos.", show_default=False)
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write the answers to: .jsonl, .csv or .parquet.")
    ] = Path("results.jsonl"),
    jobs: Annotated[
        int, typer.Option("--jobs", min=1, help="Number of programs that run at the same time.")
    ] = 8,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of images to ask about in this run.")
    ] = None,
    program: Annotated[
        Path | None, typer.Option("--program", help="Program to run instead of planning one.")
    ] = None,
    plan_each: Annotated[
        bool, typer.Option("--plan-each", help="Plan once per image, and repair programs that fail.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again about images whose row is an error.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Folder to write answers to that are images.")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run on the machines of a Ray cluster.")] = False,
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    max_pixels: MaxPixelsOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Ask one question about all images in a folder: planned once, run on several images at a time.

    If the folder has no still images, its videos are asked about. Images that the output file already holds are not
    asked about again: the same command resumes an interrupted run.

    \b
    visprog map "How many people are there?" photos/ -o people.parquet
    visprog map "Is there a red circle?" scans/ -o red.csv --jobs 16 --backend detect=owlv2
    visprog map "" photos/ --program count_people.py -o people.jsonl
    visprog map "Blur everything except the dog" dogs/ --save blurred/
    """
    from ..agent import Agent
    from ..mapping.results import Results

    if program is None and not question.strip():
        raise UsageError('the question is empty: visprog map "QUESTION" FOLDER -o results.parquet')
    if not folder.is_dir() and Path(question).is_dir():
        raise UsageError('the question comes first: visprog map "QUESTION" FOLDER')
    if program is not None and plan_each:
        raise UsageError("either one program for all images, or --plan-each")
    _keep_inputs(output, folder, [program, config, _recorded_plans(planner)], record)
    with (
        Results(output, question, retry=retry) as results,
        Agent(
            planner,
            load_settings(config, tools, backend, max_pixels=max_pixels),
            record=record,
            replay=replay,
            standby=0 if ray else jobs,
        ) as agent,
    ):
        run = _Run(agent, results, folder, limit, save)
        options = {
            "program": run.program(program, plan_each),
            "plan_each": plan_each,
            "returns": type_of(returns),
            "jobs": jobs,
            "on": "ray" if ray else "threads",
        }
        run.go(options)
        summary = run.summary()
    if not json:
        print(run.text())
    return Result(summary, 0 if summary["answered"] or not summary["images"] else 1)


class _Run:
    """One call of the command: the images that are left, the progress and the counts per status."""

    def __init__(
        self, agent: Agent, results: Results, folder: Path, limit: int | None, save: Path | None
    ) -> None:
        self.agent = agent
        self.results = results
        self.missing = results.missing(folder)
        self.there = len(results)
        self.left = len(self.missing) if limit is None else min(len(self.missing), limit)
        if self.missing.notice:
            say(self.missing.notice)
        self.saved: SavedImages | None = None
        if save is not None:
            from ..mapping.saved_images import SavedImages

            self.saved = SavedImages(save, folder)
        self.statuses: Counter[str] = Counter()
        self.planned = ""
        self.seconds = 0.0

    def program(self, given: Path | None, plan_each: bool) -> str | None:
        """The program to run: the one given, or the one that made the existing rows.

        Raises:
            VisprogError: Another program than the one given made the existing rows.
        """
        from ..errors import VisprogError
        from ..program import program_source

        before = self.results.program
        if given is not None:
            source = program_source(given)
            if before and source != before:
                raise VisprogError(
                    f"{self.results.path} holds the answers of another program: name another file"
                )
            return source
        return None if plan_each else before or None

    def go(self, options: Mapping[str, Any]) -> None:
        """Ask about the images that are left, and write the file; an interruption keeps the answers so far."""
        started = time.monotonic()
        images = self.missing.first(self.left)
        mapped = self.agent.map(self.results.question, images, ordered=False, progress=False, **options)
        try:
            with closing(mapped), _progress(self.left) as show:
                for result in mapped:
                    if self.saved is not None:
                        result = _save(result, self.saved)
                    self.results.add(result)
                    self.statuses[result.answer.status] += 1
                    self.planned = self.planned or result.answer.program
                    show(result, self.statuses)
        except KeyboardInterrupt:
            say(f"interrupted: {len(self.results)} answers are kept; run the same command again to resume")
            raise
        self.results.finish()
        self.seconds = time.monotonic() - started

    @property
    def asked(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.asked / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return {
            "status": "ok",
            "output": str(self.results.path),
            "images": self.asked,
            "there_before": self.there,
            "left_out": dict(self.missing.left_out),
            "answered": self.statuses["answered"] + self.statuses["fallback"],
            "refused": self.statuses["refused"],
            "errors": self.statuses["error"],
            "program": self.results.program or self.planned,
            "planner": self.agent.planner.name,
            "seconds": round(self.seconds, 3),
            "images_per_second": round(self.rate, 3),
            "batches": self.agent.host.batches(),
        }

    def text(self) -> str:
        """The summary as text."""
        from ..files.reading import printable

        counts = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        kind = "videos" if self.missing.are_videos else "images"
        text = f"{self.asked} {kind} in {self.seconds:.1f} s ({_pace(self.rate)})"
        text += f": {counts}" if counts else ""
        text += f"; {self.there} were there before" if self.there else ""
        return f"{text}\n{printable(self.results.path)}"


def _save(result: MapResult, folder: SavedImages) -> MapResult:
    """Write an answer that is one or more images; if that fails, the row is an error that says why."""
    from ..errors import ImageError

    try:
        folder.save(result.image, result.answer)
    except ImageError as error:
        message = f"the answer could not be saved: {error}"
        return replace(result, answer=replace(result.answer, status="error", value=None, message=message))
    return result


def _keep_inputs(output: Path, folder: Path, inputs: Sequence[Path | None], record: Path | None) -> None:
    """Raise `VisprogError` if an output would overwrite an input."""
    from ..errors import VisprogError
    from ..files.outputs import is_inside, keep_inputs
    from ..files.reading import printable

    given = [each for each in inputs if each is not None]
    keep_inputs(output, given)
    keep_inputs(output.with_name(f"{output.name}.jsonl"), given)
    if record is not None and is_inside(record, folder):
        raise VisprogError(
            f"the recording {printable(record)} would lie among the images: name another folder"
        )


def _recorded_plans(planner: str | None) -> Path | None:
    """Path of the file that `replay:FILE` reads its programs from."""
    form, _, rest = (planner or "").partition(":")
    return Path(rest).expanduser() if form == "replay" and rest else None


def _pace(rate: float) -> str:
    """How fast images per second are, in words; videos take seconds each."""
    return f"{rate:.1f} per second" if rate >= 1 or not rate else f"{1 / rate:.1f} s each"


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """Progress bar on standard error with rate and time left; without a terminal, a line every 30 seconds."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failed]}"),
    )
    started = last_line = time.monotonic()
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=total, rate="", failed="")

        def show(result: MapResult, statuses: Counter[str]) -> None:
            nonlocal last_line
            done, now = sum(statuses.values()), time.monotonic()
            rate = done / max(now - started, 1e-9)
            failed = statuses["refused"] + statuses["error"]
            bar.update(
                task,
                completed=done,
                rate=_pace(rate),
                failed=f"{failed} without an answer" if failed else "",
            )
            if bar.disable and now - last_line > 30:
                last_line = now
                left = (total - done) / rate
                console.print(
                    f"{done} of {total}, {_pace(rate)}, {left:.0f} s left, {failed} without an answer",
                    highlight=False,
                )

        yield show

"""`visprog map`: one question, a folder of pictures, a file of answers."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    BackendOption,
    ConfigOption,
    JsonOption,
    PlannerOption,
    RecordOption,
    ReplayOption,
    Result,
    ReturnsOption,
    ToolsOption,
    UsageError,
    load_settings,
    say,
    type_of,
)

if TYPE_CHECKING:
    from ..agent import Agent
    from ..map import Mapped
    from ..results import Results


def map_command(
    question: Annotated[str, typer.Argument(metavar='"QUESTION"', show_default=False)],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", show_default=False)],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File of the answers: .jsonl, .csv or .parquet.")
    ] = Path("results.jsonl"),
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Programs that run at once.")] = 8,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Ask so many pictures, now.")] = None,
    program: Annotated[
        Path | None, typer.Option("--program", help="Run this program instead of planning one.")
    ] = None,
    plan_each: Annotated[
        bool, typer.Option("--plan-each", help="Plan anew for each picture, and mend programs that fail.")
    ] = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again where the file holds no answer, but an error.")
    ] = False,
    save: Annotated[
        Path | None, typer.Option("--save", help="Write answers that are pictures to this folder.")
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run on the machines of a Ray cluster.")] = False,
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Ask one question of all pictures in a folder: planned once, run on several at a time.

    What the file of answers holds already is not asked again: after an interruption the same command goes on.

    \b
    visprog map "How many people are there?" photos/ -o people.parquet
    visprog map "Is there a red circle?" scans/ -o red.csv --jobs 16 --backend detect=owlv2
    visprog map "" photos/ --program count_people.py -o people.jsonl
    visprog map "Blur everything except the dog" dogs/ --save blurred/
    """
    from ..agent import Agent
    from ..results import Results

    if program is None and not question.strip():
        raise UsageError('the question is empty: visprog map "QUESTION" FOLDER -o results.parquet')
    if program is not None and plan_each:
        raise UsageError("either one program for all pictures, or --plan-each")
    with (
        Results(output, question, retry=retry) as results,
        Agent(
            planner,
            load_settings(config, tools, backend),
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
    """One call of the command: what is left to ask, how it goes, and what came of it."""

    def __init__(
        self, agent: Agent, results: Results, folder: Path, limit: int | None, save: Path | None
    ) -> None:
        from ..map import sources

        self.agent = agent
        self.results = results
        self.folder = folder
        self.save = save
        self.there = len(results)
        self.left = sum(1 for _ in results.missing(sources(folder)))
        self.left = self.left if limit is None else min(self.left, limit)
        self.statuses: Counter[str] = Counter()
        self.planned = ""
        self.seconds = 0.0

    def program(self, given: Path | None, plan_each: bool) -> str | None:
        """The program to run: the one given, or the one that the rows that are there came of.

        Raises:
            VisprogError: those came of another than the one given.
        """
        from ..errors import VisprogError

        before = self.results.program
        if given is not None:
            source = self.agent.checked(given).program
            if before and source != before:
                raise VisprogError(
                    f"{self.results.path} holds the answers of another program: name another file"
                )
            return source
        return None if plan_each else before or None

    def go(self, options: Mapping[str, Any]) -> None:
        """Ask what is left, and write the file; interrupted, what is there stays."""
        from itertools import islice

        started = time.monotonic()
        pictures = islice(self.results.missing(self.folder), self.left)
        mapped = self.agent.map(self.results.question, pictures, ordered=False, **options)
        try:
            with closing(mapped), _progress(self.left) as show:
                for result in mapped:
                    if self.save is not None:
                        _save(result, self.save)
                    self.results.add(result)
                    self.statuses[result.answer.status] += 1
                    self.planned = self.planned or result.answer.program
                    show(result, self.statuses)
        except KeyboardInterrupt:
            say(f"interrupted: {len(self.results)} answers are kept; the same command goes on from there")
            raise
        self.results.finish()
        self.seconds = time.monotonic() - started

    @property
    def asked(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        """Pictures a second."""
        return self.asked / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "status": "ok",
            "output": str(self.results.path),
            "images": self.asked,
            "there_before": self.there,
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
        """The same for people."""
        counts = ", ".join(f"{n} {status}" for status, n in sorted(self.statuses.items()))
        text = f"{self.asked} pictures in {self.seconds:.1f} s ({self.rate:.1f} a second)"
        text += f": {counts}" if counts else ""
        text += f"; {self.there} were there before" if self.there else ""
        return f"{text}\n{self.results.path}"


def _save(result: Mapped, folder: Path) -> None:
    """Write the pictures that an answer is, under the name of the picture that was asked about."""
    from ..errors import VisprogError
    from ..values.image import Image

    value = result.answer.value
    pictures = [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, Image)]
    for number, picture in enumerate(pictures, 1):
        path = (folder / result.image).with_suffix(".png")
        path = path if len(pictures) == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VisprogError(f"cannot write {path}: {error.strerror or error}") from None
        picture.save(path)


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on standard error with rate and time left; where nobody looks, a line every half minute."""
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
    started = said = time.monotonic()
    with Progress(*columns, console=console, disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task("", total=total, rate="", failed="")

        def show(result: Mapped, statuses: Counter[str]) -> None:
            nonlocal said
            done, now = sum(statuses.values()), time.monotonic()
            rate = done / max(now - started, 1e-9)
            failed = statuses["refused"] + statuses["error"]
            bar.update(
                task,
                completed=done,
                rate=f"{rate:.1f}/s",
                failed=f"{failed} without an answer" if failed else "",
            )
            if bar.disable and now - said > 30:
                said = now
                left = (total - done) / rate
                console.print(
                    f"{done} of {total}, {rate:.1f}/s, {left:.0f} s left, {failed} without an answer",
                    highlight=False,
                )

        yield show

"""`visprog eval`: a benchmark, or two of its runs side by side."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .common import ConfigOption, Group, JsonOption, PlannerOption, Result, ResumeOption, UsageError


class Shown(StrEnum):
    """An outcome whose questions are listed."""

    wrong = "wrong"
    refused = "refused"


evaluation = typer.Typer(
    cls=Group,
    help="Judge a planner and tools: visprog eval BENCHMARK DATA; see visprog eval benchmark --help.",
    rich_markup_mode=None,
)


@evaluation.command("benchmark")
def eval_benchmark(
    benchmark: Annotated[
        str | None, typer.Argument(metavar="BENCHMARK", help="As --list names it.", show_default=False)
    ] = None,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA", help="Folder, zip archive or file of the data set.", show_default=False
        ),
    ] = None,
    planner: PlannerOption = None,
    config: ConfigOption = None,
    split: Annotated[str | None, typer.Option("--split", help="Part of the data set, such as val.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only so many questions.")] = None,
    oracle: Annotated[
        bool,
        typer.Option("--oracle", help="Tools answer from the truth: what is then wrong, the planner did."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run; runs/eval-BENCHMARK, if not given."),
    ] = None,
    resume: ResumeOption = None,
    names: Annotated[bool, typer.Option("--list", help="Print the benchmarks and what they read.")] = False,
    json: JsonOption = False,
) -> Result:
    """Ask the questions of a benchmark and score the answers (this is what visprog eval BENCHMARK DATA means).

    \b
    visprog eval blindtest blindtest.zip
    visprog eval gqa data/gqa --planner openai:MODEL --limit 500
    visprog eval nlvr nlvr.zip --planner replay:programs.jsonl --oracle
    visprog eval csv questions.csv -o runs/mine
    visprog eval compare runs/eval-nlvr runs/eval-nlvr-oracle
    """
    from ..evaluation.benchmark import benchmark_names, load_class, open_benchmark

    if names:
        about = {name: _about(load_class(name)) for name in benchmark_names()}
        if not json:
            for name, text in about.items():
                print(f"{name:<12}{text}")
        return Result({"status": "ok", "benchmarks": about})
    if benchmark is None or data is None:
        raise UsageError("write visprog eval BENCHMARK DATA; visprog eval --list names the benchmarks")
    from ..config import Config
    from ..evaluation.folder import RunFolder
    from ..evaluation.progress import progress
    from ..evaluation.report import write_report
    from ..evaluation.run import evaluate
    from ..evaluation.show import print_summary
    from ..evaluation.summary import summarise

    loaded = open_benchmark(benchmark, data, split)
    settings = Config.load(config)
    folder = output or Path("runs") / f"eval-{benchmark}{'-oracle' if oracle else ''}"
    total = min(len(loaded), limit or len(loaded))
    done = 0 if resume is False else len(list(RunFolder(folder, {}).ids()))
    try:
        with progress(total, min(done, total)) as watch:
            run = evaluate(
                loaded, folder, planner=planner, config=settings, oracle=oracle, limit=limit, resume=resume,
                watch=watch,
            )  # fmt: skip
    except KeyboardInterrupt:
        import sys

        print(f"\nkept in {folder}; the same command goes on", file=sys.stderr)
        raise
    summary = summarise(loaded, run)
    write_report(run, summary)
    if not json:
        print_summary(summary)
        print(f"\n{run.report}")
    return Result({"status": "ok", "folder": str(folder), **summary})


@evaluation.command("compare")
def eval_compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="RUN", show_default=False)],
    json: JsonOption = False,
) -> Result:
    """Show where two runs of a benchmark differ, and whether that can be chance.

    \b
    visprog eval compare runs/eval-nlvr runs/eval-nlvr-oracle
    """
    from ..evaluation.compare import compare
    from ..evaluation.folder import RunFolder
    from ..evaluation.show import print_comparison

    found = compare(RunFolder.read(first), RunFolder.read(second))
    if not json:
        print_comparison(found)
    return Result({"status": "ok", **found})


@evaluation.command("planner-questions")
def eval_planner_questions(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...", help="YAML files of questions; without any, those of the package."
        ),
    ] = None,
    planner: PlannerOption = None,
    config: ConfigOption = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Only so many questions.")] = None,
    show: Annotated[
        Shown | None, typer.Option("--show", help="List the questions with this outcome that was not wanted.")
    ] = None,
    gate: Annotated[
        bool, typer.Option("--gate", help="Exit with 1 unless the planner is good enough to be shipped.")
    ] = False,
    json: JsonOption = False,
) -> Result:
    """Judge a planner alone: its programs answer as reference programs do, in made-up pictures with perfect tools.

    \b
    visprog eval planner-questions
    visprog eval planner-questions my_questions.yaml --planner openai:MODEL --show wrong
    visprog eval planner-questions --config visprog.toml --gate
    """
    from ..config import Config
    from ..evaluation.planner.planner_questions import (
        default_files,
        read_questions,
        score_questions,
        summarise,
        to_json,
    )
    from ..evaluation.progress import progress
    from ..evaluation.show import print_failures, print_planner_questions
    from ..planner.factory import make_planner

    questions = read_questions(files or default_files())[:limit]
    settings = Config.load(config)
    spec = planner or settings.planner
    writer = make_planner(spec, **(settings.planner_options if spec == settings.planner else {}))
    scores = []
    with progress(len(questions), 0) as watch:
        for score in score_questions(writer, questions):
            scores.append(score)
            watch({"right": score.good})
    summary = summarise(scores)
    failures = [to_json(s) for s in scores if not s.good]
    if not json:
        if show is not None:
            print_failures([f for f in failures if f["outcome"] == show.value])
        print_planner_questions(summary, writer.name)
    data = {"status": "ok", "planner": writer.name, **summary, "failures": failures}
    return Result(data, int(gate and not summary["open"]))


def _about(cls: type) -> str:
    """What a benchmark is, from the first line of its module."""
    import sys

    return (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0]

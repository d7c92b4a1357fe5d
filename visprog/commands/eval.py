"""`visprog eval`: run a benchmark, compare two runs, or judge a planner."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import ConfigOption, Group, JsonOption, PlannerOption, ResumeOption
from .result import Result, UsageError
from .settings import load_settings
from .status import say, working

if TYPE_CHECKING:
    from ..evaluation.models.benchmark import ModelBenchmark
    from ..evaluation.models.robustness import ClassifiedImages


class Shown(StrEnum):
    """Outcome whose questions `--show` lists."""

    wrong = "wrong"
    refused = "refused"


evaluation = typer.Typer(
    cls=Group,
    help="Measure a planner and tools: visprog eval BENCHMARK DATA; see visprog eval benchmark --help.",
    rich_markup_mode=None,
)


@evaluation.command("benchmark")
def eval_benchmark(
    benchmark: Annotated[
        str | None,
        typer.Argument(
            metavar="BENCHMARK", help="Name of a benchmark; --list prints them.", show_default=False
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Argument(
            metavar="DATA", help="Folder, zip archive or file of the data set.", show_default=False
        ),
    ] = None,
    planner: PlannerOption = None,
    config: ConfigOption = None,
    split: Annotated[str | None, typer.Option("--split", help="Split of the data set, such as val.")] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of questions to ask.")
    ] = None,
    oracle: Annotated[
        bool,
        typer.Option(
            "--oracle", help="Let tools answer from the ground truth: errors that remain are the planner's."
        ),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run; runs/eval-BENCHMARK by default."),
    ] = None,
    resume: ResumeOption = None,
    names: Annotated[
        bool, typer.Option("--list", help="Print the benchmarks and the data that each reads.")
    ] = False,
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
    from ..evaluation.models.benchmark import MODEL_BENCHMARKS, load_model_benchmark

    if names:
        about = {name: _about(load_class(name)) for name in benchmark_names()}
        of_models = {name: _about(load_model_benchmark(name)) for name in MODEL_BENCHMARKS}
        if not json:
            for name, text in {**about, **of_models}.items():
                print(f"{name:<18}{text}")
        return Result({"status": "ok", "benchmarks": about, "model_benchmarks": of_models})
    if benchmark is None or data is None:
        raise UsageError("write visprog eval BENCHMARK DATA; visprog eval --list names the benchmarks")
    from ..evaluation.folder import EvaluationFolder
    from ..evaluation.progress import progress
    from ..evaluation.report import write_report
    from ..evaluation.run import evaluate
    from ..evaluation.show import print_summary
    from ..evaluation.summary import summarise

    settings = load_settings(config)  # whose limits hold for the data
    loaded = open_benchmark(benchmark, data, split)
    folder = output or Path("runs") / f"eval-{benchmark}{'-oracle' if oracle else ''}"
    total = min(len(loaded), limit or len(loaded))
    done = 0 if resume is False else len(list(EvaluationFolder(folder, {}).ids()))
    try:
        with progress(total, min(done, total)) as watch:
            run = evaluate(
                loaded, folder, planner=planner, config=settings, oracle=oracle, limit=limit, resume=resume,
                watch=watch,
            )  # fmt: skip
    except KeyboardInterrupt:
        import sys

        print(f"\nresults are kept in {folder}; run the same command again to resume", file=sys.stderr)
        raise
    summary = summarise(loaded, run)
    write_report(run, summary)
    if not json:
        print_summary(summary)
        print(f"\n{run.report}")
    return Result({"status": "ok", "folder": str(folder), **summary})


@evaluation.command("compare")
def eval_compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    second: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.", show_default=False)],
    json: JsonOption = False,
) -> Result:
    """Show the questions on which two runs of a benchmark differ, and whether the difference can be chance.

    \b
    visprog eval compare runs/eval-nlvr runs/eval-nlvr-oracle
    """
    from ..evaluation.compare import compare
    from ..evaluation.folder import EvaluationFolder
    from ..evaluation.show import print_comparison

    found = compare(EvaluationFolder.read(first), EvaluationFolder.read(second))
    if not json:
        print_comparison(found)
    return Result({"status": "ok", **found})


@evaluation.command("planner-questions")
def eval_planner_questions(
    files: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE...", help="YAML files of questions; by default those of the package."),
    ] = None,
    planner: PlannerOption = None,
    config: ConfigOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Maximum number of questions to ask.")
    ] = None,
    show: Annotated[
        Shown | None,
        typer.Option(
            "--show", help="Outcome to list: questions answered wrong, or refused though they have an answer."
        ),
    ] = None,
    gate: Annotated[
        bool,
        typer.Option(
            "--gate",
            help="Exit with code 1 if the planner does not reach the scores that a shipped planner needs.",
        ),
    ] = False,
    json: JsonOption = False,
) -> Result:
    """Judge a planner alone: compare its programs with reference programs, on generated scenes with perfect tools.

    \b
    visprog eval planner-questions
    visprog eval planner-questions my_questions.yaml --planner openai:MODEL --show wrong
    visprog eval planner-questions --config visprog.toml --gate
    """
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

    settings = load_settings(config)
    questions = read_questions(files or default_files())[:limit]
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


@evaluation.command("compositionality")
def eval_compositionality(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...", help="Names of bundled models, folders, or hub ids.", show_default=False
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Folder or archive with the files of ARO and their images, or a JSON file of entries as in "
            "VG-Relation; by default drawn scenes.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=2, help="Number of entries per test (500 by default).")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run; runs/eval-compositionality by default."),
    ] = None,
    resume: ResumeOption = None,
    json: JsonOption = False,
) -> Result:
    """Measure whether models of images and texts tell "a red square left of a blue circle" from captions of the same
    words (ARO), beside plain retrieval.

    \b
    visprog eval compositionality clip
    visprog eval compositionality openai/clip-vit-base-patch32 runs/clip-hard-negatives/last
    visprog eval compositionality clip --data data/aro --limit 2000
    """
    from ..evaluation.models.compositionality import Compositionality

    return _measure(Compositionality(models, data, limit), output, resume, json)


@evaluation.command("robustness")
def eval_robustness(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL...",
            help="Folders, bundled models or hub ids; the bundled clip by default.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", help="Folder or zip with one folder of images per class; drawn scenes by default."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            help='Sentence for a class, with {} for its name; by default "a {}" for scenes, else "a photo of a {}."',
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option("--draws", min=1, help="Draws of the images that a few-shot probe is fitted on.")
    ] = 3,
    fine_tuning: Annotated[
        int, typer.Option("--fine-tuning", min=0, help="Steps of fine-tuning; 0 for none.")
    ] = 100,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Maximum number of test images.")] = 300,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder of the run; runs/eval-robustness by default."),
    ] = None,
    resume: ResumeOption = None,
    json: JsonOption = False,
) -> Result:
    """Measure models under other styles, corruptions and viewpoints: zero-shot, linear probes, and fine-tuned.

    \b
    visprog eval robustness
    visprog eval robustness openai/clip-vit-base-patch32 runs/simclr/best --data photographs/
    """
    from ..evaluation.models.robustness import RobustnessBenchmark

    with working("reading models and data"):
        benchmark = RobustnessBenchmark(
            models or ["clip"],
            None if data is None else _classified(data, limit),
            template=template or ("a {}" if data is None else "a photo of a {}."),
            draws=draws,
            fine_tuning=fine_tuning,
            limit=limit,
        )
    return _measure(benchmark, output, resume, json)


def _classified(data: Path, limit: int) -> ClassifiedImages:
    """The images of a folder of classes, divided as trainings divide them."""
    from ..evaluation.folder import data_digest
    from ..evaluation.models.robustness import ClassifiedImages
    from ..training.data.captions import Part, divide
    from ..training.data.pairs import read_classes

    pairs = read_classes(data, "{}")
    classes = tuple(sorted({entry.caption.strip() for entry in pairs.entries}))

    def part(name: Part, most: int | None) -> list[tuple[Any, int]]:
        places = divide(pairs.names, name)
        places = places if most is None else places[:: max(1, len(places) // most)][:most]
        labels = [classes.index(pairs.entries[i].caption.strip()) for i in places]
        return [(lambda i=i: pairs[i].image, label) for i, label in zip(places, labels, strict=True)]

    return ClassifiedImages(
        data.name, data_digest(data), classes, part("train", None), part("val", limit), part("test", limit)
    )


def _measure(benchmark: ModelBenchmark, output: Path | None, resume: bool | None, json: bool) -> Result:
    """Run a benchmark of models in its folder, with its progress, and print its tables."""
    from ..evaluation.folder import EvaluationFolder
    from ..evaluation.models.benchmark import run_model_benchmark
    from ..evaluation.progress import progress
    from ..evaluation.show import print_tables

    folder = output or Path("runs") / f"eval-{benchmark.name}"
    total = len(benchmark.parts())
    done = 0 if resume is False else len(list(EvaluationFolder(folder, {}).ids()))
    try:
        with progress(total, min(done, total)) as watch:
            summary = run_model_benchmark(benchmark, folder, resume=resume, watch=watch)
    except KeyboardInterrupt:
        say(f"\nresults are kept in {folder}; run the same command again to resume")
        raise
    if not json:
        print_tables(benchmark.tables(summary))
        print(f"\n{folder}")
    return Result({"status": "ok", "folder": str(folder), **summary})


def _about(cls: type) -> str:
    """Summary of a benchmark: the first line of its module's docstring."""
    import sys

    return (sys.modules[cls.__module__].__doc__ or "").strip().partition("\n")[0]

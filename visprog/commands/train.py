"""`visprog train`: a recipe, or one of the commands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import MissingExtra, VisprogError
from .common import Group, JsonOption, ResumeOption
from .result import Result, UsageError
from .status import say, working

train = typer.Typer(
    cls=Group,
    help="Train a model: visprog train RECIPE [KEY=VALUE ...]; see visprog train recipe --help.",
    rich_markup_mode=None,
)


@train.command("recipe")
def train_recipe(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE", help="A YAML file, or the name of a shipped recipe.", show_default=False
        ),
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE...", help="Keys of the recipe to change.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="Folder of the run; runs/RECIPE, if not given.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, memory and speed after ten steps, and stop.")
    ] = False,
    resume: ResumeOption = None,
    names: Annotated[bool, typer.Option("--list", help="Print the names of the shipped recipes.")] = False,
    keys: Annotated[
        bool, typer.Option("--keys", help="Print every key of the recipe: its value, meaning and default.")
    ] = False,
    allow_code: Annotated[
        bool,
        typer.Option("--allow-code", help="Let the recipe import the modules that it names as module:class."),
    ] = False,
    json: JsonOption = False,
) -> Result:
    """Train by a recipe (this is what visprog train RECIPE means).

    \b
    visprog train clip
    visprog train owl-boxes data=photographs/ steps=2000 optimizer.lr=3e-4
    visprog train clip --keys
    visprog train clip --dry-run
    torchrun --nproc-per-node 4 -m visprog train clip
    """

    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
    from visprog.training.recipe import load_recipe, shipped_recipes

    if names:
        if not json:
            print("\n".join(shipped_recipes()))
        return Result({"status": "ok", "recipes": shipped_recipes()})
    if recipe is None:
        raise UsageError(
            "the recipe is missing: visprog train RECIPE [KEY=VALUE ...], or visprog train --list"
        )
    from visprog.training.distributed.failures import ProcessFailed, ending_together
    from visprog.training.dry_run import dry_run as try_out
    from visprog.training.fit import conclusion, fit, is_main_process
    from visprog.training.keys import show_keys

    folder = output or Path("runs") / Path(recipe).stem
    try:
        with ending_together():
            loaded = load_recipe(recipe, changes or (), allow_code=allow_code)
        if keys:
            text, data = show_keys(loaded), {"status": "ok", "recipe": loaded.to_plain()}
        elif dry_run:
            report = try_out(loaded)
            text, data = str(report), {"status": "ok", **report.to_plain()}
        else:
            summary = fit(loaded, folder, resume=resume)
            text, data = (
                conclusion(folder, summary),
                {"status": "trained", "folder": str(folder), **summary},
            )
    except ProcessFailed as error:  # the message has been shown; the object is the main process's
        return Result({"status": "error", "message": str(error)} if is_main_process() else {}, 1)
    except VisprogError as error:
        if is_main_process():
            raise
        say(str(error))
        return Result({}, 1)
    if not is_main_process():
        return Result({})
    if not json:
        print(text)
    return Result(data)


@train.command("planner")
def train_planner(
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Batches to train on, in all.")] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of weights, vocabulary, checkpoint and log.")
    ] = Path("runs/planner"),
    batch: Annotated[int | None, typer.Option("--batch", min=1, help="Questions in a batch.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the corpus and the first weights.")] = None,
    vocab: Annotated[int | None, typer.Option("--vocab", min=300, help="Tokens in the vocabulary.")] = None,
    dim: Annotated[int | None, typer.Option("--dim", min=8, help="Width of the model.")] = None,
    layers: Annotated[int | None, typer.Option("--layers", min=1, help="Blocks of the model.")] = None,
    heads: Annotated[int | None, typer.Option("--heads", min=1, help="Attention heads of a block.")] = None,
    hidden: Annotated[int | None, typer.Option("--hidden", min=8, help="Width within a block.")] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option("--checkpoint-every", min=1, help="In steps.")
    ] = None,
    from_runs: Annotated[
        list[Path] | None,
        typer.Option(
            "--from-runs",
            help="Begin with the bundled planner, and learn the programs of a file: an evaluation's results.jsonl, a "
            "recording for replay, or examples.",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Start again, whatever --out holds.")] = False,
    json: JsonOption = False,
) -> Result:
    """Train the embedded planner on its synthetic corpus. The same command resumes where it was stopped.

    \b
    visprog train planner --steps 2400 --out runs/planner
    visprog train planner --from-runs runs/eval-csv/results.jsonl --out runs/mine
    visprog ask street.jpg "How many dogs?" --config visprog.toml   # planner_options.folder = "runs/planner"
    """
    try:
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
    from visprog.training.planner.train import PlannerRecipe
    from visprog.training.planner.train import train as run_training

    given: dict[str, Any] = {
        "steps": steps, "batch": batch, "seed": seed, "vocab": vocab, "dim": dim, "layers": layers,
        "heads": heads, "hidden": hidden, "checkpoint_every": checkpoint_every,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    recipe = (
        PlannerRecipe.from_runs([str(path) for path in from_runs], **given)
        if from_runs
        else PlannerRecipe(**given)
    )
    try:
        folder = run_training(recipe, out, resume=not fresh)
    except (ValueError, OSError) as error:
        raise VisprogError(str(error)) from error
    if not json:
        print(f"the planner is in {folder}; use it with planner_options.folder in visprog.toml")
    return Result({"status": "trained", "folder": str(folder), "steps": recipe.steps})


@train.command("probe")
def train_probe(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DATA", help="Folder or zip with one folder of images per class.", show_default=False
        ),
    ],
    model: Annotated[
        str,
        typer.Option("--model", help="Model with an image encoder: a folder, a bundled model, or a hub id."),
    ] = "clip",
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder that the probe is saved in.")] = Path(
        "runs/probe"
    ),
    shots: Annotated[
        int | None, typer.Option("--shots", min=1, help="Images per class to fit on; all, if not given.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the draw of --shots.")] = 0,
    json: JsonOption = False,
) -> Result:
    """Fit a linear probe that names your own classes, on the features of a trained model.

    \b
    visprog train probe photographs/ --model openai/clip-vit-base-patch32
    visprog train probe parts/ --model runs/simclr/best --shots 16 -o runs/parts
    # In visprog.toml: [tools.classify] backend = "probe", model = "runs/probe"
    """
    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
    from visprog.training.probe import fit_probe

    with working("encoding images") as status:
        report = fit_probe(
            data, model, output, shots=shots, seed=seed,
            watch=lambda done, total: status.show(f"encoded {done} of {total} images"),
        )  # fmt: skip
    if not json:
        print(
            f'{report}\n\nthe probe is in {output}; use it with [tools.classify] backend = "probe" in visprog.toml'
        )
    return Result({"status": "trained", "folder": str(output), **report.to_plain()})

"""`visprog train`: a recipe, or one of the commands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from .errors import MissingExtra

RECIPE = "recipe"


class RecipeGroup(TyperGroup):
    """A group in which what is no command of its own is the recipe to train: `visprog train clip steps=100`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [RECIPE, *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


train = typer.Typer(
    cls=RecipeGroup,
    help="Train a model: visprog train RECIPE [KEY=VALUE ...]; see visprog train recipe --help.",
    rich_markup_mode=None,
)


@train.command(RECIPE)
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
    resume: Annotated[
        bool | None,
        typer.Option(
            "--resume/--fresh",
            help="Only go on with a run that is there, or remove it and start again. Without either, a run that "
            "is there is gone on with, and else a new one starts.",
        ),
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="Print the names of the shipped recipes.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> Any:  # a `cli.Result`; typer evaluates annotations, and `cli` imports this module
    """Train by a recipe (this is what visprog train RECIPE means).

    \b
    visprog train clip
    visprog train detector.yaml data.train=photographs/ steps=2000 optimizer.lr=3e-4
    visprog train clip --dry-run
    torchrun --nproc-per-node 4 -m visprog train clip
    """
    from .cli import Result, UsageError

    try:
        import accelerate  # noqa: F401
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtra("training", "train") from None
    from visprog.tools.training.recipe import load_recipe, shipped_recipes

    if names:
        if not json:
            print("\n".join(shipped_recipes()))
        return Result({"status": "ok", "recipes": shipped_recipes()})
    if recipe is None:
        raise UsageError(
            "the recipe is missing: visprog train RECIPE [KEY=VALUE ...], or visprog train --list"
        )
    from visprog.tools.training.dry_run import dry_run as try_out
    from visprog.tools.training.fit import conclusion, fit, is_main_process

    loaded = load_recipe(recipe, changes or ())
    if dry_run:
        report = try_out(loaded)
        if not json and is_main_process():
            print(report)
        return Result({"status": "ok", **report.to_plain()} if is_main_process() else {})
    folder = output or Path("runs") / Path(recipe).stem
    summary = fit(loaded, folder, resume=resume)
    if not json and is_main_process():
        print(conclusion(folder, summary))
    return Result({"status": "trained", "folder": str(folder), **summary} if is_main_process() else {})

"""Train by a recipe: start a run, resume one, or report that it is finished."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from accelerate import PartialState

from .checkpoint import TrainingError
from .distributed.failures import ending_together
from .recipe import Recipe
from .run_folder import RunFolder
from .trainer import Trainer


def fit(recipe: Recipe, output: Path, *, resume: bool | None = None) -> dict[str, Any]:
    """Train, and return the summary of the run.

    A script of several processes ends with `visprog.training.distributed.failures.leave(0)`, as the command does.

    Args:
        output: folder of the run. A run that is there is resumed, unless `resume` says otherwise.
        resume: True refuses to start a new run; False starts again, and removes the run that is there.

    Raises:
        VisprogError: recipe, data, folder or machine do not fit; or the run failed. Checkpoints stay.
        ProcessFailed: another process of the run failed, with its message.
        KeyboardInterrupt: it was interrupted; it has been saved.
    """
    with ending_together():
        return _fit(recipe, output, resume)


def _fit(recipe: Recipe, output: Path, resume: bool | None) -> dict[str, Any]:
    folder = RunFolder(output, recipe, fresh=resume is False)
    if resume and not folder.exists:
        raise TrainingError(f"there is no run in {output} to resume: leave out --resume")
    trainer = Trainer(recipe)
    summary = folder.summary()
    if summary is not None and summary["step"] >= trainer.steps:
        trainer.reporter.say(
            f"the run in {output} is finished: give more steps, another --output, or --fresh"
        )
        return summary
    try:
        return trainer.fit(folder)
    except OSError as error:
        raise TrainingError(
            f"the run in {output} stopped: {error}; its checkpoints are as they were"
        ) from error


def conclusion(output: Path, summary: dict[str, Any]) -> str:
    """A finished run in a few lines."""
    lines = [f"{summary['step']} steps in {summary['seconds']:,.0f} s; weights: {output / 'last'}"]
    if summary["best"] is not None:
        score = f"{summary['metric']} {summary['best']:.4g}"
        lines.append(f"best {score}, in step {summary['best_step']}; weights: {output / 'best'}")
    if summary["skipped"]:
        lines.append(f"{len(summary['skipped'])} bad samples were skipped; summary.json names them")
    return "\n".join(lines)


def is_main_process() -> bool:
    """Whether this process is the one that prints."""
    return bool(PartialState().is_main_process)

"""The folder of a run: its recipe, its checkpoints, its logs and its weights.

recipe.yaml      the recipe with every key
log.csv          losses, a row a step            evaluation.csv   scores
checkpoints/     what is needed to resume        tensorboard/     curves
best/  last/     weights for the tools           summary.json     when it is finished
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from visprog.files.limits import MAX_SETTINGS_BYTES
from visprog.files.plain_text import read_json, read_text

from .checkpoint import TrainingError, write_text
from .recipe import Recipe

CHANGEABLE = {
    "steps", "epochs", "workers", "evaluate_every", "checkpoint_every", "keep", "compile",
    "activation_checkpointing",
}  # fmt: skip
"""Keys that may differ when a run is resumed."""

_OURS = (
    "recipe.yaml", "log.csv", "evaluation.csv", "summary.json", "checkpoints", "tensorboard", "best", "last",
)  # fmt: skip


class RunFolder:
    """Where a run lives.

    Raises:
        TrainingError: the folder holds something else, or a run of another recipe.
    """

    def __init__(self, path: Path, recipe: Recipe, *, fresh: bool = False) -> None:
        self.path, self.recipe, self.fresh = path, recipe, fresh
        if path.is_file():
            raise TrainingError(f"{path} is a file: --output must be a folder")
        if not path.exists() or not any(path.iterdir()):
            return
        if not (path / "recipe.yaml").is_file():
            raise TrainingError(f"{path} holds something that is no training run: choose another --output")
        if not fresh:
            self._compare()

    @property
    def exists(self) -> bool:
        """Whether there is a run to resume."""
        return not self.fresh and (self.path / "recipe.yaml").is_file()

    def summary(self) -> dict[str, Any] | None:
        """The summary of a finished run; None if it is not finished."""
        path = self.path / "summary.json"
        if not self.exists or not path.is_file():
            return None
        summary: dict[str, Any] = read_json(path)
        return summary

    def begin(self) -> None:
        """Make the folder, write the recipe, and with `fresh` remove what an older run left."""
        self.path.mkdir(parents=True, exist_ok=True)
        if self.fresh:
            for name in _OURS:
                path = self.path / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        (self.path / "summary.json").unlink(missing_ok=True)
        text = yaml.safe_dump(self.recipe.to_plain(), sort_keys=False, allow_unicode=True)
        write_text(self.path / "recipe.yaml", text)

    def finish(self, summary: dict[str, Any]) -> None:
        """Write the summary, which marks the run as finished."""
        write_text(self.path / "summary.json", json.dumps(summary, indent=1) + "\n")

    def _compare(self) -> None:
        before = yaml.safe_load(read_text(self.path / "recipe.yaml", MAX_SETTINGS_BYTES))
        if "task" in before:
            raise TrainingError(
                f"{self.path} holds a run of an older version, whose recipe names a task instead of an objective and a "
                "source of data: choose another --output, or start it again with --fresh"
            )
        now = self.recipe.to_plain()
        changed = [k for k in {**before, **now} if k not in CHANGEABLE and before.get(k) != now.get(k)]
        if changed:
            raise TrainingError(
                f"{self.path} holds a run with other values of {', '.join(changed)}: choose another --output, "
                "or start it again with --fresh"
            )

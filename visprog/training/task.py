"""What the trainer is given: a task is a model, its loss, its data and how it is scored.

The trainer calls a task's functions only through `Runner`, the one module that is wrapped for several processes,
mixed precision and sharding; so a loss may call any method of the model, as many times as it likes.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from torch import Tensor, nn

from .from_plain import RecipeError, nearest

if TYPE_CHECKING:
    from accelerate import Accelerator

_HERE = "visprog.training.tasks"
TASKS: Mapping[str, str] = {
    "clip-scenes": f"{_HERE}.clip_scenes:SceneClip",
    "clip-classes": f"{_HERE}.clip_files:ClassClip",
    "clip-captions": f"{_HERE}.clip_files:CaptionClip",
    "owl-scenes": f"{_HERE}.owl:SceneOwl",
    "owl-boxes": f"{_HERE}.owl:FileOwl",
    "sam": f"{_HERE}.sam:SamTask",
    "coca-scenes": f"{_HERE}.coca:SceneCoca",
    "coca-captions": f"{_HERE}.coca:FileCoca",
    "llava-scenes": f"{_HERE}.llava:SceneLlava",
    "llava-conversations": f"{_HERE}.llava:FileLlava",
}
"""The tasks that a recipe can name, and where each is: "module:class". A recipe may also write that itself."""


@runtime_checkable
class Samples(Protocol):
    """Data of known length. Whatever is drawn at random comes from `rng`, so that runs can be repeated."""

    def __len__(self) -> int: ...

    def sample(self, key: int, rng: np.random.Generator) -> Any:
        """One sample. Raises `BadSample` for one that cannot be used: it is counted, named and replaced."""

    def collate(self, samples: list[Any]) -> Any:
        """A batch: tensors in nested dicts, lists and tuples, or an object with `.to(device)`."""


@runtime_checkable
class Stream(Protocol):
    """Data that is read in passes, of a length that nobody knows."""

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[Any]:
        """One shuffled pass over what process `part` of `parts` reads; keys are cheap, `sample` does the work."""

    def sample(self, key: Any, rng: np.random.Generator) -> Any:
        """As in `Samples`."""

    def collate(self, samples: list[Any]) -> Any:
        """As in `Samples`."""


class Task(ABC):
    """A model and how it is trained. Subclasses set `Config`, build `model`, and write `data` and `loss`.

    Attributes:
        Config: dataclass of the keys that a recipe of this task may hold beside the trainer's own.
        metric: the score that chooses the best weights.
        lower_is_better: whether a smaller `metric` is better.
        model: what is trained, saved and counted.
    """

    Config: ClassVar[Any]
    metric: ClassVar[str] = "loss"
    lower_is_better: ClassVar[bool] = False
    model: nn.Module

    def __init__(self, config: Any) -> None:
        self.config = config

    @abstractmethod
    def data(self, split: Literal["train", "val"]) -> Samples | Stream | None:
        """The samples of a split; None for "val" where there is no evaluation."""

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Scalars: "loss", the mean over the batch, is minimised; the others are logged beside it."""

    def backward(self, run: Run, batch: Any, accelerator: Accelerator) -> dict[str, Tensor]:
        """Add the gradients of a batch and return its losses, detached.

        What is here suits a loss of one graph. A task that needs several (see `gradient_cache`) writes its own;
        everything that uses the model must be called through `run`: `run(self.loss, batch)`.
        """
        losses: dict[str, Tensor] = run(self.loss, batch)
        accelerator.backward(losses["loss"])
        return {name: value.detach() for name, value in losses.items()}

    def predict(self, batch: Any) -> Mapping[str, Tensor]:
        """What `score` needs of a batch: tensors whose first axis is the sample, the others always of one size."""
        raise NotImplementedError(
            f"{type(self).__name__} has validation data, so it needs 'predict' and 'score'"
        )

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        """Scores, `metric` among them, from the predictions (on the CPU) of all validation samples in order."""
        raise NotImplementedError(
            f"{type(self).__name__} has validation data, so it needs 'predict' and 'score'"
        )

    def after_step(self) -> None:  # noqa: B027  # most tasks have nothing to do here
        """What must hold after each update, such as a clamped temperature."""

    def blocks(self) -> Sequence[nn.Module]:
        """The repeated modules: each is compiled, recomputed or sharded by itself, and Muon trains its matrices."""
        return ()

    def amounts(self, batch: Any) -> Mapping[str, int]:
        """What a batch holds, by unit ("images", "tokens"), for speeds."""
        return {}

    def save(self, folder: Path) -> None:
        """Write the model so that the tools can load it: `model.save_pretrained(folder)`, if not overridden."""
        self.model.save_pretrained(folder)


class Runner(nn.Module):
    """The module that is prepared for devices and processes: its forward pass is a function of the task."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.model = task.model

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments)`. Of losses, only "loss" keeps its graph: nothing else is differentiated."""
        result = function(*arguments)
        if isinstance(result, dict) and "loss" in result:
            result = {
                k: v if k == "loss" or not isinstance(v, Tensor) else v.detach() for k, v in result.items()
            }
        return result


Run = Callable[..., Any]
"""A prepared `Runner`: `run(function, *arguments)`."""


def find_task(name: str) -> type[Task]:
    """The class of a task, by its name in `TASKS` or as "module:class".

    Raises:
        RecipeError: there is none; or it is no `Task` with a dataclass `Config`.
    """
    path = TASKS.get(name, name)
    module, colon, attribute = path.partition(":")
    if not colon:
        raise RecipeError(f"task '{name}' is not known: {nearest(name, list(TASKS))}; or write module:class")
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever the module does while it is imported
        why = error if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise RecipeError(f"task '{name}' cannot be imported: {why}") from None
    if not (
        isinstance(found, type) and issubclass(found, Task) and is_dataclass(getattr(found, "Config", None))
    ):
        raise RecipeError(f"task '{name}': {path} must be a Task whose Config is a dataclass")
    return found

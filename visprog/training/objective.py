"""Objectives: what a model learns from samples of one type, and how it is scored.

The trainer calls an objective's functions only through `Runner`, the one module that is wrapped for several processes,
mixed precision and sharding; so a loss may call any method of the model, as many times as it likes.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from .data.source import Items, Source, SplitName, import_class
from .from_plain import RecipeError, nearest

if TYPE_CHECKING:
    from accelerate import Accelerator

_HERE = "visprog.training.objectives"
OBJECTIVES: Mapping[str, str] = {
    "contrastive": f"{_HERE}.contrastive:Contrastive",
    "caption": f"{_HERE}.caption:Captioning",
    "detection": f"{_HERE}.detection:Detection",
    "diffusion": f"{_HERE}.diffusion:Denoising",
    "masks": f"{_HERE}.masks:InteractiveMasks",
    "matching": f"{_HERE}.matching:Matching",
    "instruction": f"{_HERE}.instruction:Instruction",
    "dvae": f"{_HERE}.dvae:DiscreteAutoencoding",
    "autoregressive-image": f"{_HERE}.autoregressive_image:AutoregressiveImages",
    "masked-regions": f"{_HERE}.masked_regions:MaskedRegions",
    "select": f"{_HERE}.select:Select",
    "answers": f"{_HERE}.answers:Answers",
    "self-supervised": f"{_HERE}.self_supervised:SelfSupervised",
}
"""The objectives that a recipe can name, and where each is: "module:class". A recipe may also write that itself."""


@runtime_checkable
class Samples(Protocol):
    """What the loader reads: samples of known number. Whatever is drawn at random comes from `rng`."""

    def __len__(self) -> int: ...

    def sample(self, key: int, rng: np.random.Generator) -> Any:
        """One sample. Raises `BadSample` for one that cannot be used: it is counted, named and replaced."""

    def collate(self, samples: list[Any]) -> Any:
        """A batch: tensors in nested dicts, lists and tuples, or an object with `.to(device)`."""


@runtime_checkable
class Stream(Protocol):
    """What the loader reads in passes: samples of unknown number."""

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[Any]:
        """As `ItemStream.keys`."""

    def sample(self, key: Any, rng: np.random.Generator) -> Any:
        """As in `Samples`."""

    def collate(self, samples: list[Any]) -> Any:
        """As in `Samples`."""


class Objective(ABC):
    """A model and how it learns. Subclasses set `Config` and `sample_type`, build `model`, and write `prepare`,
    `collate` and `loss`; and `predict` and `score`, if their sources have validation data.

    Args:
        config: an instance of `Config`.
        model: settings of the model, as its `type` in the recipe has them; None if the recipe has none.
        source: where samples come from.

    Attributes:
        Config: dataclass of the keys that a recipe of this objective may hold beside the trainer's own; their
            documentation is its docstring.
        sample_type: of the sources that fit.
        needs: attributes that a model must have.
        metric: the score that chooses the best weights.
        lower_is_better: whether a smaller `metric` is better.
        model: what is trained, saved and counted.
        teacher: what else the loss needs that changes in training, such as a moving copy of the model: on the same
            devices and in the checkpoints of a run, but neither trained by the optimizer nor saved with the model.
        size: side of the images that a source draws, in pixels.
        step: number of updates made so far, for what changes over the run; the trainer sets it before each.
        tokenizer, image_processor: saved beside the model; None if it has none.
        refresh_every: number of steps between calls of `refresh`; 0 calls it before the first step alone, None never.
    """

    Config: ClassVar[Any]
    sample_type: ClassVar[type]
    needs: ClassVar[tuple[str, ...]] = ()
    metric: str = "loss"
    lower_is_better: bool = False
    model: nn.Module
    teacher: nn.Module | None = None
    size: int = 0
    step: int = 0
    tokenizer: Any = None
    image_processor: Any = None
    refresh_every: int | None = None

    def __init__(self, config: Any, model: Any, source: Source) -> None:
        self.config, self.source = config, source

    def data(self, split: SplitName) -> Samples | Stream | None:
        """The samples of a split, prepared; None for "val" if there is no evaluation."""
        found = self.source.split(split, self.size)
        if found is None:
            return None
        if isinstance(found, Items):
            return Prepared(self, found, split == "train")
        return PreparedStream(self, found, split == "train")

    @abstractmethod
    def prepare(self, sample: Any, rng: np.random.Generator, train: bool) -> Any:
        """A sample of the source as `collate` takes it: images resized, in training augmented.

        Raises:
            BadSample: it cannot be used.
        """

    @abstractmethod
    def collate(self, samples: list[Any], train: bool) -> Any:
        """A batch of prepared samples, as `loss` and `predict` take it."""

    @abstractmethod
    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Scalars: "loss", the mean over the batch, is minimised; the others are logged beside it."""

    def backward(self, run: Run, batch: Any, accelerator: Accelerator) -> dict[str, Tensor]:
        """Add the gradients of a batch and return its losses, detached.

        What is here suits a loss of one graph. An objective that needs several (see `gradient_cache`) writes its own;
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

    def refresh(self, collect: Collect) -> str:
        """Change the data to train on by what the model has learned. The loader is started anew afterwards.

        Args:
            collect: passes over samples, and gives what a function of a batch returns for all of them.

        Returns:
            What was done, for the log of the run.
        """
        raise NotImplementedError(f"{type(self).__name__} sets refresh_every, so it needs 'refresh'")

    def state(self) -> dict[str, Tensor]:
        """What `refresh` found, for checkpoints; empty before its first call."""
        return {}

    def load_state(self, state: Mapping[str, Tensor]) -> None:  # noqa: B027  # most have none
        """The inverse of `state`."""

    def after_step(self) -> None:  # noqa: B027  # most objectives have nothing to do here
        """What must hold after each update, such as a clamped temperature."""

    def blocks(self) -> Sequence[nn.Module]:
        """The repeated modules: each is compiled, recomputed or sharded by itself, and Muon trains its matrices.

        Here: what the model numbers in lists called `blocks` or `…_blocks`.
        """
        return [m for name, m in self.model.named_modules() if re.search(r"(^|[._])blocks\.\d+$", name)]

    def amounts(self, batch: Any) -> Mapping[str, int]:
        """What a batch holds, by unit ("images", "tokens"), for speeds."""
        return {"images": len(batch["images"])} if "images" in batch else {}

    def save(self, folder: Path) -> None:
        """Write the model, its tokenizer, its image processor and `backend.json`, so that the tools can load them."""
        self.model.save_pretrained(folder, torch.float16)
        for part in (self.tokenizer, self.image_processor):
            if part is not None:
                part.save_pretrained(folder)
        if found := self.backend_file():
            (folder / "backend.json").write_text(json.dumps(found, indent=1) + "\n")

    def backend_file(self) -> dict[str, Any]:
        """What the tools read of the model in `backend.json`: the words of its data, if these are few; empty for
        nothing."""
        words = self.source.vocabulary
        return {} if words is None else {"vocabulary": words}


class PreparedStream:
    """A split of a source as the loader reads it."""

    def __init__(self, objective: Objective, found: Any, train: bool) -> None:
        self.objective, self.found, self.train = objective, found, train

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[Any]:
        """As `ItemStream.keys`."""
        return iter(self.found.keys(rng, part, parts))

    def sample(self, key: Any, rng: np.random.Generator) -> Any:
        """A prepared sample."""
        return self.objective.prepare(self.found.sample(key, rng), rng, self.train)

    def collate(self, samples: list[Any]) -> Any:
        """A batch."""
        return self.objective.collate(samples, self.train)


class Prepared:
    """A split of a source of known number, as the loader reads it."""

    def __init__(self, objective: Objective, found: Items, train: bool) -> None:
        self.found, self.stream = found, PreparedStream(objective, found, train)
        self.sample, self.collate = self.stream.sample, self.stream.collate

    def __len__(self) -> int:
        return len(self.found)


class Runner(nn.Module):
    """The module that is prepared for devices and processes: its forward pass is a function of the objective."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.model = objective.model
        if objective.teacher is not None:
            self.teacher = objective.teacher

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """`function(*arguments)`. Of losses, only "loss" keeps its graph: nothing else is differentiated."""
        result = function(*arguments)
        if isinstance(result, dict) and "loss" in result:
            result = {
                k: v if k == "loss" or not isinstance(v, Tensor) else v.detach() for k, v in result.items()
            }
        return result


Collect = Callable[[Samples, Callable[[Any], Mapping[str, Tensor]]], dict[str, Tensor]]
"""A pass over samples in order: what a function of a batch returns, tensors whose first axis is the sample, for all
samples on the CPU, without the bad ones."""

Run = Callable[..., Any]
"""A prepared `Runner`: `run(function, *arguments)`."""


def find_objective(name: str) -> type[Objective]:
    """The class of an objective, by its name in `OBJECTIVES` or as "module:class".

    Raises:
        RecipeError: there is none; or it is no `Objective` with a dataclass `Config`.
    """
    path = OBJECTIVES.get(name, name)
    if ":" not in path:
        raise RecipeError(
            f"objective '{name}' is not known: {nearest(name, list(OBJECTIVES))}; or write module:class"
        )
    found: type[Objective] = import_class(path, f"objective '{name}'", Objective)
    return found

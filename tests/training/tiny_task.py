"""A task of a few hundred parameters for the trainer's tests, a recipe for it, and what a run of it left."""

from __future__ import annotations

import csv
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from visprog.training.data.samples import BadSample
from visprog.training.distributed.collectives import gather
from visprog.training.gradient_cache import cached_backward
from visprog.training.recipe import Recipe, make_recipe
from visprog.training.task import Task


class Points:
    """Inputs (8,) and a target that is a fixed function of them, with noise drawn for each visit."""

    def __init__(self, length: int, seed: int, bad: tuple[int, ...] = ()) -> None:
        rng = np.random.default_rng(seed)
        self.inputs = rng.normal(size=(length, 8)).astype(np.float32)
        self.bad = bad

    def __len__(self) -> int:
        return len(self.inputs)

    def sample(self, key: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        if key in self.bad:
            raise BadSample(f"point {key}", "it is broken")
        x = self.inputs[key]
        y = np.float32(x[:4].sum() - x[4:].max() + 0.1 * rng.normal())
        return torch.from_numpy(x), torch.tensor(y)

    def collate(self, samples: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        return {"x": torch.stack([s[0] for s in samples]), "y": torch.stack([s[1] for s in samples])}


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.linear = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.relu(self.linear(self.norm(x)))


class Net(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.inward = nn.Linear(8, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 1)

    def embed(self, x: Tensor) -> Tensor:
        x = self.inward(x)
        for block in self.blocks:
            x = block(x)
        return self.dropout(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.embed(x)).squeeze(-1)

    def save_pretrained(self, folder: Any) -> None:
        from safetensors.torch import save_file

        save_file(self.state_dict(), folder / "model.safetensors")


@dataclass(frozen=True)
class NetConfig:
    width: int = 16
    dropout: float = 0.1


@dataclass(frozen=True)
class TinyConfig:
    net: NetConfig = field(default_factory=NetConfig)
    length: int = 50
    bad: tuple[int, ...] = ()
    noise: float = 0.0
    sleep: float = 0.0
    where: Path | None = None


class Tiny(Task):
    Config = TinyConfig
    metric = "error"
    lower_is_better = True

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.model: Net = Net(config.net.width, config.net.dropout)
        self.losses = 0

    def data(self, split: Literal["train", "val"]) -> Points:
        return Points(self.config.length, 1, self.config.bad) if split == "train" else Points(13, 2)

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        time.sleep(self.config.sleep)
        self.losses += 1
        if self.losses == int(os.environ.get("INTERRUPT_AT", 0)):
            signal.raise_signal(signal.SIGINT)
        noise = self.config.noise * (random.random() + float(np.random.rand()))  # drawn from all generators
        error = (self.model(batch["x"]) - batch["y"]) ** 2
        return {"loss": error.mean() * (1 + noise), "largest": error.max()}

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        torch.rand(3)  # an evaluation may draw numbers: the training must not notice
        return {"error": (self.model(batch["x"]) - batch["y"]).abs()}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {"error": float(predictions["error"].mean()), "samples": len(predictions["error"])}

    def blocks(self) -> Sequence[nn.Module]:
        return list(self.model.blocks)

    def amounts(self, batch: Mapping[str, Tensor]) -> Mapping[str, int]:
        return {"points": len(batch["x"])}


class Contrast(Tiny):
    """A contrastive loss over the batch of all processes, with a temperature."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.model.logit_scale = nn.Parameter(torch.tensor(1.0))

    def embed(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.model.embed(batch["x"]), self.model.embed(batch["x"].flip(1))

    def contrast(self, first: Tensor, second: Tensor) -> dict[str, Tensor]:
        first, second = (nn.functional.normalize(gather(f), dim=-1) for f in (first, second))
        logits = self.model.logit_scale.exp() * first @ second.T
        target = torch.arange(len(logits))
        return {"loss": nn.functional.cross_entropy(logits, target), "scale": self.model.logit_scale}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.contrast(*self.embed(batch))


class Cached(Contrast):
    """The same, two samples at a time."""

    def backward(self, run: Any, batch: Mapping[str, Tensor], accelerator: Any) -> dict[str, Tensor]:
        parts = {name: value.split(2) for name, value in batch.items()}
        chunks = [{name: parts[name][i] for name in parts} for i in range(len(parts["x"]))]
        return cached_backward(run, chunks, self.embed, self.contrast, accelerator)


class Spare(Tiny):
    """Has a part that no loss uses."""

    def __init__(self, config: TinyConfig) -> None:
        super().__init__(config)
        self.model.spare = nn.Linear(3, 3)


@dataclass(frozen=True)
class EndingConfig(TinyConfig):
    ending: Literal["none", "error", "data", "signal", "kill"] = "none"


class Ending(Tiny):
    """Ends in the third step of the second process, or of the only one."""

    Config = EndingConfig

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if self.losses == 2 and int(os.environ.get("RANK", 0)) == int(os.environ.get("WORLD_SIZE", 1)) - 1:
            match self.config.ending:
                case "error":
                    raise ValueError("a loss that cannot be")
                case "data":
                    raise BadSample("point 7", "it is broken")
                case "signal":
                    signal.raise_signal(signal.SIGINT)
                case "kill":
                    os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(batch)


class Blockless(Tiny):
    """Names no blocks."""

    def blocks(self) -> Sequence[nn.Module]:
        return ()


def recipe(task: str = "Tiny", **keys: Any) -> Recipe:
    """A recipe that uses everything that a checkpoint must hold: dropout, noise, averages, accumulation."""
    given = {
        "task": f"tests.training.tiny_task:{task}", "steps": 40, "batch_size": 8, "accumulation": 2,
        "evaluate_every": 5, "checkpoint_every": 7, "ema": 0.9, "noise": 0.1, "schedule": {"warmup": 5}, "bad": [3],
    }  # fmt: skip
    return make_recipe(given | keys)


def rows(folder: Path, name: str = "log.csv") -> list[dict[str, str]]:
    """The rows of a log without the times, which no two runs share."""
    with (folder / name).open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def weights(folder: Path, which: str = "last") -> bytes:
    return (folder / which / "model.safetensors").read_bytes()

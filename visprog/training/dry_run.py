"""What a recipe would cost: parameters, memory and speed, from ten steps that leave nothing behind."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from .distributed.failures import ending_together
from .recipe import Recipe
from .trainer import Trainer

STEPS = 10
WARM = 3
"""Steps before the clock starts: the first ones allocate and compile."""


@dataclass(frozen=True)
class Component:
    """A direct part of the model, and how many numbers it has and learns."""

    name: str
    parameters: int
    trainable: int


@dataclass(frozen=True)
class Report:
    """What a dry run found.

    Attributes:
        components: direct parts of the model.
        memory: bytes of one process: weights, gradients, optimizer, ema, activations (the most that was kept for
            the backward pass, without what activation checkpointing computes again), and on a GPU "device peak",
            all that was allocated.
        rates: samples a second and what else the objective counts, over all processes.
        losses: of the steps that were run.
        steps: of the whole run.
        seconds: that the whole run would take, without evaluations.
    """

    components: list[Component]
    memory: dict[str, int]
    rates: dict[str, float]
    losses: list[float]
    steps: int
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        total = sum(c.parameters for c in self.components)
        learning = sum(c.trainable for c in self.components)
        lines = [f"parameters   {total:>14,}   of which {learning:,} learn"]
        lines += [f"  {c.name:<10} {c.parameters:>14,}   {_share(c)}" for c in self.components]
        lines += ["memory"] + [
            f"  {name:<12} {size / 2**20:>12,.1f} MiB" for name, size in self.memory.items()
        ]
        lines += [f"loss         {self.losses[0]:.4f} → {self.losses[-1]:.4f} in {len(self.losses)} steps"]
        lines += [f"speed        {rate:,.1f} {unit} a second" for unit, rate in self.rates.items()]
        lines += [f"whole run    {self.steps:,} steps, about {self.seconds / 60:,.0f} min"]
        return "\n".join(lines)


def dry_run(recipe: Recipe) -> Report:
    """Build everything and make ten steps; nothing is written.

    Raises:
        VisprogError: as the run itself would.
    """
    with ending_together():
        return _dry_run(recipe)


def _dry_run(recipe: Recipe) -> Report:
    trainer = Trainer(recipe)
    batches, meter, losses = _Counted(trainer), SavedTensors(), []
    start = 0.0
    with torch.autograd.graph.saved_tensors_hooks(meter.pack, meter.unpack):
        losses.append(trainer.step(batches)["loss"])
    for number in range(1, STEPS):
        if number == WARM:
            batches.amounts.clear()
            start = time.perf_counter()
        losses.append(trainer.step(batches)["loss"])
    seconds = time.perf_counter() - start
    world = trainer.accelerator.num_processes
    trained = [p for p in trainer.module.parameters() if p.requires_grad]
    states = [
        v for o in trainer.optimizers for s in o.state.values() for v in s.values() if torch.is_tensor(v)
    ]
    memory = {
        "weights": _bytes(trainer.module.parameters()),
        "gradients": _bytes(trained),
        "optimizer": _bytes(states),
        "ema": _bytes(trainer.ema.average) if trainer.ema else 0,
        "activations": meter.peak,
    }
    if trainer.accelerator.device.type == "cuda":
        memory["device peak"] = torch.cuda.max_memory_allocated()
    return Report(
        components=_components(trainer),
        memory=memory,
        rates={unit: count * world / seconds for unit, count in batches.amounts.items()},
        losses=losses,
        steps=trainer.steps,
        seconds=seconds / (STEPS - WARM) * trainer.steps,
    )


class SavedTensors:
    """Hooks for `torch.autograd.graph.saved_tensors_hooks` that measure what the backward pass keeps.

    Attributes:
        peak: most bytes that were kept at one time; a storage that is saved twice counts once.
    """

    def __init__(self) -> None:
        self.kept: Counter[int] = Counter()
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> _Saved | Tensor:
        return tensor if isinstance(tensor, torch.nn.Parameter) else _Saved(tensor, self)

    def unpack(self, saved: _Saved | Tensor) -> Tensor:
        return saved.tensor if isinstance(saved, _Saved) else saved


class _Saved:
    def __init__(self, tensor: Tensor, meter: SavedTensors) -> None:
        storage = tensor.untyped_storage()
        self.tensor, self.meter = tensor, meter
        self.place, self.size = storage.data_ptr(), storage.nbytes()
        meter.kept[self.place] += 1
        if meter.kept[self.place] == 1:
            meter.now += self.size
            meter.peak = max(meter.peak, meter.now)

    def __del__(self) -> None:
        self.meter.kept[self.place] -= 1
        if self.meter.kept[self.place] == 0:
            self.meter.now -= self.size


class _Counted:
    """The batches of a trainer, and how much of what they held."""

    def __init__(self, trainer: Trainer) -> None:
        self.batches, self.objective = trainer.batches(refreshed=False), trainer.objective
        self.amounts: Counter[str] = Counter()

    def __iter__(self) -> _Counted:
        return self

    def __next__(self) -> Any:
        batch = next(self.batches)
        self.amounts.update({"samples": len(batch.valid), **self.objective.amounts(batch.content)})
        return batch


def _components(trainer: Trainer) -> list[Component]:
    found: dict[str, list[int]] = {}
    for name, parameter in trainer.objective.model.named_parameters():
        counts = found.setdefault(name.split(".")[0], [0, 0])
        counts[0] += parameter.numel()
        counts[1] += parameter.numel() * parameter.requires_grad
    return [Component(name, *counts) for name, counts in found.items()]


def _bytes(tensors: Any) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _share(component: Component) -> str:
    if component.trainable == component.parameters:
        return "learns"
    return f"{component.trainable:,} learn" if component.trainable else "frozen"

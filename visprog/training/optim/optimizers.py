"""Which parameters learn, at which rate over the run, and by which optimizer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..from_plain import RecipeError, nearest
from ..objective import Objective
from ..recipe import OptimizerConfig
from .lars import Lars
from .muon import Muon

Optimizers = list[torch.optim.Optimizer]


@dataclass(frozen=True)
class _Group:
    """What parameters must share to be updated together.

    Attributes:
        muon: whether Muon trains them.
        adapt: whether LARS adapts their rate.
        lr: peak learning rate.
        decay: weight decay.
    """

    muon: bool
    adapt: bool
    lr: float
    decay: float


def make_optimizers(objective: Objective, config: OptimizerConfig) -> Optimizers:
    """Freeze what has rate 0 and make the optimizers of the rest. Each group holds its peak rate as "peak".

    Weight decay acts on the weights of linear and convolution layers alone: not on biases, norms, embeddings and
    parameters that a module holds directly. With `muon` the matrices within `objective.blocks()` are trained by Muon;
    with `lars` the rates of the same weights as those that decay are adapted.

    Raises:
        RecipeError: a component that has no parameters, a parameter without a rate, or nothing that learns.
    """
    rates = learning_rates(objective.model, config.lr)
    embeddings = {id(m.weight) for m in objective.model.modules() if isinstance(m, nn.Embedding)}
    matrices = {id(p) for b in objective.blocks() for p in b.parameters() if p.ndim == 2}
    groups: dict[_Group, list[Tensor]] = {}
    for name, parameter in objective.model.named_parameters():
        parameter.requires_grad_(rates[name] > 0)
        if rates[name] > 0:
            decays = name.endswith("weight") and parameter.ndim > 1 and id(parameter) not in embeddings
            muon = config.name == "muon" and decays and id(parameter) in matrices
            adapt = config.name == "lars" and decays
            group = _Group(muon, adapt, rates[name], config.weight_decay if decays else 0.0)
            groups.setdefault(group, []).append(parameter)
    if not groups:
        raise RecipeError("optimizer.lr freezes every parameter of the model: nothing would learn")
    optimizers: Optimizers = []
    if chosen := _settings(groups, muon=True):
        optimizers.append(Muon(chosen))
    if chosen := _settings(groups, muon=False):
        optimizers.append(
            Lars(chosen)
            if config.name == "lars"
            else torch.optim.AdamW(chosen, betas=config.betas, eps=config.eps, fused=True)
        )
    return optimizers


def learning_rates(model: nn.Module, lr: float | Mapping[str, float]) -> dict[str, float]:
    """The rate of each parameter by name: that of the longest component which its name starts with.

    Raises:
        RecipeError: as `make_optimizers`.
    """
    by_component = {"": lr} if isinstance(lr, float | int) else lr
    names = [name for name, _ in model.named_parameters()]
    for component in by_component:
        if not any(_within(name, component) for name in names):
            parts = sorted({name.rsplit(".", i)[0] for name in names for i in range(1, name.count(".") + 1)})
            raise RecipeError(
                f"optimizer.lr.{component}: the model has no such part: {nearest(component, parts)}"
            )
    rates = {}
    for name in names:
        matching = [c for c in by_component if _within(name, c)]
        if not matching:
            raise RecipeError(
                f"optimizer.lr gives no rate for '{name}': add \"\": RATE for all that is not named"
            )
        rates[name] = float(by_component[max(matching, key=len)])
    return rates


def set_factor(optimizers: Optimizers, factor: float) -> None:
    """Set every rate to a share of its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor


def schedule_factor(step: int, steps: int, warmup: int, floor: float) -> float:
    """The learning rate of a step as a share of its peak: linear from 0 over `warmup` steps, then a half cosine down to
    `floor` at the end (Loshchilov & Hutter 2017).

    Args:
        step: number of updates already made, 0 … steps - 1.
        floor: share of the peak that is left at the end.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def _settings(groups: Mapping[_Group, list[Tensor]], *, muon: bool) -> list[dict[str, Any]]:
    return [
        {
            "params": parameters,
            "lr": group.lr,
            "peak": group.lr,
            "weight_decay": group.decay,
            "adapt": group.adapt,
        }
        for group, parameters in groups.items()
        if group.muon is muon
    ]


def _within(name: str, component: str) -> bool:
    return not component or name == component or name.startswith(component + ".")

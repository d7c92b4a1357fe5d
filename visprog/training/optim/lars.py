"""LARS: the rate of each layer follows the ratio of its weights to their gradient (You et al. 2017, arXiv:1708.03888).

As SimCLR uses it: the rate is part of the momentum, weight decay is part of the gradient, and biases and norms have
neither weight decay nor a ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


class Lars(torch.optim.Optimizer):
    """The LARS optimizer. SimCLR's learning rate is 0.3 × batch size / 256.

    Args:
        params: Parameters or groups of them; a group with `adapt` False, of biases and norms, is trained by plain
            momentum.
        lr: Learning rate.
        momentum: Factor of the last update.
        weight_decay: Factor of the weights that are added to their gradient.
        trust: Factor of the ratio of norms.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.3,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        trust: float = 0.001,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "trust": trust,
            "adapt": True,
        }
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of every parameter that has a gradient."""
        loss = closure() if closure is not None else None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = parameter.grad.add(parameter, alpha=group["weight_decay"])
                if group["adapt"]:
                    size, steepness = parameter.norm(), gradient.norm()
                    ratio = group["trust"] * size / steepness
                    gradient = gradient * torch.where((size > 0) & (steepness > 0), ratio, 1.0)
                update = self.state[parameter].setdefault("update", torch.zeros_like(parameter))
                update.mul_(group["momentum"]).add_(gradient, alpha=group["lr"])
                parameter.sub_(update)
        return loss

"""Feed-forward layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear


def quick_gelu(x: Tensor) -> Tensor:
    """x * sigmoid(1.702 x): the approximation of GELU that CLIP's first checkpoints were trained with."""
    return F.silu(1.702 * x) / 1.702


class Mlp(nn.Module):
    """Linear layers with an activation between them.

    Shapes: (..., dims[0]) → (..., dims[-1]).
    """

    def __init__(self, dims: Sequence[int], activation: Callable[[Tensor], Tensor] = F.gelu) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise(dims))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class SwiGLU(nn.Module):
    """Gated feed-forward layer: down(silu(gate(x)) * up(x)) (Shazeer 2020).

    Shapes: (..., dim) → (..., dim).
    """

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.gate = Linear(dim, hidden, bias=False)
        self.up = Linear(dim, hidden, bias=False)
        self.down = Linear(hidden, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))

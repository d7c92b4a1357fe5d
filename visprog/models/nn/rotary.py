"""Rotary position embedding."""

from __future__ import annotations

import torch
from torch import Tensor

from .frequencies import Frequencies


class Rotary(Frequencies):
    """Rotates pairs of query and key channels by an angle that grows with position (RoFormer, Su et al. 2021).

    Channels i and i + head_dim/2 form a pair, as in LLaMA checkpoints on the hub.
    """

    def __init__(self, head_dim: int, theta: float = 10000.0) -> None:
        super().__init__()
        # On the CPU even if a model is built on the meta device: no checkpoint holds them.
        steps = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu")
        self.register_buffer("frequencies", theta ** (-steps / head_dim), persistent=False)

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines of a precision, each (..., 1, length, head_dim), for integer positions (..., length)."""
        angles = positions[..., None].float() * self.frequencies.to(positions.device)
        angles = torch.cat([angles, angles], -1).unsqueeze(-3)
        return angles.cos().to(dtype), angles.sin().to(dtype)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotation to x (batch, heads, length, head_dim)."""
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin

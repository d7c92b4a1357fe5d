"""Rotary position embedding."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Rotary(nn.Module):
    """Rotates pairs of query and key channels by an angle that grows with position (RoFormer, Su et al. 2021).

    Channels i and i + head_dim/2 form a pair, as in LLaMA checkpoints on the hub.
    """

    def __init__(self, head_dim: int, theta: float = 10000.0) -> None:
        super().__init__()
        frequencies = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines, each (..., 1, length, head_dim), for integer positions (..., length)."""
        angles = positions[..., None].float() * self.frequencies
        angles = torch.cat([angles, angles], -1).unsqueeze(-3)
        return angles.cos(), angles.sin()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Apply the rotation to x (batch, heads, length, head_dim)."""
    left, right = x.chunk(2, -1)
    return x * cos + torch.cat([-right, left], -1) * sin

"""Pooling of a sequence by attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import Attention


class AttentionPool(nn.Module):
    """Learned queries attend to a sequence and give as many vectors (Lee et al. 2019; CoCa's poolers).

    Shapes: (batch, length, kv_dim) → (batch, queries, dim).

    Args:
        dim: width of queries and output.
        heads: number of attention heads.
        queries: number of queries.
        kv_dim: width of the sequence; `dim` if not given.
        eps: epsilon of the three norms: of the queries, of the sequence and of the output.
    """

    def __init__(
        self, dim: int, heads: int, queries: int, kv_dim: int | None = None, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim))
        self.query_norm = nn.LayerNorm(dim, eps)
        self.context_norm = nn.LayerNorm(kv_dim or dim, eps)
        self.attention = Attention(dim, heads, kv_dim=kv_dim)
        self.norm = nn.LayerNorm(dim, eps)

    def forward(self, x: Tensor) -> Tensor:
        """Pool (batch, length, kv_dim) → (batch, queries, dim)."""
        queries = self.query_norm(self.queries).expand(len(x), -1, -1)
        return self.norm(self.attention(queries, self.context_norm(x)))

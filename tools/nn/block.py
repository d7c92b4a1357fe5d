"""The transformer block."""

from __future__ import annotations

from torch import Tensor, nn

from .attention import Attention, KVCache
from .mlp import SwiGLU
from .norm import RMSNorm


class Block(nn.Module):
    """Pre-norm block: x + attention(norm(x)), then x + mlp(norm(x)).

    Shapes: (batch, length, dim) → (batch, length, dim).
    """

    def __init__(
        self, dim: int, heads: int, hidden: int, kv_heads: int | None = None, eps: float = 1e-6
    ) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(dim, eps)
        self.attention = Attention(dim, heads, kv_heads)
        self.mlp_norm = RMSNorm(dim, eps)
        self.mlp = SwiGLU(dim, hidden)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor],
        mask: Tensor | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        x = x + self.attention(self.attention_norm(x), rotary, mask, cache)
        return x + self.mlp(self.mlp_norm(x))

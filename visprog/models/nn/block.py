"""The transformer block, and a stack of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .attention import Attention, KVCache


class DropPath(nn.Module):
    """Stochastic depth: in training, a sample skips a residual branch (Huang et al. 2016).

    Shapes: (batch, …) → the same.

    Args:
        rate: probability to skip.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training or self.rate == 0:
            return branch
        keep = torch.rand(len(branch), *[1] * (branch.ndim - 1), device=branch.device) >= self.rate
        return branch * keep.to(branch.dtype) / (1 - self.rate)


class Block(nn.Module):
    """Attention, cross-attention if there is a `cross`, and a feed-forward layer, each with a residual connection.

    Pre-norm: x + attention(norm(x)), x + cross(norm(x), context), x + mlp(norm(x)). Post-norm, as in BERT:
    norm(x + attention(x)), norm(x + cross(x, context)), norm(x + mlp(x)).

    Shapes: (batch, length, dim) → (batch, length, dim).

    Args:
        attention: of x to itself.
        mlp: (…, dim) → (…, dim).
        norm: makes one normalisation layer.
        cross: attention of x to a context.
        drop_path: rate of `DropPath`.
        post_norm: whether the norms follow the residual connections.
        dropout: rate at which elements of each branch are dropped in training.
    """

    def __init__(
        self,
        attention: Attention,
        mlp: nn.Module,
        norm: Callable[[], nn.Module],
        cross: Attention | None = None,
        drop_path: float = 0.0,
        *,
        post_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.post_norm = post_norm
        self.attention_norm, self.attention = norm(), attention
        if cross is not None:
            self.cross_norm, self.cross = norm(), cross
        self.mlp_norm, self.mlp = norm(), mlp
        self.drop_path = DropPath(drop_path)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        context_cache: KVCache | None = None,
    ) -> Tensor:
        """As `Attention.forward`; `context` (batch, keys, kv_dim), `context_mask` and `context_cache` are those
        of the cross-attention."""
        x = self._add(
            x,
            self.attention_norm,
            lambda y: self.attention(y, mask=mask, causal=causal, rotary=rotary, cache=cache),
        )
        if context is not None:
            x = self._add(
                x,
                self.cross_norm,
                lambda y: self.cross(y, context, mask=context_mask, cache=context_cache),
            )
        return self._add(x, self.mlp_norm, self.mlp)

    def _add(self, x: Tensor, norm: nn.Module, branch: Callable[[Tensor], Tensor]) -> Tensor:
        """The residual connection around a branch."""
        if self.post_norm:
            return norm(x + self.drop_path(self.dropout(branch(x))))
        return x + self.drop_path(self.dropout(branch(norm(x))))


class Transformer(nn.ModuleList):
    """A stack of blocks.

    Attributes:
        checkpointing: recompute each block in the backward pass instead of keeping its activations
            (Chen et al. 2016).
    """

    checkpointing = False

    def forward(
        self,
        x: Tensor,
        *,
        mask: Tensor | Sequence[Tensor] | None = None,
        causal: bool = False,
        rotary: tuple[Tensor, Tensor] | None = None,
        caches: Sequence[KVCache] | None = None,
        context: Tensor | None = None,
        context_mask: Tensor | None = None,
        context_caches: Sequence[KVCache] | None = None,
        collect: bool = False,
    ) -> tuple[Tensor, list[Tensor]]:
        """Apply all blocks.

        Args:
            x: (batch, length, dim).
            mask: as `Block.forward`, for all blocks, or one per block.
            causal, rotary, context, context_mask: as `Block.forward`.
            caches: one per block.
            context_caches: one per block.
            collect: whether to keep the output of every block.

        Returns:
            The output, and the outputs of all blocks, an empty list unless asked for.
        """
        hidden = []
        recompute = self.checkpointing and self.training and torch.is_grad_enabled()
        for i, block in enumerate(self):
            arguments = {
                "mask": mask[i] if isinstance(mask, Sequence) else mask,
                "causal": causal,
                "rotary": rotary,
                "cache": caches[i] if caches else None,
                "context": context,
                "context_mask": context_mask,
                "context_cache": context_caches[i] if context_caches else None,
            }
            if recompute:
                x = checkpoint(block, x, use_reentrant=False, **arguments)
            else:
                x = block(x, **arguments)
            if collect:
                hidden.append(x)
        return x, hidden

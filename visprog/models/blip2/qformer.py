"""The Q-Former of BLIP-2 (Li et al. 2023, arXiv:2301.12597, section 3.1).

A BERT whose blocks take learned queries, a text, or both side by side. Queries and text share the self-attention, so
that its mask decides what each sees of the other; the queries alone attend to the image, in every second block, and
have feed-forward layers of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bert import Bert, init_bert, init_std
from ..nn import Attention, GrowingKVCache, Mlp, activation

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of the self-attention of one block, each (batch, heads, n, head_dim)."""


@dataclass(frozen=True)
class QFormerConfig:
    """The shape of a Q-Former; the defaults are those of the paper, of BERT-base.

    Attributes:
        queries: number of learned queries, which is that of the features of an image.
        dim, layers, heads, hidden: shape of the blocks.
        cross_every: every how many blocks, from the first, the queries attend to the image.
        activation: of the feed-forward layers.
        dropout: rate of embeddings, attention weights and branches in training.
        eps: epsilon of the norms.
    """

    queries: int = 32
    dim: int = 768
    layers: int = 12
    heads: int = 12
    hidden: int = 3072
    cross_every: int = 2
    activation: str = "gelu"
    dropout: float = 0.1
    eps: float = 1e-12

    def __post_init__(self) -> None:
        if self.dim % self.heads:
            raise ValueError(f"a width of {self.dim} cannot be divided among {self.heads} heads")


class QFormerBlock(nn.Module):
    """One block, post-norm: self-attention of queries and text, cross-attention of the queries, feed-forward layers.

    Args:
        config: its shape.
        context_dim: width of the image's tokens; None for a block without cross-attention.
        text: whether it has feed-forward layers for texts.
    """

    def __init__(self, config: QFormerConfig, context_dim: int | None, text: bool) -> None:
        super().__init__()
        c = config
        self.attention = Attention(c.dim, c.heads, dropout=c.dropout)
        self.attention_norm = nn.LayerNorm(c.dim, c.eps)
        if context_dim is not None:
            self.cross = Attention(c.dim, c.heads, kv_dim=context_dim, dropout=c.dropout)
            self.cross_norm = nn.LayerNorm(c.dim, c.eps)
        self.query_mlp = Mlp([c.dim, c.hidden, c.dim], activation(c.activation))
        self.query_mlp_norm = nn.LayerNorm(c.dim, c.eps)
        if text:
            self.mlp = Mlp([c.dim, c.hidden, c.dim], activation(c.activation))
            self.mlp_norm = nn.LayerNorm(c.dim, c.eps)
        self.dropout = nn.Dropout(c.dropout)

    def forward(
        self,
        x: Tensor,
        queries: int,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        past: KeysValues | None = None,
    ) -> tuple[Tensor, KeysValues]:
        """The output (batch, length, dim), and keys and values of what was seen so far.

        Args:
            x: (batch, length, dim): queries, then text.
            queries: number of queries in it, 0 for a text alone.
            context: (batch, keys, context_dim), tokens of the image; needed for queries.
            mask: as `Attention.forward`; it covers `past` and x.
            past: of what stands before x.
        """
        cache = GrowingKVCache(past)
        x = self.attention_norm(x + self.dropout(self.attention(x, mask=mask, cache=cache)))
        parts = []
        if queries:
            part = x[:, :queries]
            if hasattr(self, "cross"):
                part = self.cross_norm(part + self.dropout(self.cross(part, context)))
            parts.append(self.query_mlp_norm(part + self.dropout(self.query_mlp(part))))
        if x.shape[1] > queries:
            part = x[:, queries:]
            parts.append(self.mlp_norm(part + self.dropout(self.mlp(part))))
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1), (cache.keys, cache.values)


class QFormerOutput(NamedTuple):
    """Named intermediates of a forward pass.

    Attributes:
        embeddings: (batch, length, dim), normalised: what enters the first block.
        hidden: outputs of all blocks, if collected.
        tokens: (batch, length, dim), after the last block.
        past: keys and values of every block, for what follows.
    """

    embeddings: Tensor
    hidden: list[Tensor]
    tokens: Tensor
    past: list[KeysValues]


class QFormer(nn.Module):
    """The Q-Former, with its learned `queries` (queries, dim).

    Args:
        config: its shape.
        context_dim: width of the image's tokens.
        text: whether it also reads texts.
    """

    def __init__(self, config: QFormerConfig, context_dim: int, *, text: bool) -> None:
        super().__init__()
        self.config = config
        self.queries = nn.Parameter(torch.empty(config.queries, config.dim))
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            QFormerBlock(config, None if i % config.cross_every else context_dim, text)
            for i in range(config.layers)
        )
        init_bert(self, init_std(config.dim))
        nn.init.normal_(self.queries, std=0.02)
        if text:
            self.copy_text_mlps()

    def forward(
        self,
        text: Tensor | None = None,
        context: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        past: Sequence[KeysValues] | None = None,
        collect: bool = False,
    ) -> QFormerOutput:
        """Encode an image, a text, or both side by side.

        Args:
            text: embeddings of words and positions (batch, length, dim), not normalised; None for the image alone.
            context: tokens of the image (batch, keys, context_dim), to which the queries attend; None for the text
                alone, or for a text after queries in `past`.
            mask: as `Attention.forward`, of `past`, queries and text.
            past: from an earlier pass, of what stands before.
            collect: whether to keep the outputs of all blocks.
        """
        parts = [] if context is None else [self.queries.expand(len(context), -1, -1)]
        x = torch.cat(parts if text is None else [*parts, text], 1)
        queries = 0 if context is None else self.config.queries
        embeddings = x = self.dropout(self.norm(x))  # (batch, queries + length, dim)
        hidden, kept = [], []
        for i, block in enumerate(self.blocks):
            x, keys_values = block(x, queries, context, mask, past[i] if past else None)
            kept.append(keys_values)
            if collect:
                hidden.append(x)
        return QFormerOutput(embeddings, hidden, x, kept)

    @torch.no_grad()
    def copy_text_mlps(self) -> None:
        """Let the feed-forward layers of the queries begin as those of the texts, as published."""
        for block in self.blocks:
            block.query_mlp.load_state_dict(block.mlp.state_dict())
            block.query_mlp_norm.load_state_dict(block.mlp_norm.state_dict())

    @torch.no_grad()
    def copy_bert(self, bert: Bert) -> None:
        """Begin with the blocks of a BERT of the same shape; cross-attention and queries stay as they are."""
        self.norm.load_state_dict(bert.embeddings.norm.state_dict())
        for own, block in zip(self.blocks, bert.blocks, strict=True):
            for name in ("attention", "attention_norm", "mlp", "mlp_norm"):
                getattr(own, name).load_state_dict(getattr(block, name).state_dict())
        self.copy_text_mlps()


# -- the masks of the three tasks; that of the contrast is none, since queries and text are encoded apart ------------


def matching_mask(real: Tensor, queries: int) -> Tensor:
    """Bi-directional mask, of matching: queries and text see each other, and nothing sees padding.

    Shapes: bool (batch, length), True for real tokens → bool (batch, 1, 1, queries + length).
    """
    return F.pad(real, (queries, 0), value=True)[:, None, None]


def caption_mask(real: Tensor, queries: int) -> Tensor:
    """Multimodal causal mask, of captions: queries see the queries alone, each token all queries, itself and the tokens
    before it.

    Shapes: bool (batch, length), True for real tokens → bool (batch, 1, queries + length, queries + length).
    """
    length = real.shape[1]
    mask = torch.ones(queries + length, queries + length, dtype=torch.bool, device=real.device).tril()
    mask[:queries, :queries] = True
    return mask & matching_mask(real, queries)

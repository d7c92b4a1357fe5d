"""Attention, for every system: self and cross, grouped, rotary, masked, biased, cached."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear
from .pieces import attend_in_pieces, is_faster_by_products
from .rotary import rotate


class KVCache:
    """Keys and values of one layer, written in place while decoding, in the precision and on the device of the first
    ones.

    Args:
        shape: (batch, kv_heads, capacity, head_dim).
    """

    def __init__(self, shape: tuple[int, int, int, int]) -> None:
        self.keys = self.values = torch.zeros(shape, device="meta")
        self.length = 0

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store new keys and values (batch, kv_heads, n, head_dim), and return all of them so far, as views.

        Raises:
            ValueError: the cache is full.
        """
        end = self.length + keys.shape[2]
        if end > self.keys.shape[2]:
            raise ValueError(f"the cache holds {self.keys.shape[2]} positions, {end} are needed")
        if not self.length:
            self.keys, self.values = (x.new_zeros(self.keys.shape) for x in (keys, values))
        self.keys[:, :, self.length : end] = keys
        self.values[:, :, self.length : end] = values
        self.length = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def reserve(self, capacity: int) -> None:
        """Enlarge the cache to `capacity` positions. What is stored stays; earlier views of `append` do not follow."""
        more = capacity - self.keys.shape[2]
        self.keys = F.pad(self.keys, (0, 0, 0, more))
        self.values = F.pad(self.values, (0, 0, 0, more))

    def reorder(self, rows: Tensor) -> None:
        """Replace row i of the batch by row `rows[i]`, as beam search does with the beams that it keeps."""
        self.keys = self.keys.index_select(0, rows)
        self.values = self.values.index_select(0, rows)


class GrowingKVCache(KVCache):
    """Keys and values of one layer, of any number, that are joined by copies: gradients pass through them.

    Args:
        past: earlier keys and values, each (batch, kv_heads, n, head_dim); None if there are none.
    """

    def __init__(self, past: tuple[Tensor, Tensor] | None = None) -> None:
        self.length = 0
        if past is not None:
            self.keys, self.values = past
            self.length = self.keys.shape[2]

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """As `KVCache.append`; it is never full."""
        if self.length:
            keys, values = torch.cat([self.keys, keys], 2), torch.cat([self.values, values], 2)
        self.keys, self.values, self.length = keys, values, keys.shape[2]
        return keys, values


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017); with fewer `kv_heads` than `heads`, groups of heads share
    keys and values.

    Shapes: query (batch, length, dim), key and value (batch, keys, kv_dim) → (batch, length, dim).

    Args:
        dim: width of queries and output.
        heads: number of heads of the queries.
        kv_heads: number of heads of keys and values; `heads` if not given.
        head_dim: width of a head; dim / heads if not given.
        kv_dim: width of keys and values before projection; `dim` if not given.
        bias: whether the four projections have one.
        dropout: rate at which weights of the attention are dropped in training.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        *,
        kv_heads: int | None = None,
        head_dim: int | None = None,
        kv_dim: int | None = None,
        bias: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.dropout = heads, kv_heads or heads, dropout
        self.head_dim = head_dim or dim // heads
        self.q = Linear(dim, heads * self.head_dim, bias=bias)
        self.k = Linear(kv_dim or dim, self.kv_heads * self.head_dim, bias=bias)
        self.v = Linear(kv_dim or dim, self.kv_heads * self.head_dim, bias=bias)
        self.out = Linear(heads * self.head_dim, dim, bias=bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Tensor | None = None,
        causal: bool = False,
        rotary: tuple[Tensor, Tensor] | None = None,
        cache: KVCache | None = None,
    ) -> Tensor:
        """Attend from queries to keys.

        Args:
            query: (batch, length, dim).
            key: (batch, keys, kv_dim); `query` if not given, which is self-attention.
            value: (batch, keys, kv_dim); `key` if not given.
            mask: broadcastable to (batch, heads, length, keys): bool, True if the query may attend to the key, or a
                float that is added to the logits.
            causal: whether each query attends only to the keys up to its own position; not together with `mask`.
            rotary: cosines and sines, broadcastable to (batch, 1, length, head_dim), for self-attention.
            cache: of self-attention, the earlier keys and values, to which those of `query` are appended; of
                cross-attention, those of `key`, computed at the first call and then kept.
        """
        q = self._split(self.q(query), self.heads)  # (batch, heads, length, head_dim)
        if cache is not None and key is not None and cache.length:
            k, v = cache.keys, cache.values
        else:
            key = query if key is None else key
            k = self._split(self.k(key), self.kv_heads)
            v = self._split(self.v(key if value is None else value), self.kv_heads)
            if rotary is not None:
                k = rotate(k, *rotary)
            if cache is not None:
                k, v = cache.append(k, v)
        if rotary is not None:
            q = rotate(q, *rotary)
        dropout = self.dropout if self.training else 0.0
        grouped = self.kv_heads != self.heads
        plain = mask is None and not (causal or grouped or dropout)
        if plain and is_faster_by_products(q, k.shape[2]) and q.shape[2] > 1:
            y = attend_in_pieces(*(x.flatten(0, 1) for x in (q, k, v))).view_as(q)
        else:
            y = F.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped, dropout_p=dropout
            )
        return self.out(y.transpose(1, 2).flatten(2))

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        """An empty cache for `capacity` positions."""
        return KVCache((batch, self.kv_heads, capacity, self.head_dim))

    def _split(self, x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:2], heads, self.head_dim).transpose(1, 2)

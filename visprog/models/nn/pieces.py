"""Attention in pieces whose logits stay in the processor's cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_LOGITS = {"cpu": 1 << 21, "cuda": 1 << 27}
"""Number of logits that are computed at once, by kind of device."""

MIN_KEYS = 128
"""Number of keys from which `is_faster_by_products` says so."""

Bias = Callable[[tuple[slice, slice]], Tensor]
"""What is added to the logits of some heads and of some of their queries: (heads, queries, keys)."""


def attend_in_pieces(q: Tensor, k: Tensor, v: Tensor, bias: Bias | None = None) -> Tensor:
    """softmax(q kᵀ / √head_dim + bias) v.

    Args:
        q: (heads, queries, head_dim), the heads of all of a batch in a row.
        k: (heads, keys, head_dim).
        v: as `k`.
        bias: makes the bias of a piece, when it is needed.
    """
    heads, length, keys = q.shape[0], q.shape[1], k.shape[1]
    most = MAX_LOGITS.get(q.device.type, MAX_LOGITS["cuda"])
    queries = min(max(most // keys, 1), length)  # per piece
    each = max(most // (queries * keys), 1)  # heads per piece
    products = is_faster_by_products(q, keys)
    if products:
        q, k = q * q.shape[-1] ** -0.5, k.transpose(1, 2)
    rows = []
    for first in range(0, heads, each):
        some, parts = slice(first, first + each), []
        for start in range(0, length, queries):
            asked = some, slice(start, start + queries)
            if not products:
                mask = None if bias is None else bias(asked)[None]
                y = F.scaled_dot_product_attention(
                    q[asked][None], k[some][None], v[some][None], attn_mask=mask
                )[0]
            elif bias is None:
                y = torch.bmm(torch.bmm(q[asked], k[some]).softmax(-1), v[some])
            else:
                y = torch.bmm(torch.baddbmm(bias(asked), q[asked], k[some]).softmax(-1), v[some])
            parts.append(y)
        rows.append(torch.cat(parts, 1) if len(parts) > 1 else parts[0])
    return torch.cat(rows) if len(rows) > 1 else rows[0]


def is_faster_by_products(q: Tensor, keys: int) -> bool:
    """Whether two products of matrices with a softmax between them are faster than PyTorch's own attention: in bfloat16
    on a processor that has products of bfloat16 but no AMX, for which that attention was written."""
    return (
        not torch.compiler.is_compiling()
        and q.device.type == "cpu"
        and q.dtype == torch.bfloat16
        and keys >= MIN_KEYS
        and not (torch.is_grad_enabled() and q.requires_grad)
        and _products_alone()
    )


@cache
def _products_alone() -> bool:
    products, amx = (
        getattr(torch.cpu, name, bool)() for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return products and not amx

"""Attention in pieces is attention, whatever the pieces."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from visprog.models.nn import pieces  # noqa: E402
from visprog.models.nn.attention import Attention  # noqa: E402
from visprog.models.nn.pieces import attend_in_pieces, is_faster_by_products  # noqa: E402
from visprog.models.nn.window import WindowAttention, _between  # noqa: E402

SIZES = pytest.mark.parametrize("most", [1, 40, 10**3, 10**4, 10**7])


@SIZES
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("products", [False, True])
def test_pieces_are_the_whole(
    products: bool, biased: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pieces.MAX_LOGITS, "cpu", most)
    monkeypatch.setattr(pieces, "is_faster_by_products", lambda q, keys: products)
    torch.manual_seed(0)
    q, k, v = torch.randn(3, 30, 8), torch.randn(3, 21, 8), torch.randn(3, 21, 8)
    bias = torch.randn(3, 30, 21) if biased else None
    want = F.scaled_dot_product_attention(
        q[None], k[None], v[None], attn_mask=None if bias is None else bias[None]
    )
    have = attend_in_pieces(q, k, v, None if bias is None else lambda asked: bias[asked])
    torch.testing.assert_close(have, want[0], atol=1e-6, rtol=1e-5)


def whole(layer: WindowAttention, x: Any) -> Any:
    """`WindowAttention` with the logits of all positions at once, as published."""
    batch, height, width, dim = x.shape
    shape = batch, height * width, 3, layer.heads, dim // layer.heads
    q, k, v = layer.qkv(x).view(shape).permute(2, 0, 3, 1, 4)
    grid = q.unflatten(2, (height, width))
    down = torch.einsum("bnyxd,ykd->bnyxk", grid, _between(layer.rel_pos_h, height))
    across = torch.einsum("bnyxd,xkd->bnyxk", grid, _between(layer.rel_pos_w, width))
    bias = (down[..., :, None] + across[..., None, :]).flatten(4).flatten(2, 3)
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return layer.out(y.transpose(1, 2).reshape(batch, height, width, dim))


@SIZES
@pytest.mark.parametrize(
    ("dim", "heads", "size", "height", "width"), [(24, 3, 14, 14, 14), (20, 4, 6, 9, 5), (21, 3, 4, 4, 4)]
)
def test_relative_positions_in_pieces(
    dim: int, heads: int, size: int, height: int, width: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Outputs and all gradients; windows of 14, other sizes than that of the tables, and odd widths of heads."""
    monkeypatch.setitem(pieces.MAX_LOGITS, "cpu", most)
    torch.manual_seed(0)
    layer = WindowAttention(dim, heads, size)
    for table in (layer.rel_pos_h, layer.rel_pos_w):
        torch.nn.init.normal_(table)
    results = []
    for attend in (layer, lambda x: whole(layer, x)):
        layer.zero_grad()
        x = torch.randn(2, height, width, dim, generator=torch.Generator().manual_seed(1), requires_grad=True)
        y = attend(x)
        y.square().sum().backward()
        results.append([y, x.grad, *(parameter.grad.clone() for parameter in layer.parameters())])
    for have, want in zip(*results, strict=True):
        torch.testing.assert_close(have, want, atol=1e-5 * max(1, float(want.abs().max())), rtol=1e-5)


def test_products_serve_bfloat16_without_amx_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "_products_alone", lambda: True)
    q = torch.zeros(1, 200, 8, dtype=torch.bfloat16)
    assert is_faster_by_products(q, 200)
    assert not is_faster_by_products(q, 20) and not is_faster_by_products(q.float(), 200)
    assert not is_faster_by_products(q.clone().requires_grad_(), 200)
    with torch.no_grad():
        assert is_faster_by_products(q.clone().requires_grad_(), 200)
    monkeypatch.setattr(pieces, "_products_alone", lambda: False)
    assert not is_faster_by_products(q, 200)


def test_attention_in_bfloat16_is_close_by_products(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    layer, x = Attention(32, 4), torch.randn(2, 150, 32)
    context = torch.randn(2, 140, 32)
    with torch.no_grad():
        want = layer(x), layer(x, context), layer(x, causal=True)
        layer.to(torch.bfloat16)
        for products in (False, True):
            monkeypatch.setattr(pieces, "_products_alone", lambda products=products: products)
            y, c = x.bfloat16(), context.bfloat16()
            for a, b in zip(want, (layer(y), layer(y, c), layer(y, causal=True)), strict=True):
                torch.testing.assert_close(b.float(), a, atol=0.02, rtol=0.05)

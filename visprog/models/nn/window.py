"""Attention over a feature map, within windows and with relative positions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear import Linear
from .pieces import Bias, attend_in_pieces


class WindowAttention(nn.Module):
    """Self-attention over a feature map: within windows (ViTDet, Li et al. 2022, arXiv:2203.16527) or over all of
    it, with decomposed relative positions (MViTv2, Li et al. 2022, arXiv:2112.01526): to the logit of each query
    and key, q · rel_pos_h[dy] + q · rel_pos_w[dx] is added.

    Shapes: (batch, height, width, dim) → the same. A map that windows do not divide is padded with zeros on the
    right and below, and the padding is attended to, as it was in training of the public checkpoints.

    Args:
        dim: width of input and output.
        heads: number of attention heads.
        size: side of the map, or of the window, that the tables of relative positions are made for; for another
            side they are interpolated.
        window: side of the windows; 0 for none.
        bias: whether the projection to queries, keys and values has one.
        relative: whether there are relative positions. They start at zero.
    """

    def __init__(
        self, dim: int, heads: int, size: int, *, window: int = 0, bias: bool = True, relative: bool = True
    ) -> None:
        super().__init__()
        self.heads, self.window, self.relative = heads, window, relative
        self.qkv = Linear(dim, 3 * dim, bias=bias)
        self.out = Linear(dim, dim)
        if relative:
            self.rel_pos_h = nn.Parameter(torch.zeros(2 * size - 1, dim // heads))
            self.rel_pos_w = nn.Parameter(torch.zeros(2 * size - 1, dim // heads))

    def forward(self, x: Tensor) -> Tensor:
        if not self.window:
            return self.out(self._attend(x))
        windows, (rows, columns) = partition(x, self.window)  # (batch * rows * columns, window, window, dim)
        return self.out(merge(self._attend(windows), rows, columns)[:, : x.shape[1], : x.shape[2]])

    def _attend(self, x: Tensor) -> Tensor:
        batch, height, width, dim = x.shape
        shape = batch, height * width, 3, self.heads, dim // self.heads
        q, k, v = (
            self.qkv(x).view(shape).permute(2, 0, 3, 1, 4)
        )  # (batch, heads, height * width, head_dim) each
        q, k, v = (x.reshape(batch * self.heads, height * width, -1) for x in (q, k, v))
        y = attend_in_pieces(q, k, v, self._bias(q, height, width) if self.relative else None)
        return y.unflatten(0, (batch, self.heads)).transpose(1, 2).reshape(batch, height, width, dim)

    def _bias(self, q: Tensor, height: int, width: int) -> Bias:
        """Relative positions as logits, made when they are needed: those of all heads of a map of 64 × 64 would take
        805 MB, and more time to write and to read than to attend. q is (heads, height * width, head_dim)."""
        grid = q.unflatten(1, (height, width))
        # To the rows of the keys, (heads, height * width, height), and to their columns, (heads, height * width, width)
        down = torch.einsum("nyxd,ykd->nyxk", grid, _between(self.rel_pos_h, height)).flatten(1, 2)
        across = torch.einsum("nyxd,xkd->nyxk", grid, _between(self.rel_pos_w, width)).flatten(1, 2)
        return lambda asked: (down[asked][..., :, None] + across[asked][..., None, :]).flatten(2)


def _between(table: Tensor, size: int) -> Tensor:
    """Embeddings (2 n - 1, dim) of the distances -(n - 1) … n - 1 → of each query and key of a line (size, size,
    dim); interpolated if n is not `size`."""
    if table.shape[0] != 2 * size - 1:
        wide = table.to(torch.promote_types(table.dtype, torch.float32))
        table = F.interpolate(wide.T[None], size=2 * size - 1, mode="linear")[0].T.to(table.dtype)
    places = torch.arange(size, device=table.device)
    return table[places[:, None] - places + size - 1]


def partition(x: Tensor, window: int) -> tuple[Tensor, tuple[int, int]]:
    """(batch, height, width, dim) → windows (batch * rows * columns, window, window, dim), and how many (rows,
    columns) there are; padded with zeros to whole ones."""
    batch, height, width, dim = x.shape
    x = F.pad(x, (0, 0, 0, -width % window, 0, -height % window))
    rows, columns = x.shape[1] // window, x.shape[2] // window
    x = x.view(batch, rows, window, columns, window, dim).transpose(2, 3)
    return x.reshape(-1, window, window, dim), (rows, columns)


def merge(windows: Tensor, rows: int, columns: int) -> Tensor:
    """The reverse of `partition`, with the padding: (batch, rows * window, columns * window, dim)."""
    _, window, _, dim = windows.shape
    x = windows.view(-1, rows, columns, window, window, dim).transpose(2, 3)
    return x.reshape(-1, rows * window, columns * window, dim)

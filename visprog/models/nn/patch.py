"""Images to tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchEmbed(nn.Module):
    """A linear map of every patch of an image (Dosovitskiy et al. 2021).

    Shapes: (batch, channels, height, width), of any precision → (batch, height / patch * width / patch, dim), row by
    row.
    """

    def __init__(self, dim: int, patch: int, channels: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.patch = patch
        self.projection = nn.Conv2d(channels, dim, patch, patch, bias=bias)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if height % self.patch or width % self.patch:
            raise ValueError(f"an image of {width} x {height} pixels has no whole patches of {self.patch}")
        images = images.to(self.projection.weight.dtype)
        if images.dtype.itemsize > 2:
            return self.projection(images).flatten(2).transpose(1, 2)
        # In half precision, a product of matrices is faster than a convolution, which orders its weights first.
        rows = images.unflatten(3, (-1, self.patch)).unflatten(2, (-1, self.patch))
        patches = (
            rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)
        )  # (batch, patches, channels * patch²)
        return F.linear(patches, self.projection.weight.flatten(1), self.projection.bias)


def resize_positions(positions: Tensor, size: tuple[int, int]) -> Tensor:
    """Learned position embeddings of a square grid, interpolated to another grid (bicubic).

    Shapes: (rows * columns, dim) → (size[0] * size[1], dim).
    """
    side = round(positions.shape[0] ** 0.5)
    if (side, side) == size:
        return positions
    grid = positions.T.reshape(1, -1, side, side)
    wide = grid.to(torch.promote_types(grid.dtype, torch.float32))
    grid = F.interpolate(wide, size, mode="bicubic", align_corners=False)
    return grid.flatten(2)[0].T.to(positions.dtype)

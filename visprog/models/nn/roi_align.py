"""Features of boxes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def roi_align(
    features: Tensor,
    boxes: Tensor,
    images: Tensor,
    size: tuple[int, int],
    scale: float = 1.0,
    samples: int = 2,
) -> Tensor:
    """Features inside boxes on a grid of fixed size: each bin is the mean of `samples` × `samples` points, read by
    bilinear interpolation, without rounding (RoIAlign, He et al. 2017, arXiv:1703.06870). Equal to torchvision's with
    `aligned=True`: the centre of the first pixel lies at 0.5, and features beyond the border count as zero.

    Shapes: (n, channels, height, width), boxes (k, 4) → (k, channels, *size).

    Args:
        features: maps of n images.
        boxes: (left, top, right, bottom).
        images: (k,), the image that each box lies in.
        size: rows and columns of the result.
        scale: of the boxes' coordinates to those of the maps: 1 / 16 for maps of a stride of 16.
        samples: number of points per bin in each direction.
    """
    height, width = features.shape[-2:]
    wide = torch.promote_types(features.dtype, torch.float32)  # half precision cannot count pixels
    left, top, right, bottom = (boxes.to(wide) * scale).unbind(-1)
    y = _points(top, bottom, size[0] * samples)  # (k, rows * samples)
    x = _points(left, right, size[1] * samples)
    inside = _inside(y, height)[:, :, None] & _inside(x, width)[:, None, :]
    y, x = (y - 0.5).clamp(0, height - 1), (x - 0.5).clamp(0, width - 1)
    read = features.new_zeros(len(boxes), features.shape[1], y.shape[1], x.shape[1])
    for weight_y, row in _neighbours(y, height):
        for weight_x, column in _neighbours(x, width):
            found = features[
                images[:, None, None], :, row[:, :, None], column[:, None, :]
            ]  # (k, rows, columns, c)
            read = read + (weight_y[:, :, None] * weight_x[:, None, :])[:, None] * found.permute(0, 3, 1, 2)
    return F.avg_pool2d(read * inside[:, None], samples).to(features.dtype)


def _points(start: Tensor, end: Tensor, count: int) -> Tensor:
    """The centres of `count` equal parts of intervals, (k,) and (k,) → (k, count)."""
    steps = (torch.arange(count, device=start.device, dtype=start.dtype) + 0.5) / count
    return start[:, None] + (end - start)[:, None] * steps


def _inside(points: Tensor, length: int) -> Tensor:
    """Whether points lie within one pixel of the map."""
    return (points >= -0.5) & (points <= length + 0.5)


def _neighbours(points: Tensor, length: int) -> list[tuple[Tensor, Tensor]]:
    """Of points between 0 and length - 1: weight and index of the pixel before and of the one after."""
    before = points.floor().long().clamp(max=length - 1)
    share = points - before
    return [(1 - share, before), (share, (before + 1).clamp(max=length - 1))]

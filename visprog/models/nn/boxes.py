"""Boxes as tensors: (left, top, right, bottom), or (centre x, centre y, width, height) if a docstring says so."""

from __future__ import annotations

import torch
from torch import Tensor


def to_corners(boxes: Tensor) -> Tensor:
    """(…, 4) of centre, width and height → (…, 4) of corners."""
    center, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], -1)


def to_center(boxes: Tensor) -> Tensor:
    """(…, 4) of corners → (…, 4) of centre, width and height."""
    first, last = boxes[..., :2], boxes[..., 2:]
    return torch.cat([(first + last) / 2, last - first], -1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes that broadcast against each other, (…, 4) and (…, 4) → (…)."""
    shared, union = _shared_and_union(a, b)
    return shared / union


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU less the share of the smallest box around both that neither covers (Rezatofighi et al. 2019,
    arXiv:1902.09630); shapes as `iou`."""
    shared, union = _shared_and_union(a, b)
    around = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    area = around.clamp(min=0).prod(-1)
    return shared / union - (area - union) / area


def _shared_and_union(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    extent = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    shared = extent.clamp(min=0).prod(-1)
    areas = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1)
    return shared, areas - shared

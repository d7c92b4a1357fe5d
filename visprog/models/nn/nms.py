"""Non-maximum suppression."""

from __future__ import annotations

import torch
from torch import Tensor


def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """Indices, best first, of the boxes (N, 4) whose intersection over union with every better box that stays is at
    most `threshold`. Boxes are left, top, right, bottom; scores (N,)."""
    order = scores.argsort(descending=True, stable=True)
    boxes = boxes[order]
    low = torch.maximum(boxes[:, None, :2], boxes[:, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    rival = (shared / (areas[:, None] + areas - shared) > threshold).cpu()
    stays = torch.ones(len(boxes), dtype=torch.bool)
    for i in range(len(boxes)):
        if stays[i]:
            stays[i + 1 :] &= ~rival[i, i + 1 :]
    return order[stays.to(order.device)]

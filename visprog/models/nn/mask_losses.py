"""Losses of masks, one number a mask. Shapes: logits and targets (…, height, width), targets 0 or 1 → (…)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def focal_loss(logits: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Mean over pixels of the focal loss (Lin et al. 2017, arXiv:1708.02002): cross-entropy times (1 - p)^gamma, p
    being the probability of the truth; pixels of the object have weight alpha, the others 1 - alpha."""
    wrong = logits * (1 - 2 * targets)  # the logit of being wrong
    weight = (1 - alpha) + (2 * alpha - 1) * targets
    return (weight * F.softplus(wrong) * wrong.sigmoid().pow(gamma)).mean((-2, -1))


def dice_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """1 - (2 |P ∩ T| + 1) / (|P| + |T| + 1) of the probabilities P (Milletari et al. 2016, arXiv:1606.04797)."""
    p = logits.sigmoid()
    shared = (p * targets).sum((-2, -1))
    return 1 - (2 * shared + 1) / (p.sum((-2, -1)) + targets.sum((-2, -1)) + 1)


def mask_iou(masks: Tensor, targets: Tensor) -> Tensor:
    """Intersection over union of two bool masks; 0 if both are empty."""
    shared = (masks & targets).sum((-2, -1))
    return shared / (masks | targets).sum((-2, -1)).clamp(min=1)

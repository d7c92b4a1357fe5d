"""Scores of features by what lies nearest to them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

ROWS = 1024
"""Number of features that are compared with all others at a time."""


def knn_accuracy(features: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07) -> float:
    """Share of labels that the nearest other features find: each of the k nearest votes with exp(cosine / temperature)
    (Wu et al. 2018, arXiv:1805.01978), as self-supervised features are judged without any training.

    Args:
        features: (n, dim), of any length.
        labels: (n,), classes from 0 on.
        k: number of neighbours.
        temperature: divisor of the cosines.
    """
    features = F.normalize(features.float(), dim=-1)
    n, right = len(features), 0
    votes = F.one_hot(labels).float()  # (n, classes)
    for start in range(0, n, ROWS):
        cosines = features[start : start + ROWS] @ features.T
        rows = torch.arange(len(cosines))
        cosines[rows, start + rows] = -torch.inf  # not itself
        nearest = cosines.topk(min(k, n - 1))
        weights = (nearest.values / temperature).exp()
        found = (weights[..., None] * votes[nearest.indices]).sum(1).argmax(1)
        right += int((found == labels[start : start + ROWS]).sum())
    return right / n


def partner_accuracy(first: Tensor, second: Tensor) -> Tensor:
    """Share of views whose nearest view, among all others, is the other view of the same image.

    Args:
        first: (n, dim), rows of length 1, of one view of each image.
        second: (n, dim), likewise of the other view.
    """
    views = torch.cat([first, second])
    cosines = views @ views.T
    cosines.fill_diagonal_(-torch.inf)
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return (cosines.argmax(1) == partner).float().mean()

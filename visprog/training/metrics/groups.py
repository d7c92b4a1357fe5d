"""Scores of groups of validation samples."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def membership(samples: Sequence[Sequence[str]], groups: Sequence[str]) -> Tensor:
    """Which samples belong to which groups, bool (samples, groups)."""
    return torch.tensor([[group in of for group in groups] for of in samples], dtype=torch.bool).view(
        len(samples), len(groups)
    )


def group_means(right: Tensor, members: Tensor, groups: Sequence[str]) -> dict[str, float]:
    """Share of right samples (n,) in each group, by `membership`."""
    return {group: float(right[members[:, i]].float().mean()) for i, group in enumerate(groups)}

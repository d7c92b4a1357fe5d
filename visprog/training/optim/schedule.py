"""The learning rate over a run, as a factor of its peak."""

from __future__ import annotations

import math


def factor(step: int, steps: int, warmup: int, floor: float) -> float:
    """Linear from 0 over `warmup` steps, then a half cosine down to `floor` at the end (Loshchilov & Hutter 2017).

    Args:
        step: updates already made, 0 … steps - 1.
        floor: share of the peak that is left at the end.
    """
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, steps - warmup)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))

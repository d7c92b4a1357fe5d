"""The exponential moving average of the weights (Polyak & Juditsky 1992): often better than the last weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


class EMA:
    """Keeps the average of some parameters beside them.

    Args:
        parameters: those that are trained.
        decay: what an update keeps of the average; less in the first steps, min(decay, (1 + n) / (10 + n)), so
            that the first weights are soon forgotten.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.average = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights; `step` counts from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.average, [p.detach() for p in self.parameters], 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the parameters hold the average."""
        weights = [p.detach().clone() for p in self.parameters]
        self._copy(self.parameters, self.average)
        try:
            yield
        finally:
            self._copy(self.parameters, weights)

    def restore(self) -> None:
        """Take the average from what the parameters hold now."""
        self._copy(self.average, self.parameters)

    @staticmethod
    @torch.no_grad()
    def _copy(to: list[Tensor], source: list[Tensor]) -> None:
        for target, values in zip(to, source, strict=True):  # sharded tensors have no copy of many at once
            target.copy_(values)

"""Frequencies of sines in models of any precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

from torch import Tensor, nn


class Frequencies(nn.Module):
    """A module whose buffer `frequencies` stays as it is when the rest of the model changes its precision: angles grow
    with position, and from rounded frequencies they would be off by whole turns."""

    frequencies: Tensor

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        exact = self.frequencies
        super()._apply(fn, recurse)
        self.frequencies = exact.to(self.frequencies.device)
        return self

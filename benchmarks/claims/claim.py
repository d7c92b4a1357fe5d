"""What an experiment on a claim is: conditions, metrics, and what must hold if the claim is right.

One file per claim in this folder, `x05b_hard_negatives.py`, defines `CLAIM`.
"""

from __future__ import annotations

import importlib
import pkgutil
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

Measure = Callable[[str, int], Mapping[str, float]]
"""A condition and a seed → metric → value."""


@dataclass(frozen=True)
class Statistic:
    """A metric over seeds.

    Attributes:
        mean: over seeds.
        deviation: standard deviation over seeds; 0 for one seed.
    """

    mean: float
    deviation: float

    def __str__(self) -> str:
        return f"{_short(self.mean, 3)} ± {_short(self.deviation, 2)}"


def _short(value: float, digits: int) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.{digits}g}"


Results = Mapping[str, Mapping[str, Statistic]]
"""Condition → metric → statistic."""


@dataclass(frozen=True)
class Check:
    """One part of a claim.

    Attributes:
        statement: sentence that is true if the claim holds.
        holds: whether the results say so.
    """

    statement: str
    holds: Callable[[Results], bool]


@dataclass(frozen=True)
class Claim:
    """An experiment.

    Attributes:
        name: short identifier, "x5b".
        title: the claim as a sentence.
        source: paper that makes it.
        conditions: what is compared, in the order of the plot; if all are numbers, the plot is a line over them.
        measure: trains and evaluates under one condition. It seeds every random number by the seed; what conditions
            share (a pool of images, a base model) it may keep by `functools.cache`: the conditions of one seed run in
            one process.
        metrics: metric → its value without any learning (chance level or trivial baseline), None if there is none.
        checks: what must hold.
    """

    name: str
    title: str
    source: str
    conditions: tuple[str, ...]
    measure: Measure
    metrics: Mapping[str, float | None]
    checks: tuple[Check, ...] = field(default=())


def find_claims() -> dict[str, Claim]:
    """All claims of this folder by name, in the order of their files."""
    package = importlib.import_module(__package__)
    names = sorted(m.name for m in pkgutil.iter_modules(package.__path__) if m.name.startswith("x"))
    claims = [importlib.import_module(f"{__package__}.{name}").CLAIM for name in names]
    return {claim.name: claim for claim in claims}


def statistic(values: list[float]) -> Statistic:
    """Mean and standard deviation."""
    return Statistic(statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0)

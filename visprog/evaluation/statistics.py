"""Statistics of a measurement: confidence intervals, and a test of whether two runs differ."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Z95 = 1.959963984540054
"""Number of standard deviations that hold 95 % of the normal distribution."""

SEED = 0


class Interval(NamedTuple):
    """From `low` to `high`, with a confidence of 95 %."""

    low: float
    high: float


def wilson(right: float, total: int) -> Interval:
    """The score interval of a share (Wilson, 1927): it stays within 0…1 and holds for small numbers too.

    Args:
        right: Number of successes; fractions are allowed.
        total: Number of trials.

    Raises:
        ValueError: `total` is not positive, or `right` is not between 0 and `total`.
    """
    if total < 1 or not 0 <= right <= total:
        raise ValueError(f"a share needs 0 <= right <= total and total >= 1, not {right} of {total}")
    share, z2 = right / total, Z95**2
    center = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return Interval(max(0.0, center - half), min(1.0, center + half))


def bootstrap_mean(values: Sequence[float], groups: Sequence[Hashable], samples: int = 2000) -> Interval:
    """The percentile interval of a mean by the bootstrap over groups (Efron, 1979).

    Args:
        values: At least one value.
        groups: Group per value; values of one group are drawn together.
        samples: Number of bootstrap samples.
    """
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    index = np.array([number[g] for g in groups])
    sums = np.bincount(index, np.asarray(values, float), len(number))
    sizes = np.bincount(index, minlength=len(number))
    rng = np.random.default_rng(SEED)
    found = np.empty(samples)
    for k in range(samples):
        drawn = rng.integers(0, len(number), len(number))
        found[k] = sums[drawn].sum() / sizes[drawn].sum()
    return Interval(*map(float, np.quantile(found, (0.025, 0.975))))


def bootstrap(
    rows: Sequence[Mapping[str, Any]],
    statistic: Callable[[Sequence[Mapping[str, Any]]], Mapping[str, float]],
    samples: int = 1000,
) -> dict[str, Interval]:
    """The percentile intervals of any statistic of rows of results.

    Whole groups are drawn; a group that is drawn twice counts as two groups.

    Args:
        rows: At least one row, each with its "group" (if it is empty, the row is its own group).
        statistic: Computes named numbers from rows; a number that is missing or NaN for a sample is left out.
        samples: Number of bootstrap samples.
    """
    members: dict[Hashable, list[Mapping[str, Any]]] = {}
    for i, row in enumerate(rows):
        members.setdefault(row["group"] or i, []).append(row)
    groups = list(members.values())
    rng = np.random.default_rng(SEED)
    found: dict[str, list[float]] = {}
    for _ in range(samples):
        drawn: list[Mapping[str, Any]] = []
        times: dict[int, int] = {}
        for i in rng.integers(0, len(groups), len(groups)).tolist():
            times[i] = times.get(i, 0) + 1
            if times[i] == 1 or not groups[i][0]["group"]:
                drawn += groups[i]
            else:
                drawn += [{**row, "group": f"{row['group']}#{times[i]}"} for row in groups[i]]
        for name, value in statistic(drawn).items():
            if not math.isnan(value):
                found.setdefault(name, []).append(value)
    return {
        name: Interval(*map(float, np.quantile(values, (0.025, 0.975)))) for name, values in found.items()
    }


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947) for two runs on the same questions.

    Args:
        only_first: Number of questions that only the first run answers right.
        only_second: Number of questions that only the second run answers right.

    Raises:
        ValueError: A number is negative.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts cannot be negative: {only_first}, {only_second}")
    total, fewer = only_first + only_second, min(only_first, only_second)
    if total == 0:
        return 1.0
    ways, tail = 1, 0  # integers of any size: floats overflow from about a thousand questions on
    for k in range(fewer + 1):
        tail += ways
        ways = ways * (total - k) // (k + 1)
    p: float = 2 * tail / 2**total
    return min(1.0, p)


def quantile(values: Sequence[float], q: float) -> float:
    """The quantile `q` of values, linear between neighbours; 0 if there are none."""
    return float(np.quantile(values, q)) if values else 0.0


def jaccard(first: Sequence[str], second: Sequence[str]) -> float:
    """The Jaccard index of two sets (1901): intersection over union; 1 if both are empty."""
    one, other = set(first), set(second)
    return len(one & other) / len(one | other) if one | other else 1.0

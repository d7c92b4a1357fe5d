"""Intervals and tests against published values and independent computations."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import numpy as np
import pytest

from visprog.evaluation.metrics import all_right, means
from visprog.evaluation.statistics import (
    bootstrap,
    bootstrap_mean,
    jaccard,
    mcnemar,
    quantile,
    wilson,
)


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_as_newcombe_prints_it(right: int, total: int, low: float, high: float) -> None:
    assert wilson(right, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_all_is_that_of_none_mirrored() -> None:
    low, high = wilson(20, 20)
    assert (1 - high, 1 - low) == pytest.approx(wilson(0, 20))


@pytest.mark.parametrize(("right", "total"), [(0, 0), (3, 2), (-1, 5)])
def test_wilson_refuses_what_is_no_share(right: int, total: int) -> None:
    with pytest.raises(ValueError, match="share"):
        wilson(right, total)


@pytest.mark.parametrize(("one", "other"), [(5, 15), (0, 6), (7, 7), (1, 2), (0, 0), (40, 90)])
def test_mcnemar_is_the_binomial_test(one: int, other: int) -> None:
    n = one + other
    tail = sum(Fraction(comb(n, k), 2**n) for k in range(min(one, other) + 1))
    assert mcnemar(one, other) == pytest.approx(float(min(Fraction(1), 2 * tail)))
    assert mcnemar(one, other) == mcnemar(other, one)


def test_mcnemar_of_thousands_is_near_the_normal_one() -> None:
    # z = (|b - c| - 1) / sqrt(b + c) = 2.527…: two-sided p of a normal distribution.
    assert mcnemar(3000, 3200) == pytest.approx(0.0115, abs=3e-4)


def test_a_bootstrapped_mean_agrees_with_theory_and_is_repeatable() -> None:
    values = np.random.default_rng(1).normal(0.4, 0.2, 900).tolist()
    low, high = bootstrap_mean(values, range(900))
    half = 1.96 * np.std(values) / 30
    assert (low, high) == pytest.approx((np.mean(values) - half, np.mean(values) + half), abs=0.002)
    assert bootstrap_mean(values, range(900)) == (low, high)


def test_what_goes_together_is_less_sure() -> None:
    values = [1.0, 0.0] * 60
    low, high = bootstrap_mean(values, range(120))
    together_low, together_high = bootstrap_mean(sorted(values), [i // 12 for i in range(120)])
    assert together_high - together_low > 2 * (high - low)


def test_groups_are_drawn_as_wholes_and_twice_drawn_counts_twice() -> None:
    rows = [{"group": f"g{i // 2}", "scores": {"correct": float(i < 20)}} for i in range(40)]
    sizes = []

    def statistic(drawn: object) -> dict[str, float]:
        sizes.append(len({r["group"] for r in drawn}))  # type: ignore[attr-defined]
        return {"pairs": all_right(drawn), **means(drawn)}  # type: ignore[arg-type]

    found = bootstrap(rows, statistic, samples=300)
    assert set(sizes) == {20}
    assert found["pairs"] == found["correct"]  # in each pair both are right, or none
    assert found["pairs"].low < 0.5 < found["pairs"].high


def test_rows_without_a_group_are_drawn_one_by_one() -> None:
    rows = [{"group": "", "scores": {"correct": float(i % 2)}} for i in range(64)]
    found = bootstrap(rows, means, samples=400)["correct"]
    assert found == pytest.approx((0.5 - 1.96 / 16, 0.5 + 1.96 / 16), abs=0.02)


def test_quantiles_and_jaccard() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile([], 0.9) == 0
    assert jaccard(["detect", "crop"], ["detect", "vqa"]) == pytest.approx(1 / 3)
    assert jaccard([], []) == 1

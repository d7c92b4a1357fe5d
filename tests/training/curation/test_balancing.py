"""Probabilities and draws: closed forms, and frequencies over many draws."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.training.curation.balancing import (
    draw,
    keep_probabilities,
    pair_probabilities,
    shard_key,
    threshold_for,
    uniform,
)
from visprog.training.curation.matching import Matches


def test_a_query_keeps_its_tail_and_cuts_its_head() -> None:
    counts = np.array([0, 1, 99, 100, 101, 20_000])
    assert keep_probabilities(counts, 100) == pytest.approx([1, 1, 1, 1, 100 / 101, 0.005])


def test_a_pair_stays_by_any_of_its_queries() -> None:
    matches = Matches(np.array([0, 1, 1, 3]), np.array([0, 0, 1, 2]))
    assert pair_probabilities(matches, np.array([0.5, 0.2, 1.0]), 4) == pytest.approx([0.5, 0.6, 0.0, 1.0])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_rate_of_kept_pairs_is_one_minus_the_product(seed: int) -> None:
    rows = np.repeat(np.arange(200_000), 3)
    matches = Matches(rows, np.tile(np.arange(3), 200_000))
    p = np.array([0.1, 0.02, 0.3])
    kept = draw(matches, p, shard_key("a.parquet", seed))
    expected = 1 - 0.9 * 0.98 * 0.7
    assert len(kept) / 200_000 == pytest.approx(
        expected, abs=4 * np.sqrt(expected * (1 - expected) / 200_000)
    )
    numbers = uniform(shard_key("a.parquet", seed), *matches).reshape(-1, 3)
    wins = numbers < p
    assert np.array_equal(np.flatnonzero(wins.any(1)), kept)
    assert wins.mean(0) == pytest.approx(p, abs=0.005)
    both = (wins[:, 0] & wins[:, 2]).mean()  # independent of each other
    assert both == pytest.approx(0.1 * 0.3, abs=0.003)


def test_numbers_are_uniform_and_differ_by_shard_row_and_query() -> None:
    rows, queries = np.arange(100_000), np.zeros(100_000, np.int64)
    numbers = uniform(shard_key("a", 0), rows, queries)
    assert np.histogram(numbers, 10, (0, 1))[0] == pytest.approx(np.full(10, 10_000), rel=0.05)
    for others in (
        uniform(shard_key("b", 0), rows, queries),
        uniform(shard_key("a", 1), rows, queries),
        uniform(shard_key("a", 0), rows, queries + 1),
        uniform(shard_key("a", 0), rows + 1, queries),
    ):
        assert abs(np.corrcoef(numbers, others)[0, 1]) < 0.02


def test_batches_of_a_shard_draw_as_the_whole() -> None:
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, 1000, 3000))
    matches, p = Matches(rows, rng.integers(0, 50, 3000)), rng.random(50)
    whole = draw(matches, p, 5)
    second = matches.rows >= 400
    parts = [
        draw(Matches(rows[~second], matches.queries[~second]), p, 5),
        draw(Matches(rows[second] - 400, matches.queries[second]), p, 5, 400) + 400,
    ]
    assert np.array_equal(whole, np.concatenate(parts))


def test_a_share_of_the_tail_gives_the_threshold() -> None:
    counts = np.array([50, 1, 3, 0, 6, 40])  # sorted 0 1 3 6 40 50, cumulated .0 .01 .04 .1 .5 1
    assert [threshold_for(counts, share) for share in (0.0, 0.04, 0.09, 0.4, 1.0)] == [1, 3, 6, 40, 50]
    assert threshold_for(np.zeros(3, np.int64), 0.1) == 1

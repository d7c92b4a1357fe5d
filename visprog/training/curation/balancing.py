"""Balancing: with which probability a match of a query keeps its pair, and the independent draws.

A pair stays if any of the queries that match it wins its draw, with probability `t / max(count, t)`. So a query keeps
at least `t` of its matches in expectation, and a query with fewer keeps all of them (Xu et al., 2024, algorithm 1).
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from .matching import Ids, Matches

Floats = NDArray[np.float64]

MAX_PER_QUERY = 20_000
"""`t` of CLIP (Radford et al., 2021) and of MetaCLIP for 400 million pairs."""


def keep_probabilities(counts: Ids, max_per_query: int) -> Floats:
    """Probability with which a match of each query keeps its pair, from the number of its matches: (n,) → (n,)."""
    probabilities: Floats = max_per_query / np.maximum(counts, max_per_query)
    return probabilities


def pair_probabilities(matches: Matches, probabilities: Floats, rows: int) -> Floats:
    """Probability that each of `rows` pairs stays, 1 − Π(1 − p) over its queries: (rows,)."""
    lost = np.ones(rows)
    np.multiply.at(lost, matches.rows, 1 - probabilities[matches.queries])
    return 1 - lost


def threshold_for(counts: Ids, share: float) -> int:
    """The `max_per_query` for which queries up to it have a share of all matches: the count at which the cumulated
    share of the sorted counts is nearest to `share` (`p_to_t` of MetaCLIP 2: Chuang et al., 2025, which thereby takes
    the tail share of one language to the others). At least 1."""
    ordered = np.sort(counts)
    total = int(ordered.sum())
    if not total:
        return 1
    return max(int(ordered[np.abs(np.cumsum(ordered) / total - share).argmin()]), 1)


def draw(matches: Matches, probabilities: Floats, key: int, first_row: int = 0) -> Ids:
    """Rows of a batch that stay: those with a match that wins its draw.

    The draw of a match depends on `key`, its row and its query alone, so it is the same in any order of work.

    Args:
        matches: Those of the batch.
        probabilities: By query.
        key: Of the shard; see `shard_key`.
        first_row: Position of the batch in the shard.

    Returns:
        Positions in the batch, rising.
    """
    numbers = uniform(key, matches.rows + first_row, matches.queries)
    return np.unique(matches.rows[numbers < probabilities[matches.queries]])


def shard_key(name: str, seed: int) -> int:
    """Key of the random numbers of a shard, of 64 bits."""
    digest = blake2b(f"{seed}\n{name}".encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def uniform(key: int, rows: Ids, queries: Ids) -> Floats:
    """A random number in [0, 1) for each row and query, as a hash of them: (n,), (n,) → (n,)."""
    mixed = _mix(np.uint64(key) + rows.astype(np.uint64) * _GOLDEN)
    mixed = _mix(mixed + queries.astype(np.uint64) * _GOLDEN + _GOLDEN)
    numbers: Floats = (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return numbers


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele et al., 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

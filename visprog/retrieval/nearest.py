"""Exact search for the features nearest to a query, by dot product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtra

Scores = NDArray[np.float32]
Positions = NDArray[np.int64]

_ROWS = 4096
"""Features that are converted to float32 at once: few enough to stay in the cache of a core."""

_BLOCK = 16 * _ROWS
"""Features whose scores are held at once."""

_QUERIES = 256
"""Queries that are answered at once."""


def nearest(
    queries: NDArray[np.float32], features: NDArray[Any], k: int, wanted: NDArray[np.bool_] | None = None
) -> tuple[Scores, Positions]:
    """The features with the highest dot products, computed in float32.

    Args:
        queries: (q, dim).
        features: (n, dim), float16 or float32; may be mapped from a file.
        k: Number of features per query.
        wanted: Which features may be found, (n,); all if not given.

    Returns:
        Scores and positions, each (q, min(k, number of wanted features)), best first, and of equal scores the lower
        position first.

    Raises:
        MissingExtra: Torch is not installed.
    """
    k = min(k, len(features) if wanted is None else int(wanted.sum()))
    found = [
        _nearest(queries[i : i + _QUERIES], features, k, wanted) for i in range(0, len(queries), _QUERIES)
    ]
    if not found:
        return np.zeros((0, k), np.float32), np.zeros((0, k), np.int64)
    return np.concatenate([scores for scores, _ in found]), np.concatenate([places for _, places in found])


def _nearest(
    queries: NDArray[np.float32], features: NDArray[Any], k: int, wanted: NDArray[np.bool_] | None
) -> tuple[Scores, Positions]:
    try:
        import torch
    except ImportError:
        raise MissingExtra("a search for images", "search") from None

    columns = torch.from_numpy(np.ascontiguousarray(queries, np.float32).T)  # (dim, q)
    rows, block = torch.empty(_ROWS, len(columns)), torch.empty(_BLOCK, len(queries))
    best, places = torch.zeros(len(queries), 0), torch.zeros(len(queries), 0, dtype=torch.long)
    for start in range(0, len(features), _BLOCK):
        scores = block[: len(features) - start]
        for row in range(0, len(scores), _ROWS):
            part = torch.from_numpy(features[start + row : start + min(row + _ROWS, len(scores))])
            torch.mm(rows[: len(part)].copy_(part), columns, out=scores[row : row + len(part)])
        if wanted is not None:
            scores[~torch.from_numpy(wanted[start : start + len(scores)])] = -torch.inf
        values, indices = _first(scores, min(k, len(scores)))
        best, places = torch.cat([best, values], 1), torch.cat([places, indices + start], 1)
        best, order = best.sort(dim=1, descending=True, stable=True)  # earlier blocks stand first
        best, places = best[:, :k], places.gather(1, order[:, :k])
    return best.numpy(), places.numpy()


def _first(scores: Any, k: int) -> tuple[Any, Any]:
    """The k highest scores of each column and their rows, both (q, k); of equal scores the lower row first."""
    values, rows = scores.T.topk(min(k + 1, len(scores)))
    rows = rows[:, :k].contiguous()
    if 0 < k < values.shape[1]:
        # Which of those that equal the last one are among the first is left to chance.
        tied = (values[:, k] == values[:, k - 1]).nonzero().flatten()
        for column in tied.tolist():
            rows[column] = scores[:, column].sort(dim=0, descending=True, stable=True).indices[:k]
    rows = rows.sort(dim=1).values
    values, order = scores.T.gather(1, rows).sort(dim=1, descending=True, stable=True)
    return values, rows.gather(1, order)

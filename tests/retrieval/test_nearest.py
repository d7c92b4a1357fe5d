"""The search against sorting all dot products."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra 'torch' is not installed")

from visprog.retrieval import nearest as module
from visprog.retrieval.nearest import nearest


def unit(count: int, dim: int, seed: int) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@pytest.mark.parametrize(("count", "k", "queries"), [(1, 1, 1), (7, 20, 3), (500, 10, 1), (5000, 32, 9)])
def test_it_finds_what_sorting_finds(
    kind: type, count: int, k: int, queries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_ROWS", 64)
    monkeypatch.setattr(module, "_BLOCK", 512)
    monkeypatch.setattr(module, "_QUERIES", 4)
    features, asked = unit(count, 24, 0).astype(kind), unit(queries, 24, 1)
    exact = asked @ features.astype(np.float32).T
    order = np.argsort(-exact, axis=1, kind="stable")[:, :k]
    scores, places = nearest(asked, features, k)
    assert np.array_equal(places, order)
    assert scores == pytest.approx(np.take_along_axis(exact, order, 1), abs=1e-6)


def test_rows_that_are_not_wanted_are_not_found() -> None:
    features = unit(300, 8, 0)
    wanted = np.random.default_rng(2).random(300) < 0.1
    _, places = nearest(features[:5], features, 1000, wanted)
    assert places.shape == (5, wanted.sum()) and {*places[0]} == {*np.flatnonzero(wanted)}


def test_equal_scores_keep_the_order_and_nothing_gives_nothing() -> None:
    features = np.tile(unit(1, 4, 0), (6, 1))
    assert nearest(features[:1], features, 6)[1].tolist() == [[0, 1, 2, 3, 4, 5]]
    for count, k in ((20, 3), (200_000, 3), (200_000, 100)):  # of more than one block
        many = np.zeros((count, 4), np.float16)
        many[:, 0] = 1
        many[7] = 0, 1, 0, 0
        many[count - 2] = 2, 0, 0, 0
        query = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
        scores, places = nearest(query, many, k)
        others = [i for i in range(k + 8) if i not in (7, count - 2)]
        assert places[0].tolist() == [count - 2, *others][:k] and scores[0, :3].tolist() == [2, 1, 1]
        assert places[1].tolist() == [7, *(i for i in range(k + 8) if i != 7)][:k]
    assert nearest(features[:1], features[:0], 3)[1].shape == (1, 0)
    assert nearest(features[:0], features, 3)[1].shape == (0, 3)

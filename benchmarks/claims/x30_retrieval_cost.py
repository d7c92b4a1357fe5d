"""X30: search by dot products is linear and cheap, fusion of image and text costs ten thousand times more per pair."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray

from visprog.models import albef_base
from visprog.retrieval.nearest import nearest

from .claim import Check, Claim

DIM, FIRST, ROUNDS = 512, 32, 5
LENGTH = 12
"""Tokens of the text."""

SIZES = (100_000, 300_000, 1_000_000)


@cache
def features_of(seed: int) -> NDArray[np.float32]:
    """Random features of length 1, (largest size, DIM)."""
    rng = np.random.default_rng(seed)
    features = np.empty((max(SIZES), DIM), np.float32)
    for part in np.array_split(features, 20):
        part[:] = rng.standard_normal(part.shape, np.float32)
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return features


def milliseconds(run: Callable[[], object]) -> float:
    """Median over a few runs, after one that does not count."""
    times = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times[1:])


@cache
def rerank_time(seed: int) -> float:
    """Time in which the fusion of ALBEF, of the published size, judges the first images of a search.

    The encoding of the images does not count: their tokens are there, as the features of the search are.
    """
    torch.manual_seed(seed)
    model = albef_base().eval()
    config = model.config.image_encoder
    images = torch.randn(FIRST, 1 + (config.size // config.patch) ** 2, config.dim)
    tokens = torch.randint(1000, 2000, (1, LENGTH)).expand(FIRST, -1)
    with torch.inference_mode():
        return milliseconds(lambda: model.matching_logits(images, tokens))


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Time of one query over as many features as the condition says, in three formats, and that of re-ranking."""
    exact = features_of(seed)[: int(condition)]
    rng = np.random.default_rng((seed, 1))
    query = rng.standard_normal((1, DIM)).astype(np.float32)
    query /= np.linalg.norm(query)
    scale = 127 / np.abs(exact).max()
    stored = {
        "float32": exact,
        "float16": exact.astype(np.float16),
        "int8": np.rint(exact * scale).astype(np.int8),
    }
    found: dict[str, float] = {
        f"search, {name} (ms)": milliseconds(lambda features=features: nearest(query, features, FIRST))
        for name, features in stored.items()
    }
    wanted = {*nearest(query, exact, FIRST)[1][0]}
    for name in ("float16", "int8"):
        found[f"same first {FIRST}, {name}"] = (
            len(wanted & {*nearest(query, stored[name], FIRST)[1][0]}) / FIRST
        )
    rerank = rerank_time(seed)
    per_pair = found["search, float16 (ms)"] / len(exact)
    return {**found, f"re-rank {FIRST} (ms)": rerank, "cost of fusion per pair": rerank / FIRST / per_pair}


SMALL, _, LARGE = map(str, SIZES)

CLAIM = Claim(
    name="x30",
    title="Retrieval by dot products is linear in the number of images, and far cheaper per pair than fusion",
    source="Radford et al. 2021, arXiv:2103.00020; Li et al. 2021, arXiv:2107.07651",
    conditions=tuple(map(str, SIZES)),
    measure=measure,
    metrics=dict.fromkeys(
        (
            "search, float32 (ms)", "search, float16 (ms)", "search, int8 (ms)", f"re-rank {FIRST} (ms)",
            f"same first {FIRST}, float16", f"same first {FIRST}, int8", "cost of fusion per pair",
        )
    ),
    checks=(
        Check(
            "ten times the images take five to twenty times the time",
            lambda r: 5 < r[LARGE]["search, float16 (ms)"].mean / r[SMALL]["search, float16 (ms)"].mean < 20,
        ),
        Check("a pair costs fusion ten thousand times more", lambda r: r[LARGE]["cost of fusion per pair"].mean > 1e4),
        Check(
            f"re-ranking {FIRST} images takes longer than searching a million",
            lambda r: r[LARGE][f"re-rank {FIRST} (ms)"].mean > r[LARGE]["search, float16 (ms)"].mean,
        ),
        Check(
            "half the memory costs no image of the first",
            lambda r: r[LARGE][f"same first {FIRST}, float16"].mean > 0.95,
        ),
    ),
)  # fmt: skip

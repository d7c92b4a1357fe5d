"""X4: a CLIP does not learn who is left of whom, whatever the size of the batch and the number of images."""

from __future__ import annotations

from collections.abc import Mapping

from .claim import Check, Claim
from .contrast import CHANCE, fresh_clip, judge, pool_of, train_clip

CONDITIONS = {"batch 16": (16, 500), "batch 128": (128, 500), "batch 16, 4 × the images": (16, 2000)}
"""Condition → batch size and steps."""

POOL = 8000


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train under one condition."""
    batch, steps = CONDITIONS[condition]
    model = fresh_clip(seed)
    train_clip(model, pool_of(POOL, seed), seed, batch=batch, steps=steps)
    found = judge(model)
    return {name: found[name] for name in METRICS}


METRICS = {name: CHANCE[name] for name in ("relation", "attribute", "object")}

CLAIM = Claim(
    name="x4",
    title="Contrastive learning does not learn relations, with small batches or large",
    source="Yuksekgonul et al. 2023, arXiv:2210.01936",
    conditions=tuple(CONDITIONS),
    measure=measure,
    metrics=METRICS,
    checks=(
        Check(
            "relations stay near chance under every condition",
            lambda r: all(r[c]["relation"].mean < 0.65 for c in CONDITIONS),
        ),
        Check(
            "objects are told apart under every condition",
            lambda r: all(r[c]["object"].mean > r[c]["relation"].mean + 0.2 for c in CONDITIONS),
        ),
    ),
)

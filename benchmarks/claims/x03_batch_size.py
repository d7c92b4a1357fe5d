"""X3: larger batches make a CLIP tell finer differences, at equal numbers of steps."""

from __future__ import annotations

from collections.abc import Mapping

from .claim import Check, Claim
from .contrast import CHANCE, fresh_clip, judge, pool_of, train_clip

POOL, STEPS = 8000, 500


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train with one batch size."""
    model = fresh_clip(seed)
    train_clip(model, pool_of(POOL, seed), seed, batch=int(condition), steps=STEPS)
    found = judge(model)
    return {name: found[name] for name in METRICS}


METRICS = {name: CHANCE[name] for name in ("R@1", "attribute", "object")}

CLAIM = Claim(
    name="x3",
    title="Larger batches make contrastive learning tell finer differences",
    source="Radford et al. 2021, arXiv:2103.00020",
    conditions=("16", "48", "128"),
    measure=measure,
    metrics=METRICS,
    checks=(
        Check(
            "retrieval is better with a larger batch", lambda r: r["128"]["R@1"].mean > r["16"]["R@1"].mean
        ),
        Check(
            "so is telling which colour belongs to which shape",
            lambda r: r["128"]["attribute"].mean > r["16"]["attribute"].mean,
        ),
    ),
)

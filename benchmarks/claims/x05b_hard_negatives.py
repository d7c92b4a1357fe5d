"""X5b: with hard negatives from the start a CLIP learns relations, without them it does not."""

from __future__ import annotations

from collections.abc import Mapping

from .claim import Check, Claim
from .contrast import CHANCE, fresh_clip, judge, pool_of, swaps_of, train_clip

POOL, BATCH, STEPS = 12_000, 64, 3000
NONE, SWAPS = "no hard negatives", "with hard negatives"


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train under one condition."""
    model = fresh_clip(seed)
    swaps = swaps_of(POOL, seed) if condition == SWAPS else None
    train_clip(model, pool_of(POOL, seed), seed, batch=BATCH, steps=STEPS, swaps=swaps)
    return judge(model)


CLAIM = Claim(
    name="x5b",
    title="Hard negatives teach a CLIP relations, which it does not learn otherwise",
    source="Yuksekgonul et al. 2023, arXiv:2210.01936",
    conditions=(NONE, SWAPS),
    measure=measure,
    metrics=CHANCE,
    checks=(
        Check("without hard negatives relations stay near chance", lambda r: r[NONE]["relation"].mean < 0.65),
        Check("with them relations are learned", lambda r: r[SWAPS]["relation"].mean > 0.9),
        Check(
            "retrieval does not suffer by more than 0.05",
            lambda r: r[SWAPS]["R@1"].mean > r[NONE]["R@1"].mean - 0.05,
        ),
    ),
)

"""X5: fine-tuning on hard negatives tells relations and attributes better; what it does to retrieval."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from functools import cache

from visprog.models.clip.model import Clip

from .claim import Check, Claim
from .contrast import CHANCE, fresh_clip, judge, pool_of, swaps_of, train_clip

POOL, BASE, FURTHER = 8000, 500, 400
START, PLAIN, SWAPS = "before", "goes on without", "goes on with hard negatives"


@cache
def base(seed: int) -> Clip:
    """The CLIP that all conditions begin with."""
    model = fresh_clip(seed)
    train_clip(model, pool_of(POOL, seed), seed, batch=128, steps=BASE)
    return model


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Fine-tune under one condition."""
    model = deepcopy(base(seed))
    if condition != START:
        swaps = swaps_of(POOL, seed) if condition == SWAPS else None
        train_clip(model, pool_of(POOL, seed), seed + 100, batch=64, steps=FURTHER, lr=1e-3, swaps=swaps)
    return judge(model)


CLAIM = Claim(
    name="x5",
    title="Fine-tuning on hard negatives tells relations and attributes better",
    source="Yuksekgonul et al. 2023, arXiv:2210.01936",
    conditions=(START, PLAIN, SWAPS),
    measure=measure,
    metrics=CHANCE,
    checks=(
        Check(
            "attributes are told better than before",
            lambda r: r[SWAPS]["attribute"].mean > r[START]["attribute"].mean,
        ),
        Check(
            "relations are told better than after as many steps without hard negatives",
            lambda r: r[SWAPS]["relation"].mean > r[PLAIN]["relation"].mean,
        ),
        Check(
            "retrieval loses at most 0.1 against as many steps without them",
            lambda r: r[SWAPS]["R@1"].mean > r[PLAIN]["R@1"].mean - 0.1,
        ),
    ),
)

"""What the experiments on contrastive learning share: a CLIP trained on pairs of shapes, and how it is judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from visprog.models.clip.model import Clip, clamp_logit_scale
from visprog.models.nn import info_nce
from visprog.training.data.word_swaps import word_swap

from .small_models import image_features, prefers, recall_at_1, small_clip, text_features, train
from .world import Pool, Words, pairs_of_shapes, world_words

TEST = 1024
TEST_SEED = 1_000_000
"""Seed of the images to test on, which no run trains on."""

CHANCE = {"relation": 0.5, "attribute": 0.5, "object": 0.5, "R@1": 1 / TEST}
"""Metric of `judge` → its value without learning."""


@cache
def pool_of(count: int, seed: int) -> Pool:
    """Pairs of shapes to train on."""
    return pairs_of_shapes(count, seed)


def words() -> Words:
    """The words of captions of pairs."""
    return world_words()


@cache
def swaps_of(count: int, seed: int, variants: int = 4) -> tuple[tuple[str, ...], ...]:
    """For each image of a pool, hard negatives of its caption: adjectives, nouns or noun phrases exchanged."""
    rng = np.random.default_rng((seed, 5))
    scenes = pool_of(count, seed).scenes
    return tuple(tuple(word_swap(scene.caption, rng) for _ in range(variants)) for scene in scenes)


def train_clip(
    model: Clip,
    pool: Pool,
    seed: int,
    *,
    batch: int,
    steps: int,
    lr: float = 1e-3,
    negatives: Sequence[Sequence[str]] | None = None,
) -> list[float]:
    """Train on a pool by the contrastive loss; captions of equal words are no negatives of each other.

    Args:
        negatives: for each image, false captions, of which each visit draws one for the images to choose among.
    """
    rng, captions = np.random.default_rng((seed, 4)), [scene.caption for scene in pool.scenes]
    ids = words()(captions)
    numbers = torch.tensor([hash(caption) for caption in captions])
    false = (
        None if negatives is None else torch.stack([words()(texts) for texts in zip(*negatives, strict=True)])
    )

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), batch, replace=False)
        images, texts = model.encode_images(pool.pixels(rows)), ids[rows]
        positives = numbers[rows][:, None] == numbers[rows]
        if false is not None:
            texts = torch.cat([texts, false[rng.integers(len(false), size=batch), rows]])
            positives = torch.nn.functional.pad(positives, (0, batch))
        clamp_logit_scale(model.logit_scale)
        return info_nce(images, model.encode_texts(texts), model.logit_scale.exp(), positives)

    return train(model.parameters(), loss, steps, lr=lr)


def judge(model: Clip) -> Mapping[str, float]:
    """Of two captions of an image, which is nearer? They differ in the relation, in which colour belongs to which shape
    (attribute), or in one shape (object). And recall at 1 of the caption among those of all test images."""
    pool, rng = pool_of(TEST, TEST_SEED), np.random.default_rng(0)
    captions = [scene.caption for scene in pool.scenes]
    model.eval()
    images, right = image_features(model, pool), text_features(model, words(), captions)
    wrong = {
        "relation": [scene.other_relation for scene in pool.scenes],
        "attribute": [scene.swapped_colors for scene in pool.scenes],
        "object": [scene.other_object(rng) for scene in pool.scenes],
    }
    found = {
        name: prefers(images, right, text_features(model, words(), texts)) for name, texts in wrong.items()
    }
    return {**found, "R@1": recall_at_1(images, right, captions)}


def fresh_clip(seed: int) -> Clip:
    """A CLIP for pairs of shapes, untrained."""
    return small_clip(words(), seed)

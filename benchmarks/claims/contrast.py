"""What the experiments on contrastive learning share: a CLIP trained on pairs of shapes, and how it is judged."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visprog.models.clip.model import Clip, clamp_logit_scale
from visprog.models.nn import info_nce
from visprog.training.data.word_swaps import word_swaps

from .small_models import image_features, matrices, prefers, recall_at_1, small_clip, text_features, train
from .world import Pool, Words, pairs_of_shapes, world_words

SIZE = 32
TEST, TEST_SEED = 1024, 1_000_000
"""Number of images to test on, and their seed, which no run trains on."""

CHANCE = {"relation": 0.5, "attribute": 0.5, "object": 0.5, "R@1": 1 / TEST}
"""Metric of `judge` → its value without learning."""


@cache
def pool_of(count: int, seed: int) -> Pool:
    """Pairs of shapes."""
    return pairs_of_shapes(count, seed, size=SIZE)


@cache
def words() -> Words:
    """The words of captions of pairs."""
    return world_words(length=10)


@cache
def swaps_of(count: int, seed: int) -> tuple[tuple[str, ...], ...]:
    """For each image of a pool, the three swaps of its caption: adjectives, nouns or noun phrases exchanged."""
    rng = np.random.default_rng((seed, 5))
    return tuple(tuple(word_swaps(scene.caption, rng, 3)) for scene in pool_of(count, seed).scenes)


def fresh_clip(seed: int) -> Clip:
    """An untrained CLIP."""
    return small_clip(words(), seed, size=SIZE)


def train_clip(
    model: Clip,
    pool: Pool,
    seed: int,
    *,
    batch: int,
    steps: int,
    lr: float = 2e-3,
    swaps: Sequence[Sequence[str]] | None = None,
) -> None:
    """Train on a pool by the contrastive loss; captions of equal words are no negatives of each other.

    Args:
        swaps: for each image, false captions that the images choose among as well (NegCLIP, Yuksekgonul et al. 2023).
    """
    rng = np.random.default_rng((seed, 4))
    captions = [scene.caption for scene in pool.scenes]
    ids, numbers = words()(captions), torch.tensor([zlib.crc32(text.encode()) for text in captions])
    false = None if swaps is None else torch.stack([words()(texts) for texts in zip(*swaps, strict=True)])

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), batch, replace=False)
        images, texts = model.encode_images(pool.pixels(rows)), ids[rows]
        positives = numbers[rows][:, None] == numbers[rows]
        if false is not None:
            texts = torch.cat([texts, *false[:, rows]])
            positives = F.pad(positives, (0, len(false) * batch))
        clamp_logit_scale(model.logit_scale)
        return info_nce(images, model.encode_texts(texts), model.logit_scale.exp(), positives)

    model.train()
    train(model.parameters(), loss, steps, lr=lr, muon=matrices(model))


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

"""X9: balancing of pairs by their queries, as MetaCLIP does it, lifts rare classes at equal steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch

from visprog.models.clip.model import clamp_logit_scale
from visprog.models.nn import info_nce
from visprog.training.curation.balancing import draw, keep_probabilities, shard_key
from visprog.training.curation.matching import QueryMatcher

from .claim import Check, Claim
from .small_models import image_features, small_clip, text_features, train
from .world import COLORS, SHAPES, Pool, Scene, Shape, Words
from .world import draw as draw_scenes

HEAD_IMAGES, TAIL_IMAGES = 20_000, 100
"""Images of the most frequent and of the rarest of the 36 classes; Zipf's law between them, 200:1."""

BATCH, STEPS, TEST_IMAGES = 128, 400, 40
HEAD, TAIL = 6, 18
"""Number of the most frequent and of the rarest classes that are judged apart."""

LIMITS = (100, 300, 1000, 20_000)
"""Values of `t`; the largest keeps all pairs."""

CLASSES = [f"species{i}" for i in range(len(COLORS) * len(SHAPES))]
"""Names that share no word, so that a rare class is learned from its own images alone."""

WORDS = Words(["a photo of", *CLASSES], length=7)

SIZE, NOISE = 32, 25.0
"""Side of an image in pixels, and standard deviation of the noise on their values, 0 to 255."""

TEST_SEED = 1_000_000
"""Added to the seed of a run, the seed of its test images."""


def images_of(classes: np.ndarray, seed: int) -> Pool:
    """One image per class number. Which colour and shape a class has depends on the seed of the run alone."""
    order = np.random.default_rng((seed % TEST_SEED, 6)).permutation(len(CLASSES))
    rng = np.random.default_rng((seed, 7))
    scenes = []
    for number in order[classes]:
        radius = rng.uniform(4, 7)
        x, y = rng.uniform(radius + 1, SIZE - 1 - radius, 2)
        color, shape = list(COLORS)[number // len(SHAPES)], SHAPES[number % len(SHAPES)]
        scenes.append(Scene((Shape(color, shape, x, y, radius),)))
    return draw_scenes(scenes, seed, size=SIZE, noise=NOISE)


@cache
def pool_of(seed: int) -> tuple[Pool, np.ndarray]:
    """Images to train on and their classes, most frequent first."""
    exponent = np.log(HEAD_IMAGES / TAIL_IMAGES) / np.log(len(CLASSES))
    counts = np.rint(HEAD_IMAGES * np.arange(1, len(CLASSES) + 1) ** -exponent).astype(int)
    classes = np.repeat(np.arange(len(CLASSES)), counts)
    return images_of(classes, seed), classes


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Curate the pool with one limit, train on what stays, classify by the nearest class name."""
    pool, classes = pool_of(seed)
    captions = [f"a photo of {CLASSES[number]}" for number in classes]
    matches = QueryMatcher(CLASSES)(captions)
    counts = np.bincount(matches.queries, minlength=len(CLASSES))
    kept = draw(matches, keep_probabilities(counts, int(condition)), shard_key("pool", seed))

    model, rng = small_clip(WORDS, seed, size=SIZE), np.random.default_rng((seed, 8))
    ids, numbers = WORDS(captions), torch.from_numpy(classes)

    def loss(step: int) -> torch.Tensor:
        rows = rng.choice(kept, BATCH)
        images, texts = model.encode_images(pool.pixels(rows)), model.encode_texts(ids[rows])
        clamp_logit_scale(model.logit_scale)
        positives = numbers[rows][:, None] == numbers[rows]
        return info_nce(images, texts, model.logit_scale.exp(), positives)

    train(model.parameters(), loss, STEPS)
    model.eval()
    test = np.repeat(np.arange(len(CLASSES)), TEST_IMAGES)
    names = text_features(model, WORDS, [f"a photo of {name}" for name in CLASSES])
    found = (image_features(model, images_of(test, seed + TEST_SEED)) @ names.T).argmax(1).numpy()
    right = (found == test).reshape(len(CLASSES), -1).mean(1)
    return {
        "accuracy": right.mean(),
        "accuracy, head": right[:HEAD].mean(),
        "accuracy, tail": right[-TAIL:].mean(),
        "share of pairs kept": len(kept) / len(classes),
    }


RAW = str(LIMITS[-1])
BALANCED = "300"
CHANCE = 1 / len(CLASSES)

CLAIM = Claim(
    name="x9",
    title="Balancing of pairs lifts rare classes, and costs frequent ones little",
    source="Xu et al. 2024, arXiv:2309.16671",
    conditions=tuple(map(str, LIMITS)),
    measure=measure,
    metrics={
        "accuracy": CHANCE,
        "accuracy, head": CHANCE,
        "accuracy, tail": CHANCE,
        "share of pairs kept": None,
    },
    checks=(
        Check(
            f"with at most about {BALANCED} pairs per class, rare classes gain more than 0.1",
            lambda r: r[BALANCED]["accuracy, tail"].mean > r[RAW]["accuracy, tail"].mean + 0.1,
        ),
        Check(
            "frequent ones lose less than 0.05",
            lambda r: r[BALANCED]["accuracy, head"].mean > r[RAW]["accuracy, head"].mean - 0.05,
        ),
        Check(
            "fewer pairs are better on the mean of all classes",
            lambda r: r[BALANCED]["accuracy"].mean > r[RAW]["accuracy"].mean,
        ),
    ),
)

"""X1: the mean of several templates describes a class better than one template, or its bare name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from visprog.models.clip.model import Clip, clamp_logit_scale
from visprog.models.nn import info_nce
from visprog.models.zero_shot import ensemble

from .claim import Check, Claim
from .small_models import image_features, small_clip, text_features, train
from .world import COLORS, SHAPES, Pool, Words, single_shapes, world_words

TEMPLATES = (
    "a photo of a {}", "a picture of a {}", "a drawing of the {}", "an image of a {}", "there is a {}",
    "a blurry photo of the {}", "a bad picture of a {}", "it looks like a {}",
)  # fmt: skip
UNSEEN = "a good sketch of my {}"
STEPS, BATCH, NOISE = 150, 128, 60.0
POOL, TEST, TEST_SEED = 4000, 1024, 1_000_000
CLASSES = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)

BARE, OTHER, SINGLE, BEST, ALL = (
    "bare name", "a template never read", "mean of single templates", "best single template", "ensemble of 8",
)  # fmt: skip


@cache
def words(further: tuple[str, ...] = ()) -> Words:
    """The words of templates and names."""
    return world_words([*TEMPLATES, UNSEEN, *further], length=14)


def train_on_templates(vocabulary: Words, seed: int, steps: int, noise: float) -> Clip:
    """A CLIP that reads captions in all templates; captions of one class are right for all its images."""
    model, rng = small_clip(vocabulary, seed, size=32), np.random.default_rng((seed, 4))
    pool = single_shapes(POOL, seed, size=32, noise=noise)
    labels = labels_of(pool)
    ids = torch.stack([vocabulary([t.replace("{}", name) for name in CLASSES]) for t in TEMPLATES])

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), BATCH, replace=False)
        texts = ids[torch.from_numpy(rng.integers(len(TEMPLATES), size=BATCH)), labels[rows]]
        positives = labels[rows][:, None] == labels[rows]
        clamp_logit_scale(model.logit_scale)
        images = model.encode_images(pool.pixels(rows))
        return info_nce(images, model.encode_texts(texts), model.logit_scale.exp(), positives)

    train(model.parameters(), loss, steps)
    return model.eval()


def labels_of(pool: Pool) -> Tensor:
    """The class of each image."""
    return torch.tensor([CLASSES.index(scene.shapes[0].name) for scene in pool.scenes])


def accuracy(images: Tensor, labels: Tensor, classes: Sequence[Tensor]) -> float:
    """Share of images whose own class is the nearest; a class is the ensemble of its sentences (n, dim)."""
    features = torch.stack([ensemble(sentences) for sentences in classes])
    return float(((images @ features.T).argmax(1) == labels).float().mean())


@cache
def results(seed: int) -> Mapping[str, float]:
    """The accuracies of all conditions, which share a model."""
    model = train_on_templates(words(), seed, STEPS, NOISE)
    pool = single_shapes(TEST, TEST_SEED, size=32, noise=NOISE)
    images, labels = image_features(model, pool), labels_of(pool)

    def by(*templates: str) -> float:
        texts = [[t.replace("{}", name) for t in templates] for name in CLASSES]
        features = text_features(model, words(), [text for of in texts for text in of])
        return accuracy(images, labels, features.split(len(templates)))

    singles = [by(template) for template in TEMPLATES]
    return {
        BARE: by("{}"), OTHER: by(UNSEEN), SINGLE: float(np.mean(singles)), BEST: max(singles), ALL: by(*TEMPLATES),
    }  # fmt: skip


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Accuracy of classes that are described in one way."""
    return {"accuracy": results(seed)[condition]}


CLAIM = Claim(
    name="x1",
    title="An ensemble of templates is at least as good as a single template",
    source="Radford et al. 2021, arXiv:2103.00020",
    conditions=(BARE, OTHER, SINGLE, BEST, ALL),
    measure=measure,
    metrics={"accuracy": 1 / len(CLASSES)},
    checks=(
        Check(
            "the ensemble is at least as good as the mean of its templates",
            lambda r: r[ALL]["accuracy"].mean >= r[SINGLE]["accuracy"].mean,
        ),
        Check(
            "it is better than the bare name", lambda r: r[ALL]["accuracy"].mean > r[BARE]["accuracy"].mean
        ),
    ),
)

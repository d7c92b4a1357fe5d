"""X10: contrast before fusion helps matching, and a teacher helps against captions that are wrong."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor

from visprog.models.albef.distillation import AlbefTeacher, Distillation
from visprog.models.albef.model import Albef, AlbefConfig, AlbefImageEncoderConfig
from visprog.models.bert import BertConfig

from .claim import Check, Claim
from .small_models import matrices, train
from .world import COLORS, MASK, SHAPES, START, Pool, Scene, Words, single_shapes, world_words

SIZE, LENGTH = 32, 6
POOL, TEST, TEST_SEED = 4000, 512, 1_000_000
STEPS, MOMENTUM = 900, 0.99
NAMES = tuple(f"a {color} {shape}" for color in COLORS for shape in SHAPES)


@dataclass(frozen=True)
class Setting:
    """A condition.

    Attributes:
        wrong: share of captions that are wrong: half of them belong to another image, half have one word exchanged.
        alpha: share of the teacher in the targets.
        contrast: weight of the contrastive loss.
        batch: number of pairs in a step.
        queue: number of earlier pairs in the contrast.
    """

    wrong: float = 0.4
    alpha: float = 0.4
    contrast: float = 1.0
    batch: int = 32
    queue: int = 0


CLEAN, CLEAN_TAUGHT = "right captions, no teacher", "right captions, teacher"
NOISY, TAUGHT = "wrong captions, no teacher", "wrong captions, teacher"
FUSED = "no contrast"
SMALL, QUEUE = "batch of 8", "batch of 8, queue of 64"
SETTINGS = {
    CLEAN: Setting(wrong=0, alpha=0),
    CLEAN_TAUGHT: Setting(wrong=0),
    NOISY: Setting(alpha=0),
    TAUGHT: Setting(),
    FUSED: Setting(contrast=0),
    SMALL: Setting(batch=8),
    QUEUE: Setting(batch=8, queue=64),
}


@cache
def words() -> Words:
    """The words of captions of single shapes."""
    return world_words(length=LENGTH)


@cache
def pool_of(count: int, seed: int) -> Pool:
    """Images of single shapes."""
    return single_shapes(count, seed, size=SIZE)


def captions(pool: Pool, wrong: float, seed: int) -> list[str]:
    """The captions to train on, fixed for each image."""
    rng = np.random.default_rng((seed, 10))
    found = []
    for scene in pool.scenes:
        draw = rng.random()
        if draw < wrong / 2:
            scene = pool.scenes[int(rng.integers(len(pool)))]
        elif draw < wrong:
            scene = other_word(scene, rng)
        found.append(scene.caption)
    return found


def other_word(scene: Scene, rng: np.random.Generator) -> Scene:
    """A scene with another colour or another shape."""
    shape = scene.shapes[0]
    if rng.random() < 0.5:
        shape = replace(shape, color=str(rng.choice([c for c in COLORS if c != shape.color])))
    else:
        shape = replace(shape, shape=str(rng.choice([s for s in SHAPES if s != shape.shape])))
    return Scene((shape,))


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train under one condition."""
    setting, pool, rng = SETTINGS[condition], pool_of(POOL, seed), np.random.default_rng((seed, 4))
    texts = captions(pool, setting.wrong, seed)
    ids, numbers = words()(texts), torch.tensor([zlib.crc32(text.encode()) for text in texts])
    pairs = torch.stack(
        [-1 - torch.arange(len(pool)), numbers], 1
    )  # negative: no image has the number of a text
    torch.manual_seed(seed)
    image = AlbefImageEncoderConfig(SIZE, 8, 64, 2, 2, 128, stem=1)
    text = BertConfig(len(words()), LENGTH, 2, 64, 1, 2, 128, dropout=0.0, start=START, mask=MASK)
    model = Albef(AlbefConfig(image, text, 2, 64)).train()
    ramp = len(pool) // setting.batch
    teacher = AlbefTeacher(model, Distillation(setting.alpha, ramp, MOMENTUM, setting.queue))

    def loss(step: int) -> Tensor:
        if step:
            teacher.update(model)
        rows = rng.choice(len(pool), setting.batch, replace=False)
        own = pairs[rows]
        related = (own[:, None] == own).any(-1)
        losses = model.losses(pool.pixels(rows), ids[rows], related, own, teacher=teacher)
        return setting.contrast * losses["contrast"] + losses["matching"] + losses["language"]

    train(model.parameters(), loss, STEPS, lr=2e-3, muon=matrices(model))
    return judge(model.eval())


@torch.no_grad()
def judge(model: Albef) -> Mapping[str, float]:
    """On right captions: how often the caption of an image is the nearest of all ("R@1"), how often it matches better
    than with one word exchanged ("matching"), and how often a masked word is restored ("words")."""
    pool, rng = pool_of(TEST, TEST_SEED), np.random.default_rng(0)
    right = [scene.caption for scene in pool.scenes]
    ids, false = words()(right), words()([other_word(scene, rng).caption for scene in pool.scenes])
    image_tokens, images = model.encode_images(pool.pixels(slice(None)))
    nearest = model.similarity(images, model.encode_texts(words()(NAMES))[1]).argmax(1)
    better = model.matching_logits(image_tokens, ids) > model.matching_logits(image_tokens, false)
    restored = []
    for place in (2, 3):  # colour and shape
        masked = ids.clone()
        masked[:, place] = MASK
        logits = model.restored_words(masked, masked == MASK, image_tokens)
        restored.append((logits.argmax(1) == ids[:, place]).float().mean())
    return {
        "R@1": sum(NAMES[i] == text for i, text in zip(nearest.tolist(), right, strict=True)) / len(right),
        "matching": float(better.float().mean()),
        "words": float(torch.stack(restored).mean()),
    }


CLAIM = Claim(
    name="x10",
    title="Contrast before fusion helps matching, and a teacher helps against wrong captions",
    source="Li et al. 2021, arXiv:2107.07651",
    conditions=tuple(SETTINGS),
    measure=measure,
    metrics={"R@1": 1 / len(NAMES), "matching": 0.5, "words": 1 / len(COLORS)},
    checks=(
        Check("wrong captions hurt", lambda r: r[NOISY]["R@1"].mean < r[CLEAN]["R@1"].mean - 0.03),
        Check(
            "with wrong captions the teacher helps, by every metric",
            lambda r: all(r[TAUGHT][name].mean > r[NOISY][name].mean for name in r[NOISY]),
        ),
        Check(
            "with right captions it does not",
            lambda r: r[CLEAN_TAUGHT]["R@1"].mean < r[CLEAN]["R@1"].mean + 0.01,
        ),
        Check(
            "without contrast less is matched",
            lambda r: r[FUSED]["matching"].mean < r[TAUGHT]["matching"].mean - 0.03,
        ),
        Check(
            "a queue helps small batches to match",
            lambda r: r[QUEUE]["matching"].mean > r[SMALL]["matching"].mean,
        ),
    ),
)

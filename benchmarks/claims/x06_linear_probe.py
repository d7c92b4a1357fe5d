"""X6: a linear probe on self-supervised features beats one on pixels, unless the augmentations removed what tells the
classes apart; a zero-shot CLIP is worth a probe on a few images per class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
from torch import Tensor

from visprog.models.clip.model import Clip, ImageEncoderConfig, clamp_logit_scale
from visprog.models.linear_probe import choose, few_shot
from visprog.models.nn import info_nce
from visprog.models.probe import image_encoder_of, image_features
from visprog.models.simclr import Simclr, SimclrConfig, nt_xent_loss
from visprog.training.data.augmentation import Augmentation

from .claim import Check, Claim
from .small_models import image_features as unit_features
from .small_models import small_clip, text_features, train
from .world import COLORS, SHAPES, Pool, single_shapes, world_words

SIZE, POOL, LABELLED, TEST = 32, 4000, 3200, 800
SIMCLR_STEPS, SIMCLR_BATCH = 300, 128
CLIP_STEPS, CLIP_BATCH = 200, 64
SHOTS = (1, 4, 16, 64)
SWEEP = tuple(10.0**power for power in range(-4, 3))
PIXELS, SIMCLR, JITTER, CLIP = "pixels", "SimCLR", "SimCLR with colour jitter", "CLIP"
CLASSES = [f"{color} {shape}" for color in COLORS for shape in SHAPES]
VIEWS = {
    SIMCLR: Augmentation(area=0.4, jitter=0, grey=0, blur=0),
    JITTER: Augmentation(area=0.4, jitter=1.0, grey=0.2, blur=0),
}


@cache
def pools(seed: int) -> tuple[Pool, Pool, Pool, Pool]:
    """Images without labels, with labels, for validation, and to test on."""
    return tuple(  # type: ignore[return-value]
        single_shapes(count, 4 * seed + part, size=SIZE, noise=20.0)
        for part, count in enumerate((POOL, LABELLED, TEST, TEST))
    )


def labels_of(pool: Pool) -> Tensor:
    """Numbers of class, colour and shape, (n, 3)."""
    found = [(CLASSES.index(s.shapes[0].name), *_attributes(s.shapes[0].name)) for s in pool.scenes]
    return torch.tensor(found)


def train_simclr(condition: str, seed: int) -> Simclr:
    """Train on images without labels."""
    torch.manual_seed(seed)
    encoder = ImageEncoderConfig(SIZE, 8, 64, 2, 4, 256, "gelu", project=None, stem=1)
    model, rng, (pool, *_) = (
        Simclr(SimclrConfig(encoder, project=64)),
        np.random.default_rng(seed),
        pools(seed),
    )

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), SIMCLR_BATCH, replace=False)
        views = [VIEWS[condition](pool.images[i], SIZE, rng) for _ in range(2) for i in rows]
        images = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 127.5 - 1
        return nt_xent_loss(*model(images).embeds.chunk(2))

    train(model.parameters(), loss, SIMCLR_STEPS, lr=2e-3)
    return model.eval()


def train_clip(seed: int) -> Clip:
    """Train on the same images with captions."""
    words = world_words()
    model, rng, (pool, *_) = small_clip(words, seed, size=SIZE), np.random.default_rng(seed), pools(seed)
    ids, classes = words([scene.caption for scene in pool.scenes]), labels_of(pool)[:, 0]

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), CLIP_BATCH, replace=False)
        clamp_logit_scale(model.logit_scale)
        images, texts = model.encode_images(pool.pixels(rows)), model.encode_texts(ids[rows])
        return info_nce(images, texts, model.logit_scale.exp(), classes[rows][:, None] == classes[rows])

    train(model.parameters(), loss, CLIP_STEPS, lr=2e-3)
    return model.eval()


def features_of(model: Simclr | Clip | None, pool: Pool) -> Tensor:
    """Features before a projection, (n, dim); of no model, pixels as means of 2 x 2."""
    images = pool.pixels(slice(None))
    if model is None:
        return torch.nn.functional.avg_pool2d(images, 2).flatten(1)
    with torch.no_grad():
        encoder = image_encoder_of(model)
        return torch.cat([image_features(encoder, part) for part in images.split(256)])


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train under one condition, and fit probes."""
    model: Simclr | Clip | None = None
    if condition == CLIP:
        model = train_clip(seed)
    elif condition != PIXELS:
        model = train_simclr(condition, seed)
    _, labelled, validation, test = pools(seed)
    (train_x, train_y), (val_x, val_y), (test_x, test_y) = (
        (features_of(model, pool), labels_of(pool)) for pool in (labelled, validation, test)
    )
    found = {}
    for shots in SHOTS:
        rows = few_shot(train_y[:, 0], shots, seed)
        probe = choose((train_x[rows], train_y[rows, 0]), (val_x, val_y[:, 0]), SWEEP, len(CLASSES))
        found[_shots(shots)] = probe.accuracy(test_x, test_y[:, 0])
    for column, name in enumerate(("colour", "shape"), 1):
        probe = choose((train_x[rows], train_y[rows, column]), (val_x, val_y[:, column]), SWEEP)
        found[name] = probe.accuracy(test_x, test_y[:, column])
    if isinstance(model, Clip):
        texts = text_features(model, world_words(), [f"a {name}" for name in CLASSES])
        right = (unit_features(model, test) @ texts.T).argmax(1) == test_y[:, 0]
        found["zero-shot"] = float(right.float().mean())
    return found


def _attributes(name: str) -> tuple[int, int]:
    color, shape = name.split()
    return list(COLORS).index(color), SHAPES.index(shape)


def _shots(shots: int) -> str:
    return f"{shots} shot{'s' * (shots > 1)}"


CLAIM = Claim(
    name="x6",
    title="A probe on SimCLR's features beats one on pixels, and colour jitter takes colours out of them",
    source="Chen et al. 2020, arXiv:2002.05709; Radford et al. 2021, arXiv:2103.00020",
    conditions=(PIXELS, SIMCLR, JITTER, CLIP),
    measure=measure,
    metrics={
        **{_shots(shots): 1 / len(CLASSES) for shots in SHOTS},
        "colour": 1 / len(COLORS),
        "shape": 1 / len(SHAPES),
        "zero-shot": 1 / len(CLASSES),
    },
    checks=(
        Check(
            "from 4 shots on, a probe on SimCLR is right more often than one on pixels",
            lambda r: all(r[SIMCLR][_shots(k)].mean > r[PIXELS][_shots(k)].mean for k in SHOTS[1:]),
        ),
        Check(
            "colour jitter costs SimCLR colours, by more than 0.1",
            lambda r: r[JITTER]["colour"].mean < r[SIMCLR]["colour"].mean - 0.1,
        ),
        Check(
            "a zero-shot CLIP is at least as good as a probe on 4 images per class",
            lambda r: r[CLIP]["zero-shot"].mean >= r[CLIP][_shots(4)].mean - 0.02,
        ),
    ),
)

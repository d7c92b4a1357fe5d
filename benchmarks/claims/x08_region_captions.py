"""X8: captions of regions teach what captions of whole images, which name one object of four, leave open."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visprog.models.clip.model import Clip, clamp_logit_scale
from visprog.models.nn import info_nce

from .claim import Check, Claim
from .small_models import image_features, matrices, small_clip, text_features, train
from .world import COLORS, SHAPES, Pool, Scene, Shape, Words, draw, world_words

SIZE, OBJECTS = 48, 4
POOL, TEST, TEST_SEED = 6000, 256, 1_000_000
STEPS, BATCH = 400, 64
CLASSES = tuple(f"{color} {shape}" for color in COLORS for shape in SHAPES)
IMAGES, REGIONS = "captions of images", "and of regions"


@cache
def words() -> Words:
    """The words of captions."""
    return world_words(length=6)


@cache
def pool_of(count: int, seed: int) -> Pool:
    """Images of four different shapes, one in each quarter."""
    rng = np.random.default_rng((seed, 8))
    scenes = []
    for _ in range(count):
        names = rng.choice(CLASSES, OBJECTS, replace=False)
        places = rng.permutation([(x, y) for x in (12, 36) for y in (12, 36)])
        shapes = [
            Shape(*str(name).split(), *(place + rng.uniform(-4, 4, 2)).tolist(), rng.uniform(5, 7))
            for name, place in zip(names, places, strict=True)
        ]
        scenes.append(Scene(tuple(shapes)))  # its caption names the first
    return draw(scenes, seed, size=SIZE)


def labels_of(pool: Pool) -> Tensor:
    """The class of each object, (n, objects)."""
    return torch.tensor([[CLASSES.index(shape.name) for shape in scene.shapes] for scene in pool.scenes])


def boxes_of(pool: Pool) -> Tensor:
    """The box of each object, (n, objects, 4)."""
    return torch.tensor([[shape.box for shape in scene.shapes] for scene in pool.scenes])


def train_clip(seed: int, regions: bool) -> Clip:
    """Train on captions that name one object; perhaps also on the phrases of all four boxes."""
    model, rng, pool = (
        small_clip(words(), seed, size=SIZE),
        np.random.default_rng((seed, 4)),
        pool_of(POOL, seed),
    )
    labels, boxes = labels_of(pool), boxes_of(pool)
    ids = words()([f"a {name}" for name in CLASSES])
    owners = torch.arange(BATCH).repeat_interleave(OBJECTS)

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), BATCH, replace=False)
        clamp_logit_scale(model.logit_scale)
        scale, texts, said = model.logit_scale.exp(), model.encode_texts(ids), labels[rows, 0]
        images, found = model.encode_regions(pool.pixels(rows), boxes[rows].flatten(0, 1), owners)
        value = info_nce(images, texts[said], scale, said[:, None] == said)
        if regions:
            named = labels[rows].flatten()
            value = value + info_nce(found, texts[named], scale, named[:, None] == named)
        return value

    train(model.parameters(), loss, STEPS, lr=2e-3, muon=matrices(model))
    return model.eval()


@torch.no_grad()
def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train under one condition, and name the objects of other images."""
    with torch.enable_grad():
        model = train_clip(seed, condition == REGIONS)
    pool = pool_of(TEST, TEST_SEED)
    labels, boxes = labels_of(pool), boxes_of(pool)
    names = text_features(model, words(), [f"a {name}" for name in CLASSES])
    owners = torch.arange(TEST).repeat_interleave(OBJECTS)
    _, regions = model.encode_regions(pool.pixels(slice(None)), boxes.flatten(0, 1), owners)
    crops = model.encode_images(_crops(pool, boxes))
    images = image_features(model, pool)
    first = (images @ names.T).topk(OBJECTS)[1]
    shown = (first[:, :, None] == labels[:, None]).any(-1)
    return {
        "regions by RoI features": float(((regions @ names.T).argmax(1) == labels.flatten()).float().mean()),
        "regions by crops": float(((crops @ names.T).argmax(1) == labels.flatten()).float().mean()),
        "objects among the first 4 of an image": float(shown.float().mean()),
    }


def _crops(pool: Pool, boxes: Tensor) -> Tensor:
    """The boxes with a margin of a twentieth, as the tool `match` crops them, as large as an image."""
    margin = 0.05 * (boxes[..., 2:] - boxes[..., :2]).amax(-1, keepdim=True)
    grown = torch.cat([boxes[..., :2] - margin, boxes[..., 2:] + margin], -1).clamp(0, SIZE)
    edges = torch.cat([grown[..., :2].floor(), grown[..., 2:].ceil()], -1).int().flatten(0, 1).tolist()
    pixels, parts = pool.pixels(slice(None)), []
    for i, (left, top, right, bottom) in enumerate(edges):
        part = pixels[i // OBJECTS, None, :, top:bottom, left:right]
        parts.append(F.interpolate(part, (SIZE, SIZE), mode="bicubic"))
    return torch.cat(parts)


CLAIM = Claim(
    name="x8",
    title="Captions of regions teach what captions of whole images leave open",
    source="Zhong et al. 2022, arXiv:2112.09106",
    conditions=(IMAGES, REGIONS),
    measure=measure,
    metrics={
        "regions by RoI features": 1 / len(CLASSES),
        "regions by crops": 1 / len(CLASSES),
        "objects among the first 4 of an image": OBJECTS / len(CLASSES),
    },
    checks=(
        Check(
            "regions are named far better",
            lambda r: (
                r[REGIONS]["regions by RoI features"].mean > r[IMAGES]["regions by RoI features"].mean + 0.3
            ),
        ),
        Check(
            "so are the objects of whole images",
            lambda r: (
                r[REGIONS]["objects among the first 4 of an image"].mean
                > r[IMAGES]["objects among the first 4 of an image"].mean
            ),
        ),
        Check(
            "a model that learned regions names them better by their part of the features than by their crops",
            lambda r: r[REGIONS]["regions by RoI features"].mean > r[REGIONS]["regions by crops"].mean,
        ),
    ),
)

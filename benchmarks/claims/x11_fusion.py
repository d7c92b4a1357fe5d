"""Where text and image meet: in one stream, between two streams, or only in a dot product at the end."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visprog.models.bert import (
    BertConfig,
    BertEmbeddings,
    bert_blocks,
    init_bert,
    init_std,
)
from visprog.models.lxmert import Lxmert, LxmertConfig
from visprog.models.nn import choice_loss, info_nce
from visprog.models.regions import RegionModel, Regions
from visprog.models.vilbert import Vilbert, VilbertConfig, locations
from visprog.models.visualbert import VisualBert, VisualBertConfig

from .claim import Check, Claim
from .small_models import matrices, train
from .world import COLORS, PAD, SHAPES, Scene, Words, pairs_of_shapes, world_words

SIZE, STEPS, BATCH, SCENES, TESTED, RANKED = 48, 1000, 64, 8000, 1000, 1000

NOISE = 0.3
"""Standard deviation of what is added to a detector's features."""

REGION_DIM = len(COLORS) + len(SHAPES) + 5
WIDTH = 64
SHARED = {"dim": WIDTH, "heads": 2, "hidden": 4 * WIDTH, "dropout": 0.0}


class LateFusion(nn.Module):
    """CLIP over regions: a stream per modality, whose first tokens meet in a dot product."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.regions = nn.Linear(REGION_DIM, config.dim)
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.blocks, self.region_blocks = bert_blocks(config), bert_blocks(config)
        init_bert(self, init_std(config.dim))
        self.first = nn.Parameter(init_std(config.dim) * torch.randn(config.dim))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_images(self, regions: Regions) -> Tensor:
        """Unit features (n, dim)."""
        first = self.first.expand(len(regions.features), 1, -1)
        x = self.norm(torch.cat([first, self.regions(regions.features)], 1))
        return F.normalize(self.region_blocks(x)[0][:, 0], dim=-1)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Unit features (n, dim)."""
        found, _ = self.blocks(self.embeddings(tokens), mask=(tokens != PAD)[:, None, None])
        return F.normalize(found[:, 0], dim=-1)


Fusion = RegionModel | LateFusion


def make(condition: str, words: Words) -> Fusion:
    """A model of about 300 thousand parameters."""
    text = {"vocab": len(words), "length": words.length, **SHARED}
    if condition == CLIP:
        return LateFusion(BertConfig(**text, layers=3))
    text["region_dim"] = REGION_DIM
    if condition == VISUALBERT:
        return VisualBert(VisualBertConfig(**text, layers=6))
    if condition == VILBERT:
        regions = {"region_width": WIDTH, "region_heads": 2, "region_hidden": 4 * WIDTH}
        cross = {"cross_dim": WIDTH, "cross_heads": 2, "text_places": (1, 1), "region_places": (0, 1)}
        return Vilbert(VilbertConfig(**text, **regions, **cross, objects=1, layers=1, region_layers=1))
    heads = {"objects": 1, "attributes": 1, "answers": 1}
    return Lxmert(LxmertConfig(**text, **heads, layers=1, region_layers=1, cross_layers=2))


@cache
def scenes(count: int, seed: int) -> tuple[tuple[Scene, ...], Regions]:
    """Scenes of two shapes, and what a detector says of each shape, in any order: its colour, its form, and where it
    lies."""
    rng = np.random.default_rng((seed, 11))
    made = pairs_of_shapes(count, seed, size=SIZE).scenes
    features, boxes = np.zeros((count, 2, REGION_DIM), np.float32), np.zeros((count, 2, 4), np.float32)
    for i, scene in enumerate(made):
        for row, k in enumerate(rng.permutation(2)):
            shape = scene.shapes[k]
            features[i, row, list(COLORS).index(shape.color)] = 1
            features[i, row, len(COLORS) + SHAPES.index(shape.shape)] = 1
            boxes[i, row] = np.divide(shape.box, SIZE)
    classes = len(COLORS) + len(SHAPES)
    features[..., :classes] += rng.normal(0, NOISE, (count, 2, classes))
    features[..., classes:] = locations(torch.from_numpy(boxes)).numpy()
    real = torch.ones(count, 2, dtype=torch.bool)
    return made, Regions(torch.from_numpy(features), torch.from_numpy(boxes), real)


def false_captions(scene: Scene, rng: np.random.Generator) -> tuple[str, str, str]:
    """The opposite relation, the colours exchanged, and the same of a shape that is not there."""
    return scene.other_relation, scene.swapped_colors, scene.other_object(rng)


def scores(model: Fusion, tokens: Tensor, regions: Regions) -> Tensor:
    """How well each text fits its image, (n,)."""
    if isinstance(model, LateFusion):
        return (model.encode_images(regions) * model.encode_texts(tokens)).sum(-1)
    return model.match_log_odds(model(tokens, regions, tokens != PAD).match_logits)


def learn(model: Fusion, words: Words, seed: int) -> None:
    """Each model learns to choose between the caption of an image and a false one; late fusion, by contrast, among all
    of the batch."""
    rng = np.random.default_rng((seed, 12))
    made, regions = scenes(SCENES, seed)

    def loss(step: int) -> Tensor:
        rows = rng.integers(SCENES, size=BATCH)
        true = [made[i].caption for i in rows]
        tokens = words(true + [false_captions(made[i], rng)[int(rng.integers(3))] for i in rows])
        seen = regions.rows(rows)
        if isinstance(model, LateFusion):
            scale = model.logit_scale.exp().clamp(max=100)
            return info_nce(model.encode_images(seen), model.encode_texts(tokens), scale)
        fits = scores(model, tokens, seen.rows(torch.arange(BATCH).repeat(2)))
        return choice_loss(fits[:BATCH], fits[BATCH:])

    train(model.parameters(), loss, STEPS, lr=2e-3, muon=matrices(model))


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train, then compare true statements about unseen scenes with false ones, and rank images."""
    torch.manual_seed(seed)
    words = world_words()
    model = make(condition, words)
    learn(model, words, seed)
    model.eval()
    made, seen = scenes(TESTED, 1000 + seed)
    rng = np.random.default_rng((seed, 13))
    texts = [(scene.caption, *false_captions(scene, rng)) for scene in made]
    with torch.inference_mode():
        true, *false = (scores(model, words(list(column)), seen) for column in zip(*texts, strict=True))
        milliseconds = 1000 * query_seconds(model, words([made[0].caption]), seen)
    right = (float((true > other).float().mean()) for other in false)
    return {
        **dict(zip((RELATIONS_RIGHT, ATTRIBUTES_RIGHT, OBJECTS_RIGHT), right, strict=True)),
        COST: milliseconds,
        PARAMETERS: sum(p.numel() for p in model.parameters() if p.grad is not None) / 1000,
    }


def query_seconds(model: Fusion, tokens: Tensor, regions: Regions) -> float:
    """Time to rank `RANKED` images by a text, the best of three; what does not depend on the text is there already."""
    images = model.encode_images(regions) if isinstance(model, LateFusion) else None
    times = []
    for _ in range(3):
        began = time.perf_counter()
        if isinstance(model, LateFusion) and images is not None:
            (images @ model.encode_texts(tokens)[0]).topk(10)
        else:
            scores(model, tokens.expand(RANKED, -1), regions).topk(10)
        times.append(time.perf_counter() - began)
    return min(times)


VISUALBERT, VILBERT, LXMERT, CLIP = "early (VisualBERT)", "mid (ViLBERT)", "mid (LXMERT)", "late (CLIP)"
RELATIONS_RIGHT, ATTRIBUTES_RIGHT, OBJECTS_RIGHT = "relations", "attributes", "objects"
COST, PARAMETERS = f"ms to rank {RANKED} images", "thousand parameters"

CLAIM = Claim(
    name="x11",
    title="early and mid fusion tell relations better than late fusion, which ranks images faster",
    source="Li et al. 2019 (VisualBERT), Lu et al. 2019 (ViLBERT), Tan & Bansal 2019 (LXMERT)",
    conditions=(VISUALBERT, VILBERT, LXMERT, CLIP),
    measure=measure,
    metrics={RELATIONS_RIGHT: 0.5, ATTRIBUTES_RIGHT: 0.5, OBJECTS_RIGHT: 0.5, COST: None, PARAMETERS: None},
    checks=(
        Check(
            "the best fusion by attention tells relations better than late fusion by 10 points at least",
            lambda r: (
                max(r[c][RELATIONS_RIGHT].mean for c in (VISUALBERT, VILBERT, LXMERT))
                > r[CLIP][RELATIONS_RIGHT].mean + 0.1
            ),
        ),
        Check(
            "late fusion ranks images at least ten times faster",
            lambda r: min(r[c][COST].mean for c in (VISUALBERT, VILBERT, LXMERT)) > 10 * r[CLIP][COST].mean,
        ),
    ),
)

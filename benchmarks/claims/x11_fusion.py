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
    mask_tokens,
    masked_language_loss,
)
from visprog.models.lxmert import Lxmert, LxmertConfig
from visprog.models.nn import info_nce
from visprog.models.regions import RegionModel, Regions
from visprog.models.vilbert import Vilbert, VilbertConfig, locations
from visprog.models.visualbert import VisualBert, VisualBertConfig

from .claim import Check, Claim
from .small_models import matrices, train
from .world import COLORS, END, MASK, OPPOSITE, PAD, SHAPES, START, Scene, Shape, Words, world_words

SIZE, OBJECTS, RADIUS = 48, 4, 5.0
STEPS, BATCH, SCENES, TESTED, RANKED = 1500, 64, 6000, 1000, 1000
LEAST = 9.0
"""Number of pixels by which two centres differ for one to lie left of the other, or above it."""

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
    """Scenes of four shapes of different names, none of which touch, and what a detector says of each shape: its
    colour, its form, and where it lies."""
    rng = np.random.default_rng((seed, 11))
    names = [(color, shape) for color in COLORS for shape in SHAPES]
    made: list[Scene] = []
    features = torch.zeros(count, OBJECTS, REGION_DIM)
    while len(made) < count:
        centers = rng.uniform(RADIUS, SIZE - RADIUS, (OBJECTS, 2))
        apart = abs(centers[:, None] - centers[None]).max(-1) + SIZE * np.eye(OBJECTS)
        if apart.min() < 2 * RADIUS:
            continue
        chosen = rng.choice(len(names), OBJECTS, replace=False)
        shapes = [Shape(*names[n], x, y, RADIUS) for n, (x, y) in zip(chosen, centers, strict=True)]
        for row, n in zip(features[len(made)], chosen, strict=True):
            row[n // len(SHAPES)] = row[len(COLORS) + n % len(SHAPES)] = 1
        made.append(Scene(tuple(shapes)))
    seen = len(COLORS) + len(SHAPES)
    noise = rng.normal(0, NOISE, (count, OBJECTS, seen))
    features[..., :seen] += torch.from_numpy(noise).float()
    boxes = torch.tensor([[shape.box for shape in scene.shapes] for scene in made]).float() / SIZE
    features[..., seen:] = locations(boxes)
    return tuple(made), Regions(features, boxes, torch.ones(count, OBJECTS, dtype=torch.bool))


def statement(scene: Scene, rng: np.random.Generator) -> tuple[str, str, str]:
    """What is true of two of the shapes; the opposite relation; and the same of a shape that is not there."""
    while True:
        one, other = (scene.shapes[i] for i in rng.choice(OBJECTS, 2, replace=False))
        relation, far = [("left of", other.x - one.x), ("above", other.y - one.y)][int(rng.integers(2))]
        if abs(far) >= LEAST:
            break
    held = relation if far > 0 else OPPOSITE[relation]
    shown = {shape.name for shape in scene.shapes}
    absent = [f"{color} {shape}" for color in COLORS for shape in SHAPES if f"{color} {shape}" not in shown]
    names = [one.name, other.name]
    names[int(rng.integers(2))] = str(rng.choice(absent))
    return (
        f"a {one.name} {held} a {other.name}",
        f"a {one.name} {OPPOSITE[held]} a {other.name}",
        f"a {names[0]} {held} a {names[1]}",
    )


def scores(model: Fusion, tokens: Tensor, regions: Regions) -> Tensor:
    """How well each text fits its image, (n,)."""
    if isinstance(model, LateFusion):
        return (model.encode_images(regions) * model.encode_texts(tokens)).sum(-1)
    return model.match_probability(model(tokens, regions, tokens != PAD).match_logits)


def learn(model: Fusion, words: Words, seed: int) -> None:
    """Train as published, each model with the same false texts: one stream or two by masked words and by matching, half
    of the texts false; late fusion by contrast with the texts of the batch and with a false one per image."""
    rng = np.random.default_rng((seed, 12))
    made, regions = scenes(SCENES, seed)
    special = torch.tensor([PAD, START, END, MASK])

    def loss(step: int) -> Tensor:
        rows = rng.integers(SCENES, size=BATCH)
        said = [statement(made[i], rng) for i in rows]
        false = [texts[int(rng.integers(1, 3))] for texts in said]
        seen = regions.rows(rows)
        if isinstance(model, LateFusion):
            texts = model.encode_texts(words([texts[0] for texts in said] + false))
            return info_nce(model.encode_images(seen), texts, model.logit_scale.exp())
        true = torch.from_numpy(rng.random(BATCH) < 0.5)
        tokens = words([a[0] if is_true else b for a, b, is_true in zip(said, false, true, strict=True)])
        masked, labels = mask_tokens(tokens, special, MASK, len(words))
        labels = labels.masked_fill(~true[:, None], -100)  # false texts teach no words
        output = model(masked, seen, tokens != PAD)
        matching = F.cross_entropy(output.match_logits, model.match_labels(true))
        return matching + masked_language_loss(output.word_logits, labels)

    train(model.parameters(), loss, STEPS, lr=2e-3, muon=matrices(model))


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train, then compare true statements about unseen scenes with false ones, and rank images."""
    torch.manual_seed(seed)
    words = world_words()
    model = make(condition, words)
    learn(model, words, seed)
    model.eval()
    made, seen = scenes(TESTED, 1000 + seed)
    said = [statement(scene, np.random.default_rng((seed, i))) for i, scene in enumerate(made)]
    with torch.inference_mode():
        true, opposite, absent = (scores(model, words([texts[k] for texts in said]), seen) for k in range(3))
        milliseconds = 1000 * query_seconds(model, words([said[0][0]]), seen)
    return {
        RELATIONS_RIGHT: float((true > opposite).float().mean()),
        OBJECTS_RIGHT: float((true > absent).float().mean()),
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
RELATIONS_RIGHT, OBJECTS_RIGHT = "relations (2 choices)", "objects (2 choices)"
COST, PARAMETERS = f"ms to rank {RANKED} images", "thousand parameters"

CLAIM = Claim(
    name="x11",
    title="early and mid fusion tell relations better than late fusion, which ranks images faster",
    source="Li et al. 2019 (VisualBERT), Lu et al. 2019 (ViLBERT), Tan & Bansal 2019 (LXMERT)",
    conditions=(VISUALBERT, VILBERT, LXMERT, CLIP),
    measure=measure,
    metrics={RELATIONS_RIGHT: 0.5, OBJECTS_RIGHT: 0.5, COST: None, PARAMETERS: None},
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

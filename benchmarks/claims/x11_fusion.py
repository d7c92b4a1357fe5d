"""Where text and image meet: in one stream, between two streams, or only in a dot product at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from visprog.models.bert import BertConfig, BertEmbeddings, bert_blocks, init_bert
from visprog.models.lxmert import Lxmert, LxmertConfig
from visprog.models.nn import roi_align
from visprog.models.regions import RegionModel, Regions
from visprog.models.vilbert import Vilbert, VilbertConfig, locations
from visprog.models.visualbert import VisualBert, VisualBertConfig

from .claim import Check, Claim
from .small_models import train
from .world import COLORS, OPPOSITE, PAD, SHAPES, Scene, Shape, Words, draw, world_words

SIZE, OBJECTS, RADIUS = 48, 4, 5.0
STEPS, BATCH, IMAGES, TESTED, RANKED = 2000, 64, 6000, 1000, 1000
LEAST = 9.0
"""Number of pixels by which two centres differ for one to lie left of the other, or above it."""

GRID = 6
"""Rows and columns of the pixels that are a region's feature."""

REGION_DIM = 3 * GRID**2 + 5

SHAPE = {"dim": 64, "heads": 2, "hidden": 256, "dropout": 0.0, "region_dim": REGION_DIM}


class LateFusion(nn.Module):
    """CLIP over regions: a stream per modality, whose first tokens meet in a dot product."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = BertEmbeddings(config)
        self.regions = nn.Linear(REGION_DIM, config.dim)
        self.first = nn.Parameter(0.02 * torch.randn(config.dim))
        self.norm = nn.LayerNorm(config.dim, config.eps)
        self.blocks, self.region_blocks = bert_blocks(config), bert_blocks(config)
        init_bert(self)
        self.logit_scale, self.logit_bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.zeros(()))

    def encode_images(self, regions: Regions) -> Tensor:
        """Unit features (n, dim)."""
        x = torch.cat([self.first.expand(len(regions.features), 1, -1), self.regions(regions.features)], 1)
        return F.normalize(self.region_blocks(self.norm(x))[0][:, 0], dim=-1)

    def encode_texts(self, tokens: Tensor) -> Tensor:
        """Unit features (n, dim)."""
        found, _ = self.blocks(self.embeddings(tokens), mask=(tokens != PAD)[:, None, None])
        return F.normalize(found[:, 0], dim=-1)

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Logits (n,) of belonging together."""
        return (images * texts).sum(-1) * self.logit_scale.exp() + self.logit_bias


def make(condition: str, words: Words) -> RegionModel | LateFusion:
    """A model of about 330 thousand parameters."""
    text = {"vocab": len(words), "length": words.length, **SHAPE}
    if condition == VISUALBERT:
        return VisualBert(VisualBertConfig(**text, layers=6))
    if condition == VILBERT:
        width = {
            "region_width": 64,
            "region_heads": 2,
            "region_hidden": 256,
            "cross_dim": 64,
            "cross_heads": 2,
        }
        places = {"text_places": (1, 2), "region_places": (0, 1)}
        return Vilbert(VilbertConfig(**text, **width, **places, objects=1, layers=2, region_layers=1))
    if condition == LXMERT:
        heads = {"objects": 1, "attributes": 1, "answers": 1}
        return Lxmert(LxmertConfig(**text, **heads, layers=1, region_layers=1, cross_layers=2))
    shape = {name: value for name, value in text.items() if name != "region_dim"}
    return LateFusion(BertConfig(**shape, layers=3))


def four_shapes(count: int, seed: int) -> list[Scene]:
    """Scenes of four shapes of different names, none of which touch."""
    rng = np.random.default_rng((seed, 11))
    names = [(color, shape) for color in COLORS for shape in SHAPES]
    scenes = []
    while len(scenes) < count:
        centers = rng.uniform(RADIUS + 1, SIZE - RADIUS - 1, (OBJECTS, 2))
        apart = abs(centers[:, None] - centers[None]).max(-1) + 100 * np.eye(OBJECTS)
        if apart.min() < 2 * RADIUS + 1:
            continue
        chosen = rng.choice(len(names), OBJECTS, replace=False)
        scenes.append(
            Scene(tuple(Shape(*names[n], x, y, RADIUS) for n, (x, y) in zip(chosen, centers, strict=True)))
        )
    return scenes


def question(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """What is true of two of the shapes, and its opposite."""
    while True:
        one, other = (scene.shapes[i] for i in rng.choice(OBJECTS, 2, replace=False))
        beside = [("left of", other.x - one.x), ("above", other.y - one.y)]
        relation, far = beside[int(rng.integers(2))]
        if abs(far) >= LEAST:
            held = relation if far > 0 else OPPOSITE[relation]
            return tuple(f"a {one.name} {how} a {other.name}" for how in (held, OPPOSITE[held]))  # type: ignore[return-value]


@cache
def pool(count: int, seed: int) -> tuple[tuple[Scene, ...], Regions]:
    """Scenes and their regions: the pixels of every shape, and its place."""
    scenes = four_shapes(count, seed)
    drawn = draw(scenes, seed, size=SIZE)
    boxes = torch.tensor([shape.box for scene in scenes for shape in scene.shapes], dtype=torch.float32)
    image = torch.arange(count).repeat_interleave(OBJECTS)
    parts = [
        roi_align(drawn.pixels(slice(i, i + 500)), boxes[some], image[some] - i, (GRID, GRID))
        for i in range(0, count, 500)
        for some in (slice(i * OBJECTS, (i + 500) * OBJECTS),)
    ]
    shares = (boxes / SIZE).view(count, OBJECTS, 4)
    seen = torch.cat(parts).flatten(1).view(count, OBJECTS, -1)
    features = torch.cat([seen, locations(shares)], -1)
    return tuple(scenes), Regions(features, shares, torch.ones(count, OBJECTS, dtype=torch.bool))


def logits(model: RegionModel | LateFusion, tokens: Tensor, regions: Regions) -> Tensor:
    """Logits (n,) that each text is true of its image."""
    if isinstance(model, LateFusion):
        return model.score(model.encode_images(regions), model.encode_texts(tokens))
    found = model(tokens, regions, tokens != PAD).match_logits
    return found[:, model.matched_class] - found[:, 1 - model.matched_class]


def measure(condition: str, seed: int) -> Mapping[str, float]:
    """Train on questions that are true half of the time; then ask others, and rank images."""
    torch.manual_seed(seed)
    words, rng = world_words(), np.random.default_rng((seed, 12))
    model = make(condition, words)
    scenes, regions = pool(IMAGES, seed)

    def loss(step: int) -> Tensor:
        rows = rng.integers(IMAGES, size=BATCH)
        pairs = [question(scenes[i], rng) for i in rows]
        true = torch.from_numpy(rng.random(BATCH) < 0.5)
        tokens = words([pair[0] if is_true else pair[1] for pair, is_true in zip(pairs, true, strict=True)])
        return F.binary_cross_entropy_with_logits(logits(model, tokens, regions.rows(rows)), true.float())

    train(model.parameters(), loss, STEPS)
    model.eval()
    tested, seen = pool(TESTED, 1000 + seed)
    both = [question(scene, np.random.default_rng((seed, i))) for i, scene in enumerate(tested)]
    with torch.inference_mode():
        right = (logits(model, words([pair[0] for pair in both]), seen) > 0).float().mean()
        wrong = (logits(model, words([pair[1] for pair in both]), seen) <= 0).float().mean()
        milliseconds = 1000 * query_seconds(model, words([both[0][0]]), seen)
    return {
        ACCURACY: float(right + wrong) / 2,
        COST: milliseconds,
        PARAMETERS: sum(p.numel() for p in trained(model)) / 1000,
    }


def trained(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that the score depends on."""
    return [p for p in model.parameters() if p.grad is not None]


def query_seconds(model: RegionModel | LateFusion, tokens: Tensor, regions: Regions) -> float:
    """Time to rank `RANKED` images by a text, the best of three; what does not depend on the text is there already."""
    images = model.encode_images(regions) if isinstance(model, LateFusion) else None
    times = []
    for _ in range(3):
        began = time.perf_counter()
        if isinstance(model, LateFusion) and images is not None:
            model.score(images, model.encode_texts(tokens)).topk(10)
        else:
            logits(model, tokens.expand(RANKED, -1), regions).topk(10)
        times.append(time.perf_counter() - began)
    return min(times)


VISUALBERT, VILBERT, LXMERT, CLIP = "early (VisualBERT)", "mid (ViLBERT)", "mid (LXMERT)", "late (CLIP)"
ACCURACY, COST, PARAMETERS = "relation questions", f"ms to rank {RANKED} images", "thousand parameters"

CLAIM = Claim(
    name="x11",
    title="early and mid fusion tell relations better than late fusion, which ranks images faster",
    source="Li et al. 2019 (VisualBERT), Lu et al. 2019 (ViLBERT), Tan & Bansal 2019 (LXMERT)",
    conditions=(VISUALBERT, VILBERT, LXMERT, CLIP),
    measure=measure,
    metrics={ACCURACY: 0.5, COST: None, PARAMETERS: None},
    checks=(
        Check(
            "every fusion by attention answers far more questions on relations (10 points at least) than late fusion",
            lambda r: (
                min(r[c][ACCURACY].mean for c in (VISUALBERT, VILBERT, LXMERT)) > r[CLIP][ACCURACY].mean + 0.1
            ),
        ),
        Check(
            "late fusion ranks images at least ten times faster",
            lambda r: min(r[c][COST].mean for c in (VISUALBERT, VILBERT, LXMERT)) > 10 * r[CLIP][COST].mean,
        ),
    ),
)

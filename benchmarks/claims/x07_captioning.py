"""X7: the captioning loss of CoCa beside the contrast, at equal steps; likelihoods against similarities."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from visprog.models.coca import Coca, CocaConfig, CocaImageEncoderConfig, coca_loss
from visprog.models.nn import info_nce

from .claim import Check, Claim, Results
from .small_models import matrices, prefers, recall_at_1, small_clip, train
from .world import END, PAD, START, Pool, Words, pairs_of_shapes, share_right, world_words

SIZE, PATCH, DIM, BATCH, STEPS = 32, 8, 64, 64, 1800
TRAINING, TESTS = 8000, 256
WEIGHTS = {"CoCa, caption weight 0": 0.0, "CoCa, caption weight 1": 1.0, "CoCa, caption weight 2": 2.0}


@cache
def words() -> Words:
    return world_words()


@cache
def pools(seed: int) -> tuple[Pool, Pool]:
    return pairs_of_shapes(TRAINING, seed, size=SIZE), pairs_of_shapes(TESTS, 1000 + seed, size=SIZE)


def small_coca(seed: int) -> Coca:
    """As large as the CLIP: 3 layers for images, and 3 for texts, 2 of which see the image."""
    torch.manual_seed(seed)
    encoder = CocaImageEncoderConfig(SIZE, PATCH, DIM, 3, 2, 4 * DIM)
    return Coca(CocaConfig(encoder, len(words()), words().length, DIM, 1, 2, 2, 4 * DIM, 16, 2, DIM, pad=PAD))


def measure(condition: str, seed: int) -> dict[str, float]:
    """Train on pairs, then retrieve, compare and write captions of unseen images."""
    pool, tests = pools(seed)
    rng = np.random.default_rng((seed, 5))
    model: Any = (
        small_clip(words(), seed, size=SIZE, patch=PATCH) if condition == "CLIP" else small_coca(seed)
    )

    def loss(step: int) -> Tensor:
        rows = rng.integers(len(pool), size=BATCH)
        images, tokens = pool.pixels(rows), words()([pool.scenes[i].caption for i in rows])
        scale = model.logit_scale.exp().clamp(max=100)
        same = (tokens[:, None] == tokens).all(-1)
        if condition == "CLIP":
            return info_nce(model.encode_images(images), model.encode_texts(tokens), scale, same)
        losses = coca_loss(
            model(images, tokens), tokens, scale, PAD, caption=WEIGHTS[condition], positives=same
        )
        return losses["loss"]

    train(model.parameters(), loss, STEPS, lr=2e-3, muon=matrices(model))
    model.eval()
    with torch.no_grad():
        return tasks(model, condition, tests)


def tasks(model: Any, condition: str, tests: Pool) -> dict[str, float]:
    """Retrieval, relations by similarity and, of a model that learned captions, by likelihood, and whole captions."""
    images, captions = tests.pixels(slice(None)), [scene.caption for scene in tests.scenes]
    tokens, false = words()(captions), words()([scene.other_relation for scene in tests.scenes])
    if condition == "CLIP":
        seen = model.encode_images(images)
        right, wrong = model.encode_texts(tokens), model.encode_texts(false)
    else:
        seen = model.encode_images(images)[2]
        right, wrong = model.encode_texts(tokens)[1], model.encode_texts(false)[1]
    found = {
        "recall at 1": recall_at_1(seen, right, captions),
        "relations by similarity": prefers(seen, right, wrong),
    }
    if WEIGHTS.get(condition):
        true, other = (log_likelihood(model, images, ids) for ids in (tokens, false))
        found["relations by likelihood"] = float((true > other).float().mean())
        written = model.generate(images, torch.tensor([START, words().ids["a"]]), stop=[END])
        said = [f"a {words().decode(ids)}" for ids in written]
        found["captions right"] = share_right(tests.scenes, said)
    return found


def log_likelihood(model: Coca, images: Tensor, tokens: Tensor) -> Tensor:
    """Of each caption given its image, (n,)."""
    logits = model(images, tokens).logits[:, :-1].transpose(1, 2)
    return -F.cross_entropy(logits, tokens[:, 1:], reduction="none", ignore_index=PAD).sum(1)


def _best(results: Results, metric: str) -> float:
    return max(results[c][metric].mean for c in ("CoCa, caption weight 1", "CoCa, caption weight 2"))


CLAIM = Claim(
    name="x7",
    title="Learning to write captions beside the contrast loses no retrieval, and its likelihoods know relations",
    source="Yu et al. 2022, arXiv:2205.01917",
    conditions=("CLIP", *WEIGHTS),
    measure=measure,
    metrics={
        "recall at 1": 1 / TESTS,
        "relations by similarity": 0.5,
        "relations by likelihood": 0.5,
        "captions right": None,
    },
    checks=(
        Check(
            "with the captioning loss, retrieval is at least that of the contrast alone",
            lambda r: _best(r, "recall at 1") >= r["CoCa, caption weight 0"]["recall at 1"].mean,
        ),
        Check(
            "retrieval is at least CLIP's at equal steps",
            lambda r: _best(r, "recall at 1") >= r["CLIP"]["recall at 1"].mean,
        ),
        Check(
            "likelihoods of captions tell relations that CLIP's similarities do not",
            lambda r: _best(r, "relations by likelihood") > r["CLIP"]["relations by similarity"].mean + 0.2,
        ),
    ),
)

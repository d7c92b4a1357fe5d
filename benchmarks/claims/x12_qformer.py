"""BLIP-2: a Q-Former learns from a frozen image encoder by three tasks with three masks, and then serves a frozen
language model (Li et al. 2023)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from visprog.models.blip2.generator import Blip2Generator
from visprog.models.blip2.model import Blip2, Blip2Config, caption_loss, contrast_loss
from visprog.models.blip2.qformer import QFormerConfig, matching_mask
from visprog.models.clip.model import ImageEncoderConfig
from visprog.models.llama import Llama, next_token_loss
from visprog.models.nn import hard_negatives

from .claim import Check, Claim
from .small_models import fact_reader, matrices, small_clip, train
from .world import END, FACTS, PAD, START, Pool, Words, pairs_of_shapes, share_right, world_words

TRAINED, TESTED, QUERIES = 8000, 256, 8
CLIP_STEPS, STEPS_1, STEPS_2 = 600, 800, 600
BATCH = 32

DEC, IMAGE = "[DEC]", "<image>"
"""What stands for the start of a caption to write, and for a soft token."""

MASKS = "stage 1"
NO_CONTRAST, NO_MATCHING, NO_CAPTIONS = "no mask of contrast", "no mask of matching", "no mask of captions"
AFTER, ALONE = "stage 2 after stage 1", "stage 2 alone"


class World(NamedTuple):
    """Images with the tokens that a frozen encoder gives of them, and their captions."""

    encoder: ImageEncoderConfig
    train_tokens: Tensor
    test_tokens: Tensor
    train_ids: Tensor
    test_ids: Tensor
    train: Pool
    test: Pool
    words: Words


@cache
def world(seed: int) -> World:
    """A CLIP of its own, trained and then frozen, and what it sees."""
    words = world_words((DEC, IMAGE, *FACTS))
    pools = pairs_of_shapes(TRAINED, seed), pairs_of_shapes(TESTED, seed + 1000)
    ids = [words([scene.caption for scene in pool.scenes]) for pool in pools]
    clip = small_clip(words, seed)
    draws = torch.Generator().manual_seed(seed)
    same = torch.arange(BATCH * 2)

    def loss(step: int) -> Tensor:
        rows = torch.randint(TRAINED, (BATCH * 2,), generator=draws)
        logits = clip(pools[0].pixels(rows.numpy()), ids[0][rows]).logits
        return (F.cross_entropy(logits, same) + F.cross_entropy(logits.T, same)) / 2

    train(clip.parameters(), loss, CLIP_STEPS, lr=2e-3, muon=matrices(clip))
    with torch.no_grad():
        parts = [[p.pixels(slice(i, i + 250)) for i in range(0, len(p), 250)] for p in pools]
        # of the layer before the last, as published
        seen = [torch.cat([clip.image_encoder(part, True).hidden[-2] for part in pool]) for pool in parts]
    shape = clip.image_encoder.config
    encoder = replace(shape, layers=shape.layers - 1, project=None)
    return World(encoder, *seen, *ids, *pools, words)


def new_model(seed: int) -> Blip2:
    """A BLIP-2 of stage 1 on the frozen encoder."""
    w = world(seed)
    torch.manual_seed(seed)
    shape = QFormerConfig(QUERIES, dim=64, layers=3, heads=2, hidden=256, dropout=0.0)
    model = Blip2(
        Blip2Config(w.encoder, shape, len(w.words), w.words.length, PAD, w.words.ids[DEC], project=64)
    )
    return model  # of the image encoder only the last norm is used: what comes before it is in the world


class Tasks(NamedTuple):
    """What the three tasks compute of n pairs.

    Attributes:
        similarity: (n, n), of images to texts.
        logits: (n, length, vocab), of the token of a caption after each.
    """

    similarity: Tensor
    logits: Tensor


def embedded(model: Blip2, ids: Tensor) -> Tensor:
    """What a text enters the Q-Former as, (n, length, dim)."""
    return model.words(ids) + model.positions.weight[: ids.shape[1]]


def tasks(model: Blip2, seen: Tensor, ids: Tensor, condition: str) -> Tasks:
    """Contrast and captions, with the masks of a condition.

    Args:
        seen: tokens of the images (n, tokens, dim), before the last norm.
        ids: (n, length).
    """
    context = model.image_encoder.norm(seen)
    mask = matching_mask(ids != PAD, QUERIES)  # everything sees everything
    if condition == NO_CONTRAST:
        both = model.qformer(embedded(model, ids), context, mask=mask).tokens
        images = F.normalize(model.image_projection(both[:, :QUERIES]), dim=-1)
        texts = F.normalize(model.text_projection(both[:, QUERIES]), dim=-1)
    queries = model.qformer(context=context)
    if condition != NO_CONTRAST:
        images, texts = (
            F.normalize(model.image_projection(queries.tokens), dim=-1),
            model.encode_texts(ids)[1],
        )
    if condition == NO_CAPTIONS:
        written = torch.cat([torch.full_like(ids[:, :1], model.config.caption_start or 0), ids[:, 1:]], 1)
        both = model.qformer(embedded(model, written), context, mask=mask).tokens
        logits = model.caption_head(both[:, QUERIES:], model.words.weight)
    else:
        logits = model.caption_logits(ids, queries.past)
    return Tasks(model.similarity(images, texts), logits)


def matching_logits(model: Blip2, seen: Tensor, ids: Tensor, condition: str) -> Tensor:
    """Logits (n, 2) of matching; without their mask, the queries see no text."""
    context = model.image_encoder.norm(seen)
    if condition == NO_MATCHING:
        return model.matching_head(model.qformer(context=context).tokens).mean(1)
    return model.pair_logits(context, ids)


@cache
def stage_1(condition: str, seed: int) -> Blip2:
    """A model trained by the three tasks, with the masks of a condition."""
    w, model = world(seed), new_model(seed)
    draws = torch.Generator().manual_seed(seed)
    own = torch.arange(BATCH)

    def loss(step: int) -> Tensor:
        rows = torch.randint(TRAINED, (BATCH,), generator=draws)
        seen, ids = w.train_tokens[rows], w.train_ids[rows]
        right = (ids[:, None] == ids).all(-1)
        out = tasks(model, seen, ids, condition)
        logits = out.similarity / model.temperature
        contrast = (contrast_loss(logits, right) + contrast_loss(logits.T, right)) / 2
        of_text, false_image = hard_negatives(logits.T, right)
        of_image, false_text = hard_negatives(logits, right)
        i, t = torch.cat([own, false_image, of_image]), torch.cat([own, of_text, false_text])
        matches = (torch.arange(len(t)) < BATCH).long()
        matching = F.cross_entropy(matching_logits(model, seen[i], ids[t], condition), matches)
        return contrast + matching + caption_loss(out.logits, ids, PAD)

    train(model.parameters(), loss, STEPS_1, lr=2e-3, muon=matrices(model))
    return model.eval()


@cache
def language_model(seed: int) -> Llama:
    """A language model that writes the caption of facts."""
    w = world(seed)
    return fact_reader(w.words, w.train.scenes, lambda scene: scene.caption, QUERIES, seed)


def learned(ids: Tensor) -> Tensor:
    """Which tokens are those of the caption: after facts or soft tokens, and the start."""
    return (ids != PAD) & (torch.arange(ids.shape[1]) > QUERIES)


@torch.no_grad()
def measure_stage_1(model: Blip2, condition: str, w: World) -> dict[str, float]:
    """Scores of stage 1 on images that training did not show."""
    seen, ids = w.test_tokens, w.test_ids
    out = tasks(model, seen, ids, condition)
    model_alone = tasks(model, seen, ids, MASKS)  # at work, no text is given with an image
    captions = [scene.caption for scene in w.test.scenes]
    nearest = model_alone.similarity.argmax(1).tolist()
    false = w.words([scene.swapped_colors for scene in w.test.scenes])
    margins = [matching_logits(model, seen, x, condition) @ torch.tensor([-1.0, 1.0]) for x in (ids, false)]
    written = written_captions(model, seen, w)
    return {
        "contrast loss": float(contrast_loss(out.similarity / model.temperature, torch.eye(TESTED) > 0, 0.0)),
        "recall at 1": sum(a == captions[b] for a, b in zip(captions, nearest, strict=True)) / TESTED,
        "matching": float(((margins[0] > margins[1]) + 0.5 * (margins[0] == margins[1])).float().mean()),
        "caption loss": float(caption_loss(out.logits, ids, PAD, label_smoothing=0.0)),
        "captions right": share_right(w.test.scenes, written),
    }


def written_captions(model: Blip2, seen: Tensor, w: World) -> list[str]:
    """Captions that the Q-Former writes, the likeliest word each time."""
    past = model.qformer(context=model.image_encoder.norm(seen)).past
    ids = torch.full((len(seen), 1), START)
    while ids.shape[1] < w.words.length:
        ids = torch.cat([ids, model.caption_logits(ids, past)[:, -1:].argmax(-1)], 1)
    return [w.words.decode(row[1:]) for row in ids.tolist()]


def measure_stage_2(condition: str, seed: int) -> dict[str, float]:
    """Scores of stage 2: Q-Former and projector learn to say what a frozen language model understands."""
    w = world(seed)
    language = language_model(seed)
    image = w.words.ids[IMAGE]
    start = stage_1(MASKS, seed) if condition == AFTER else new_model(seed)
    torch.manual_seed(seed)
    model = Blip2Generator.from_stage_1(start, language.config, image)
    model.language_model = language
    draws = torch.Generator().manual_seed(seed)
    soft = torch.full((BATCH, QUERIES), image)

    def loss(step: int) -> Tensor:
        rows = torch.randint(TRAINED, (BATCH,), generator=draws)
        ids = torch.cat([soft, w.train_ids[rows]], 1)
        features = model.image_encoder.norm(w.train_tokens[rows])
        return next_token_loss(model(ids, image_features=features).logits, ids, learned(ids))

    train(model.parameters(), loss, STEPS_2, lr=2e-3, muon=matrices(model))
    with torch.no_grad():
        features = model.image_encoder.norm(w.test_tokens)
        ids = torch.cat([torch.full((TESTED, QUERIES), image), w.test_ids], 1)
        test_loss = next_token_loss(model(ids, image_features=features).logits, ids, learned(ids))
    prompts = ids[:, : QUERIES + 1]
    written = model.generate(prompts, max_new=w.words.length, image_features=features, stop=[END])
    said = [w.words.decode(ids) for ids in written.tolist()]
    return {"caption loss": float(test_loss), "captions right": share_right(w.test.scenes, said)}


def measure(condition: str, seed: int) -> dict[str, float]:
    """One condition."""
    if condition in (AFTER, ALONE):
        return measure_stage_2(condition, seed)
    return measure_stage_1(stage_1(condition, seed), condition, world(seed))


CLAIM = Claim(
    "x12",
    "A Q-Former learns from a frozen encoder by three tasks, each with its mask, and then serves a frozen language "
    "model",
    "Li et al. 2023, BLIP-2, arXiv:2301.12597",
    (MASKS, NO_CONTRAST, NO_MATCHING, NO_CAPTIONS, AFTER, ALONE),
    measure,
    {
        "contrast loss": 5.55,
        "recall at 1": 1 / TESTED,
        "matching": 0.5,
        "caption loss": 0.963,
        "captions right": 0.0,
    },
    (
        Check(
            "without the mask of captions, their loss falls to what label smoothing leaves, and no caption is right",
            lambda r: (
                r[NO_CAPTIONS]["caption loss"].mean < 0.12 and r[NO_CAPTIONS]["captions right"].mean < 0.05
            ),
        ),
        Check(
            "without the mask of the contrast, its loss is lower, and retrieval is no better than chance",
            lambda r: (
                r[NO_CONTRAST]["contrast loss"].mean < r[MASKS]["contrast loss"].mean
                and r[NO_CONTRAST]["recall at 1"].mean < 3 / TESTED
            ),
        ),
        Check(
            "queries that do not see the text cannot match it",
            lambda r: abs(r[NO_MATCHING]["matching"].mean - 0.5) < 0.02 and r[MASKS]["matching"].mean > 0.6,
        ),
        Check(
            "a Q-Former of stage 1 serves a frozen language model better than a new one",
            lambda r: (
                r[AFTER]["captions right"].mean > r[ALONE]["captions right"].mean
                and r[AFTER]["caption loss"].mean < r[ALONE]["caption loss"].mean
            ),
        ),
    ),
)

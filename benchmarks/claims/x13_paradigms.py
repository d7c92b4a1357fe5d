"""X13: contrastive, masked, generative and pretrained-backbone training at equal compute, on the same images and texts.

Every learner sees captions, questions about colours, and questions whether something is there, and gives a score to an
image with a text; all tasks are choices between texts by that score. Equal compute means equal floating-point
operations of forward and backward passes, counted by `torch.utils.flop_counter`. The pretraining of the backbone, a
language model that has read texts alone, is not counted: that is what it means that it is at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from visprog.models.bert import (
    BertConfig,
    BertEmbeddings,
    MaskedLanguageHead,
    bert_blocks,
    init_bert,
    init_std,
    mask_tokens,
    masked_language_loss,
)
from visprog.models.clip.model import Clip, ImageEncoder, ImageEncoderConfig
from visprog.models.coca import Coca, CocaConfig, CocaImageEncoderConfig
from visprog.models.llava.model import Llava, LlavaConfig
from visprog.models.nn import info_nce

from .claim import Check, Claim, Results
from .small_models import fact_reader, matrices, small_clip, train
from .world import (
    COLORS,
    END,
    FACTS,
    MASK,
    PAD,
    SHAPES,
    START,
    Pool,
    Scene,
    Words,
    pairs_of_shapes,
    share_right,
    world_words,
)

SIZE, PATCH, DIM, BATCH = 32, 8, 64, 64
ENCODER = ImageEncoderConfig(SIZE, PATCH, DIM, 3, 2, 4 * DIM, "gelu", project=None)
BUDGET = 3e12
"""Floating-point operations of a training: forward and backward: about 1,700 steps of the contrastive learner."""
TRAINING, TESTS, CHOICES = 8000, 256, 8


@cache
def words() -> Words:
    return world_words(
        ["what", "color", "is", "the", "there", "?", "yes", "no", "<image>", *FACTS], length=14
    )


@cache
def pools(seed: int) -> tuple[Pool, Pool]:
    return pairs_of_shapes(TRAINING, seed, size=SIZE), pairs_of_shapes(TESTS, 1000 + seed, size=SIZE)


def color_question(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """A question about the colour of one of the shapes, and its answer."""
    shape = scene.shapes[int(rng.integers(2))]
    return f"what color is the {shape.shape} ?", shape.color


def absent(scene: Scene, rng: np.random.Generator) -> str:
    """The name of a shape that the scene lacks; its shape or its colour may occur."""
    names = {shape.name for shape in scene.shapes}
    while (name := f"{rng.choice(list(COLORS))} {rng.choice(SHAPES)}") in names:
        pass
    return name


def text_of(scene: Scene, rng: np.random.Generator, captions: float = 0.8) -> str:
    """A share of captions; else a question about a colour with its answer, or whether something is there."""
    if rng.random() < captions:
        return scene.caption
    if rng.random() < 0.5:
        return " ".join(color_question(scene, rng))
    there = rng.random() < 0.5
    name = scene.shapes[int(rng.integers(2))].name if there else absent(scene, rng)
    return f"is there a {name} ? {'yes' if there else 'no'}"


class Learner(Protocol):
    """A paradigm.

    Attributes:
        module: what is trained.
    """

    module: nn.Module

    def loss(self, images: Tensor, tokens: Tensor, seed: int) -> Tensor:
        """Of a batch of images and their texts."""

    def score(self, images: Tensor, tokens: Tensor) -> Tensor:
        """(n,): how well text i fits image i."""


class Contrastive:
    """CLIP. Contrast within groups of `group` pairs: the smaller, the fewer negatives."""

    def __init__(self, seed: int, group: int = BATCH) -> None:
        self.module, self.group = small_clip(words(), seed, size=SIZE, patch=PATCH, dim=DIM), group

    def loss(self, images: Tensor, tokens: Tensor, seed: int) -> Tensor:
        image, text = self.module.encode_images(images), self.module.encode_texts(tokens)
        scale = self.module.logit_scale.exp().clamp(max=100)
        parts = zip(image.split(self.group), text.split(self.group), tokens.split(self.group), strict=True)
        losses = [info_nce(i, t, scale, (ids[:, None] == ids).all(-1)) for i, t, ids in parts]
        return torch.stack(losses).mean()

    def score(self, images: Tensor, tokens: Tensor) -> Tensor:
        return (self.module.encode_images(images) * self.module.encode_texts(tokens)).sum(1)


class MaskedNetwork(nn.Module):
    """Image and text encoder, fused by cross-attention; restores masked words and the pixels of masked patches."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        config = BertConfig(len(words()), words().length, 1, DIM, 3, 2, 4 * DIM, dropout=0.0)
        self.image_encoder = ImageEncoder(ENCODER)
        self.embeddings, self.blocks = BertEmbeddings(config), bert_blocks(config, cross=True)
        self.head, self.pixels = MaskedLanguageHead(config), nn.Linear(DIM, 3 * PATCH**2)
        for part in (self.embeddings, self.blocks, self.head):
            init_bert(part, init_std(DIM))
        for block in self.blocks:
            block.post_norm = False  # learns much sooner

    def forward(self, images: Tensor, tokens: Tensor, hidden: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of words (n, length, vocab) and pixels of patches (n, patches, 3 * patch²); `hidden` patches, bool
        (n, patches), are grey."""
        if hidden is not None:
            grey = hidden.view(-1, 1, SIZE // PATCH, SIZE // PATCH)
            images = images.masked_fill(grey.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3), 0)
        seen = self.image_encoder(images).tokens[:, 1:]
        read, _ = self.blocks(self.embeddings(tokens), mask=(tokens != PAD)[:, None, None], context=seen)
        return self.head(read, self.embeddings.words.weight), self.pixels(seen)


class Masked:
    """Masked words and masked patches in one pass, as FLAVA's multimodal masking (Singh et al. 2022)."""

    def __init__(self, seed: int) -> None:
        self.module = MaskedNetwork(seed)

    def loss(self, images: Tensor, tokens: Tensor, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        masked, labels = mask_tokens(
            tokens, torch.tensor([PAD, START, END]), MASK, len(words()), share=0.3, generator=generator
        )
        hidden = torch.rand(len(images), (SIZE // PATCH) ** 2, generator=generator) < 0.15
        logits, pixels = self.module(images, masked, hidden)
        truth = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
        return masked_language_loss(logits, labels) + F.mse_loss(pixels[hidden], truth[hidden])

    def score(self, images: Tensor, tokens: Tensor) -> Tensor:
        """Pseudo-log-likelihood: of each word given all others and the image (Salazar et al. 2020)."""
        total = torch.zeros(len(tokens))
        for place in range(1, tokens.shape[1]):
            if (real := tokens[:, place] > MASK).any():
                hidden = tokens.clone()
                hidden[:, place] = MASK
                logs = self.module(images, hidden)[0][:, place].log_softmax(-1)
                total += torch.where(real, logs.gather(1, tokens[:, place, None])[:, 0], 0)
        return total


class Generative:
    """An image encoder and a decoder that attends to it, from scratch: CoCa without its contrast."""

    def __init__(self, seed: int) -> None:
        torch.manual_seed(seed)
        encoder = CocaImageEncoderConfig(SIZE, PATCH, DIM, 3, 2, 4 * DIM)
        self.module = Coca(
            CocaConfig(encoder, len(words()), words().length, DIM, 1, 2, 2, 4 * DIM, 16, 2, DIM, pad=PAD)
        )

    def logits(self, images: Tensor, tokens: Tensor) -> Tensor:
        return self.module(images, tokens).logits

    def loss(self, images: Tensor, tokens: Tensor, seed: int) -> Tensor:
        return -likelihood(self.logits(images, tokens), tokens).mean()

    def score(self, images: Tensor, tokens: Tensor) -> Tensor:
        return likelihood(self.logits(images, tokens), tokens)

    def captions(self, images: Tensor) -> Tensor:
        return self.module.generate(images, torch.tensor([START, words().ids["a"]]), stop=[END])


class Backbone:
    """LLaVA: the image encoder of a CLIP, and a projector before a frozen language model. What these have learned
    before does not count."""

    def __init__(self, seed: int) -> None:
        scenes, rng = pools(seed)[0].scenes, np.random.default_rng((seed, 7))
        slots = (SIZE // PATCH) ** 2
        language = fact_reader(
            words(), scenes, lambda scene: text_of(scene, rng, 1 / 3), slots, seed, layers=4, steps=1500
        )
        clip = pretrained_clip(seed)
        torch.manual_seed(seed)
        config = LlavaConfig(ENCODER, language.config, words().ids["<image>"], (-2,), projector=("gelu",))
        self.module = Llava(config)
        own = self.module.image_encoder.state_dict()
        self.module.image_encoder.load_state_dict(
            {name: value for name, value in clip.image_encoder.state_dict().items() if name in own}
        )
        self.module.language_model.load_state_dict(language.state_dict())
        self.module.language_model.requires_grad_(False)
        self.seen = torch.full((1, config.tokens_per_image), config.image_token)

    def logits(self, images: Tensor, tokens: Tensor) -> Tensor:
        whole = torch.cat([self.seen.expand(len(tokens), -1), tokens], 1)
        return self.module(whole, images).logits[:, self.seen.shape[1] :]

    def loss(self, images: Tensor, tokens: Tensor, seed: int) -> Tensor:
        return -likelihood(self.logits(images, tokens), tokens).mean()

    def score(self, images: Tensor, tokens: Tensor) -> Tensor:
        return likelihood(self.logits(images, tokens), tokens)

    def captions(self, images: Tensor) -> Tensor:
        prompt = torch.tensor([[START, words().ids["a"]]])
        whole = torch.cat([self.seen, prompt], 1).expand(len(images), -1)
        return self.module.generate(whole, images, words().length, stop=[END])


def likelihood(logits: Tensor, tokens: Tensor) -> Tensor:
    """Log-likelihood of each text, (n,): every word given those before it."""
    losses = F.cross_entropy(
        logits[:, :-1].transpose(1, 2), tokens[:, 1:], reduction="none", ignore_index=PAD
    )
    return -losses.sum(1)


def pretrained_clip(seed: int) -> Clip:
    """A CLIP that has seen other images with captions."""
    model, pool = (
        small_clip(words(), seed, size=SIZE, patch=PATCH, dim=DIM),
        pairs_of_shapes(TRAINING, 500 + seed, size=SIZE),
    )
    rng = np.random.default_rng((seed, 8))

    def loss(step: int) -> Tensor:
        rows = rng.choice(len(pool), BATCH, replace=False)
        tokens = words()([pool.scenes[i].caption for i in rows])
        scale, same = model.logit_scale.exp().clamp(max=100), (tokens[:, None] == tokens).all(-1)
        return info_nce(model.encode_images(pool.pixels(rows)), model.encode_texts(tokens), scale, same)

    train(model.parameters(), loss, 600, lr=2e-3, muon=matrices(model))
    return model


EARLY = "color question, an eighth"
"""Metric: right answers after an eighth of the steps."""

LEARNERS: dict[str, Callable[[int], Any]] = {
    "contrastive, 63 negatives": Contrastive,
    "contrastive, 15 negatives": lambda seed: Contrastive(seed, 16),
    "masked": Masked,
    "generative": Generative,
    "pretrained backbone": Backbone,
}


def measure(condition: str, seed: int) -> dict[str, float]:
    """Train one learner on the budget, then every task."""
    pool, tests = pools(seed)
    learner = LEARNERS[condition](seed)
    rng = np.random.default_rng((seed, 5))
    early: list[float] = []

    def batch_loss(step: int) -> Tensor:
        rows = rng.integers(len(pool), size=BATCH)
        return learner.loss(pool.pixels(rows), words()([text_of(pool.scenes[i], rng) for i in rows]), step)

    with FlopCounterMode(display=False) as counter:
        batch_loss(0).backward()
    steps = round(BUDGET / counter.get_total_flops())

    def loss(step: int) -> Tensor:
        if step == steps // 8:
            early.append(answered(learner, tests, seed))
        return batch_loss(step)

    train(learner.module.parameters(), loss, steps, lr=2e-3, muon=matrices(learner.module))
    learner.module.eval()
    with torch.no_grad():
        found = tasks(learner, tests, seed)
    return found | {EARLY: early[0], "steps": steps}


def accuracy(learner: Learner, images: Tensor, choices: list[list[str]]) -> float:
    """Share of images whose first choice has the highest score."""
    columns = [learner.score(images, words()(list(column))) for column in zip(*choices, strict=True)]
    return float((torch.stack(columns, 1).argmax(1) == 0).float().mean())


@torch.no_grad()
def answered(learner: Learner, tests: Pool, seed: int) -> float:
    """Share of right answers to questions about a colour."""
    rng = np.random.default_rng((seed, 9))
    choices = []
    for scene in tests.scenes:
        question, answer = color_question(scene, rng)
        choices.append([f"{question} {color}" for color in (answer, *(c for c in COLORS if c != answer))])
    return accuracy(learner, tests.pixels(slice(None)), choices)


def tasks(learner: Learner, tests: Pool, seed: int) -> dict[str, float]:
    """All tasks, each a choice of one text by its score."""
    rng = np.random.default_rng((seed, 6))
    scenes, images = tests.scenes, tests.pixels(slice(None))
    captions = [scene.caption for scene in scenes]
    others = [[c for c in rng.permutation(captions) if c != own][: CHOICES - 1] for own in captions]
    there = [f"is there a {scene.shapes[int(rng.integers(2))].name} ?" for scene in scenes]
    not_there = [f"is there a {absent(scene, rng)} ?" for scene in scenes]
    start = time.perf_counter()
    learner.score(images, words()(captions))
    milliseconds = 1000 * (time.perf_counter() - start) / len(scenes)
    choices = {
        "caption among 8": [[own, *rest] for own, rest in zip(captions, others, strict=True)],
        "attributes": [[s.caption, s.swapped_colors] for s in scenes],
        "relations": [[s.caption, s.other_relation] for s in scenes],
        "yes if present": [[f"{q} yes", f"{q} no"] for q in there],
        "yes if absent": [[f"{q} yes", f"{q} no"] for q in not_there],
    }
    found = {name: accuracy(learner, images, texts) for name, texts in choices.items()}
    found |= {"color question": answered(learner, tests, seed), "ms per pair": milliseconds}
    if hasattr(learner, "captions"):
        written = [f"a {words().decode(ids)}" for ids in learner.captions(images)]
        found["captions right"] = share_right(scenes, written)
    return found


def _mean(results: Results, condition: str, metric: str) -> float:
    return results[condition][metric].mean


CLAIM = Claim(
    name="x13",
    title="Each paradigm of vision-language training has its own strength at equal compute",
    source="Bordes et al. 2024, arXiv:2405.17247",
    conditions=tuple(LEARNERS),
    measure=measure,
    metrics={
        "caption among 8": 1 / 8,
        "attributes": 0.5,
        "relations": 0.5,
        "color question": 1 / 6,
        EARLY: 1 / 6,
        "yes if present": 0.5,
        "yes if absent": 0.5,
        "captions right": None,
        "ms per pair": None,
        "steps": None,
    },
    checks=(
        Check(
            "contrastive training needs many negatives: with 15 in place of 63 it chooses captions worse",
            lambda r: (
                _mean(r, "contrastive, 15 negatives", "caption among 8")
                < _mean(r, "contrastive, 63 negatives", "caption among 8")
            ),
        ),
        Check(
            "the similarity of contrastive features says little of relations, the likelihood of a caption much",
            lambda r: (
                _mean(r, "contrastive, 63 negatives", "relations") + 0.1 < _mean(r, "generative", "relations")
            ),
        ),
        Check(
            "a pretrained backbone answers questions first: after an eighth of the steps, best",
            lambda r: (
                _mean(r, "pretrained backbone", EARLY)
                >= max(_mean(r, c, EARLY) for c in LEARNERS if c != "pretrained backbone")
            ),
        ),
        Check(
            "a pretrained backbone says yes to absent objects more often than training from scratch",
            lambda r: (
                _mean(r, "pretrained backbone", "yes if absent") > _mean(r, "generative", "yes if absent")
            ),
        ),
    ),
)

"""Contrast, matching and language in one: how models that fuse image and text learn (ALBEF, Li et al. 2021), on any
source of pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.albef.distillation import Distillation

from ..data.samples import DataError, Pair
from ..data.source import PairSource
from ..data.word_swaps import word_swaps
from ..distributed.collectives import own_first
from ..metrics.retrieval import recall
from ..models import build_reader, check_model, image_size
from ..objective import Objective
from .contrastive import NO_FACT, pad_sequence, pair_numbers, related, true_of

CHUNK = 64
"""Number of pairs that are matched at a time when candidates are ranked again."""


@dataclass(frozen=True)
class MatchingConfig:
    """Keys of the objective `matching`.

    Attributes:
        init_from: trained model to begin with; or per part, {image_encoder: MODEL}. A folder, the name of a bundled
            model, or a hub id.
        length: greatest number of tokens of a text.
        vocabulary: greatest number of tokens of the byte-pair encoding that is learned from captions.
        contrast: weight of the contrastive loss.
        matching: weight of the loss of matching texts and images.
        language: weight of the loss of masked or written words.
        swaps: number of times that an image is also matched with its caption after two of its adjectives, nouns, noun
            phrases, adverbs or verb phrases were exchanged, as `contrastive` does it; published is 0.
        distillation: how a slowly moving copy of the model teaches it; null for no teacher.
        candidates: number of nearest texts or images that the scores rank again by matching.
    """

    init_from: str | dict[str, str] | None = None
    length: int = 64
    vocabulary: int = 4096
    contrast: float = 1.0
    matching: float = 1.0
    language: float = 1.0
    swaps: int = 0
    distillation: Distillation | None = None
    candidates: int = 16

    def __post_init__(self) -> None:
        if self.swaps < 0:
            raise ValueError(f"swaps must not be negative, not {self.swaps}")


class Matching(Objective):
    """Training of a model that contrasts images and texts, and then matches them. A batch is a mapping of

    - "images" (n, 3, size, size) and "tokens" (n, length): pair i belongs together;
    - "pairs" (n, 2): numbers of image and text, as `pair_numbers` gives them;
    - "objects" (n, t, k) and "claims" (n, k), perhaps: facts as whole numbers; see `true_of`;
    - "swapped" (m, length) and "owners" (m,), perhaps: ids of captions with words exchanged, and the rows of their
      images;
    - "false" (n, length) and "has_false" (n,), perhaps, of validation: ids of the false caption of each image, and
      whether it has one.

    What the model brings (`needs`):

    - `losses(images, tokens, related, pairs, *, gather, false=None, teacher=None)`: the losses "contrast", "matching"
      and "language", with arguments as those of `visprog.models.albef.model.Albef.losses`;
    - `encode_images(images)` and `encode_texts(tokens)`, whose first two results are tokens and features;
    - `similarity(image_features, text_features)`: (n, m);
    - `matching_logits(image_tokens, tokens)`: the logarithm of the odds that texts match images, (n,);
    - `new_teacher(distillation)`, if it learns from a teacher: a module with `update(model)`, called after each step,
      which is part of the checkpoints of a run but not of the model.

    Scores: "matching", if validation samples have false captions: the share of images whose caption matches better than
    the false one; "image_to_text" and "text_to_image": recall at 1 of all validation pairs by contrast; and with
    "_reranked", the same after the nearest `candidates` were ranked by matching. The image tokens of all validation
    samples are kept for this, in half precision.
    """

    Config: ClassVar[Any] = MatchingConfig
    sample_type = Pair
    needs = ("losses", "encode_images", "encode_texts", "similarity", "matching_logits")
    source: PairSource

    def __init__(self, config: MatchingConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        self.model, self.tokenizer, self.image_processor = build_reader(model, config, source)
        check_model(self.model, "matching", self.needs)
        self.size = image_size(self.model.config)
        self.metric = "matching" if source.has_false_captions else "image_to_text_reranked"
        if config.distillation is not None:
            if not hasattr(self.model, "new_teacher"):
                raise DataError(
                    f"distillation: a {type(self.model).__name__} learns from no teacher: set it to null"
                )
            self.teacher = self.model.new_teacher(config.distillation)

    def prepare(
        self, sample: Pair, rng: np.random.Generator, train: bool
    ) -> tuple[NDArray[np.uint8], str, Pair, tuple[str, ...]]:
        captions, swapped = sample.captions, tuple[str, ...]()
        caption = captions[0] if len(captions) == 1 else str(rng.choice(captions))
        if train and self.config.swaps:
            true = (*captions, *sample.other_captions)
            swapped = tuple(word_swaps(caption, rng, self.config.swaps, true))
        return self.image_processor.fit(sample.image), caption, sample, swapped

    def collate(self, samples: list[Any], train: bool) -> dict[str, Tensor]:
        images, captions, pairs, swapped = zip(*samples, strict=True)
        false = self.source.has_false_captions and not train
        texts = list(captions)
        if train:
            texts += [text for each in swapped for text in each]
        elif false:
            texts += [pair.false_caption for pair in pairs]
        ids = self.tokenizer(texts).ids
        tokens, further = ids[: len(samples)], ids[len(samples) :]
        batch = {
            "images": self.image_processor(images),
            "tokens": tokens,
            "pairs": pair_numbers([pair.name for pair in pairs], captions),
        }
        if false:
            batch["false"] = further
            batch["has_false"] = torch.tensor([bool(pair.false_caption) for pair in pairs])
        elif len(further):
            batch["swapped"] = further
            batch["owners"] = torch.tensor([i for i, each in enumerate(swapped) for _ in each])
        if all(pair.claim is not None for pair in pairs):
            batch["objects"] = pad_sequence([torch.tensor(pair.objects) for pair in pairs])
            batch["claims"] = torch.tensor([pair.claim for pair in pairs])
        return batch

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        pairs = batch["pairs"]
        right = related(own_first(pairs, name="pairs"))
        if "claims" in batch:
            objects = own_first(batch["objects"], NO_FACT, "objects")
            right = right | true_of(objects, own_first(batch["claims"], name="claims"))
        extra: dict[str, Any] = {} if self.teacher is None else {"teacher": self.teacher}
        if "swapped" in batch:
            extra["false"] = batch["owners"], batch["swapped"]
        losses = self.model.losses(batch["images"], batch["tokens"], right, pairs, gather=own_first, **extra)
        config = self.config
        weights = {"contrast": config.contrast, "matching": config.matching, "language": config.language}
        return {"loss": sum(weights[name] * losses[name] for name in weights), **losses}

    def after_step(self) -> None:
        if self.teacher is not None:
            self.teacher.update(self.model)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        tokens = batch["tokens"]
        image_tokens, images = self.model.encode_images(batch["images"])[:2]
        texts = self.model.encode_texts(tokens)[1]
        found = {
            "images": images.float(),
            "texts": texts.float(),
            "image_tokens": image_tokens.half(),
            "tokens": F.pad(tokens, (0, self.config.length - tokens.shape[1])),
            "pairs": batch["pairs"],
        }
        if "false" in batch:
            true, false = (self.model.matching_logits(image_tokens, ids) for ids in (tokens, batch["false"]))
            found["margins"] = (true - false).float().masked_fill(~batch["has_false"], torch.nan)
        return found

    def reranked(self, similarity: Tensor, find: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
        """How well the `candidates` of each row match, those with the highest similarities (n, m); -inf for the others.

        Args:
            find: image tokens and token ids of pairs, by their rows and columns.
        """
        device = next(self.model.parameters()).device
        columns = similarity.topk(min(self.config.candidates, similarity.shape[1])).indices
        rows = torch.arange(len(columns))[:, None].expand_as(columns)
        logits = []
        for row, column in zip(rows.flatten().split(CHUNK), columns.flatten().split(CHUNK), strict=True):
            image_tokens, tokens = find(row, column)
            logits.append(
                self.model.matching_logits(image_tokens.to(device).float(), tokens.to(device)).float().cpu()
            )
        best = torch.full_like(similarity, -torch.inf)
        return best.scatter(1, columns, torch.cat(logits).view_as(columns))

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        similarity = self.model.similarity(predictions["images"], predictions["texts"])
        names, captions = predictions["pairs"].unbind(1)
        scores = {}
        if "margins" in predictions:
            margins = predictions["margins"]
            scores["matching"] = float((margins[~margins.isnan()] > 0).float().mean())
        scores["image_to_text"] = recall(similarity, names, captions)
        scores["text_to_image"] = recall(similarity.T, captions, names)
        first, second = predictions["image_tokens"], predictions["tokens"]
        by_image = self.reranked(similarity, lambda rows, columns: (first[rows], second[columns]))
        by_text = self.reranked(similarity.T, lambda rows, columns: (first[columns], second[rows]))
        scores["image_to_text_reranked"] = recall(by_image, names, captions)
        scores["text_to_image_reranked"] = recall(by_text, captions, names)
        return scores

"""Captioning and contrast in one, as CoCa learns (Yu et al. 2022, arXiv:2205.01917), on any source of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.coca import coca_loss
from visprog.models.preprocess.tokenizer import END, START

from ..data.samples import Pair
from ..data.source import PairSource
from ..distributed.collectives import gather, share
from ..metrics.groups import group_means, membership
from ..models import build_reader, check_model, image_size
from ..objective import Objective
from .contrastive import pair_numbers, related


@dataclass(frozen=True)
class CaptionConfig:
    """Keys of the objective `caption`.

    Attributes:
        init_from: trained model to begin with; or per part, {image_encoder: MODEL}. A folder, the name of a bundled
            model, or a hub id.
        length: greatest number of tokens of a caption.
        vocabulary: greatest number of tokens of the byte-pair encoding that is learned from captions.
        contrast: weight of the contrastive loss; 0 learns captions alone.
        caption: weight of the captioning loss.
    """

    init_from: str | dict[str, str] | None = None
    length: int = 64
    vocabulary: int = 4096
    contrast: float = 1.0
    caption: float = 2.0


class Captioning(Objective):
    """Captioning with contrast. A batch holds "images" (n, 3, S, S), "tokens" (n, length) and "pairs" (n, 2), the
    numbers of images and captions as `pair_numbers` gives them.

    Scores: if the source judges captions, the share of written captions that are right, in each group; else "loss",
    the mean loss of the tokens of a caption.
    """

    Config: ClassVar[Any] = CaptionConfig
    sample_type = Pair
    needs = ("generate", "logit_scale")
    source: PairSource

    def __init__(self, config: CaptionConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        self.model, self.tokenizer, self.image_processor = build_reader(model, config, source)
        check_model(self.model, "caption", self.needs)
        self.size = image_size(self.model.config)
        self.metric, self.lower_is_better = (source.groups[0], False) if source.judges else ("loss", True)

    def prepare(
        self, sample: Pair, rng: np.random.Generator, train: bool
    ) -> tuple[NDArray[np.uint8], str, Pair]:
        captions = sample.captions
        caption = captions[0] if len(captions) == 1 else str(rng.choice(captions))
        return self.image_processor.fit(sample.image), caption, sample

    def collate(self, samples: list[Any], train: bool) -> dict[str, Tensor]:
        images, captions, pairs = zip(*samples, strict=True)
        batch = {
            "images": self.image_processor(images),
            "tokens": self.tokenizer(captions).ids,
            "pairs": pair_numbers([pair.name for pair in pairs], captions),
        }
        if not train and self.source.judges:
            batch["keys"] = torch.tensor([pair.key for pair in pairs])
            batch["groups"] = membership([pair.groups for pair in pairs], self.source.groups)
        return batch

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        tokens, pad = batch["tokens"], self.model.config.pad
        output = self.model(batch["images"], tokens)
        positives = None
        if self.config.contrast:
            whole = {
                name: gather(getattr(output, name), name=name) for name in ("image_embeds", "text_embeds")
            }
            output = output._replace(**whole)
            positives = related(gather(batch["pairs"], name="pairs"))
        # The mean over the caption tokens of all processes, not the mean of their means.
        part = share((tokens[:, 1:] != pad).sum())
        losses = coca_loss(
            output, tokens, self.model.logit_scale.exp(), pad,
            contrast=self.config.contrast, caption=self.config.caption * part, positives=positives,
        )  # fmt: skip
        return losses | {"caption": losses["caption"] * part}

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        config, tokens = self.model.config, batch["tokens"]
        if not self.source.judges:
            logits = self.model(batch["images"], tokens).logits[:, :-1]
            losses = F.cross_entropy(
                logits.transpose(1, 2), tokens[:, 1:], ignore_index=config.pad, reduction="none"
            )
            return {"nats": losses.sum(1), "tokens": (tokens[:, 1:] != config.pad).sum(1)}
        start = torch.tensor([self.tokenizer.id(START)], device=batch["images"].device)
        ids = self.model.generate(batch["images"], start, stop=[self.tokenizer.id(END)])
        written = torch.zeros(len(ids), config.length, dtype=torch.long)
        written[:, : ids.shape[1]] = ids
        return {"written": written, "keys": batch["keys"], "groups": batch["groups"]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        if not self.source.judges:
            return {"loss": float(predictions["nats"].sum() / predictions["tokens"].sum())}
        texts = [self.tokenizer.decode(ids) for ids in predictions["written"]]
        keys = predictions["keys"].tolist()
        right = torch.tensor([self.source.is_right(k, text) for k, text in zip(keys, texts, strict=True)])
        return group_means(right, predictions["groups"], self.source.groups)

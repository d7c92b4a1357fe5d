"""Pre-training of models of text and regions, as VisualBERT, ViLBERT and LXMERT learn from captions: masked words, what
hidden regions showed, and whether text and image belong together; on any source of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visprog.models.bert import IGNORED
from visprog.models.nn import choice_loss
from visprog.models.regions import Targets

from ..data.samples import BadSample, Pair
from ..data.source import PairSource
from ..distributed.collectives import share
from ..regions import RegionKeys, RegionObjective


@dataclass(frozen=True)
class MaskedRegionsConfig(RegionKeys):
    """Keys of the objective `masked-regions`.

    Attributes:
        captions: number of captions in a text: 1; or 2, as VisualBERT reads COCO, of which the second may be of another
            image.
        hard: share of texts that do not belong to their image that are its false caption, if the source has them; the
            others are captions of other images, as published.
        paired: whether every image is read both with its own text and with one that is not, between which it has to
            choose, too, and not with one of the two, as published. A small model learns much sooner from pairs.
        false_words: whether words of texts that do not belong to their image are restored, too, as published. Of false
            captions, these are words that the image contradicts.
    """

    captions: int = 1
    hard: float = 0.0
    paired: bool = False
    false_words: bool = True

    def __post_init__(self) -> None:
        if self.captions not in (1, 2) or not 0 <= self.hard <= 1:
            raise ValueError("captions must be 1 or 2, and hard must lie in [0, 1]")


class CaptionedRegions(NamedTuple):
    """A sample: its image or regions, what is said of it, and what may take the place of the last of these.

    Attributes:
        said: captions of the image, one or two.
        false: false caption; "" for that of another image.
        belongs: whether it is read with its own captions.
    """

    image: Any
    said: tuple[str, ...]
    false: str
    belongs: bool


class MaskedRegions(RegionObjective):
    """Pre-training on captions. A batch holds "seen", images or their regions, "texts", and bool "matched" (n,), or
    (2n,) if texts are paired: first those that belong to their images, then the others. In validation also "others",
    texts that do not belong to the images, and bool "differ" (n,), whether they do not.

    Scores: "accuracy", the mean of "accepted", the share of captions that are held to belong to their image, and
    "rejected", the share of false ones, or of those of other images, that are not.
    """

    Config: ClassVar[Any] = MaskedRegionsConfig
    sample_type = Pair
    needs = ("pretraining_losses", "hide_regions", "match_probability")
    metric = "accuracy"
    source: PairSource

    def __init__(self, config: MaskedRegionsConfig, model: Any, source: PairSource) -> None:
        super().__init__(config, model, source)
        self.make("masked-regions", model, config.captions, head="pretraining", pretraining=True)

    def prepare(self, sample: Pair, rng: np.random.Generator, train: bool) -> CaptionedRegions:
        said = [str(rng.choice(sample.captions))]
        if self.config.captions == 2:
            others = [text for text in (*sample.captions, *sample.other_captions) if text != said[0]]
            if not others:
                raise BadSample(sample.name, "it has one caption, and two are read: captions=1 reads one")
            said.append(str(rng.choice(others)))
        belongs, hard = rng.random() < 0.5, rng.random() < self.config.hard
        false = sample.false_caption if hard or not train else ""
        return CaptionedRegions(
            self.seen.prepare(sample.image, sample.name), tuple(said), false, bool(belongs) or not train
        )

    def collate(self, samples: list[CaptionedRegions], train: bool) -> dict[str, Any]:
        said = [sample.said for sample in samples]
        others = [_other(samples, i) for i in range(len(samples))]
        differ = [text != sample.said[-1] for text, sample in zip(others, samples, strict=True)]
        false = [(*texts[:-1], other) for texts, other in zip(said, others, strict=True)]
        if train and self.config.paired:
            texts, wrong = [*said, *false], [False] * len(said) + differ
        else:
            wrong = [not sample.belongs and differ[i] for i, sample in enumerate(samples)]
            texts = [
                other if is_wrong else own for own, other, is_wrong in zip(said, false, wrong, strict=True)
            ]
        batch = {
            "seen": self.seen.collate([sample.image for sample in samples]),
            "texts": self._texts(texts),
            "matched": ~torch.tensor(wrong),
        }
        if not train:
            batch["others"] = self._texts(false)
            batch["differ"] = torch.tensor(differ)
        return batch

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        regions, matched = self.seen.regions(batch["seen"]), batch["matched"]
        count = len(regions.mask)
        if self.config.paired:
            regions = regions.rows(torch.arange(count, device=matched.device).repeat(2))
        changed, hidden = self.model.hide_regions(regions)
        texts, words = self.hide_words(batch["texts"])
        if not self.config.false_words:
            words = words.masked_fill(~matched[:, None], IGNORED)
        output = self.run(texts, changed)
        losses = self.model.pretraining_losses(output, Targets(words, matched, regions, hidden))
        if self.config.paired:
            fits = self.model.match_log_odds(output.match_logits)
            differ = ~matched[count:]
            losses["choice"] = choice_loss(fits[:count][differ], fits[count:][differ])
        return total(losses, words)

    def predict(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        regions = self.seen.regions(batch["seen"])
        right, wrong = (
            self.model.match_probability(self.run(batch[name], regions).match_logits)
            for name in ("texts", "others")
        )
        return {"accepted": right > 0.5, "rejected": wrong <= 0.5, "differ": batch["differ"]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        accepted = float(predictions["accepted"].float().mean())
        rejected = float(predictions["rejected"][predictions["differ"]].float().mean())
        return {"accuracy": (accepted + rejected) / 2, "accepted": accepted, "rejected": rejected}

    def _texts(self, said: list[tuple[str, ...]]) -> Any:
        return self.read([text[0] for text in said], [text[1] for text in said if len(text) > 1])


def total(losses: Mapping[str, Tensor], words: Tensor) -> dict[str, Tensor]:
    """Losses and, as "loss", their sum. That of words is the mean over the hidden words of all processes, not the mean
    of their means.

    Args:
        losses: scalars by name.
        words: labels of the hidden words (batch, length).
    """
    losses = {**losses, "words": losses["words"] * share((words != IGNORED).sum())}
    return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def _other(samples: list[CaptionedRegions], i: int) -> str:
    """What is said instead of a sample's last caption: its false one, or the next one in the batch that differs."""
    own = samples[i]
    if own.false:
        return own.false
    rest = (samples[(i + k) % len(samples)].said[-1] for k in range(1, len(samples)))
    return next((text for text in rest if text not in own.said), own.said[-1])

"""Which regions an expression refers to, as ViLBERT learns it on RefCOCO: each proposed region scores as it overlaps
what is meant; on any source of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from visprog.models.nn.boxes import iou
from visprog.models.vilbert import MIN_IOU, select_loss, select_targets

from ..data.samples import BadSample, Boxes
from ..data.source import BoxSource
from ..regions import RegionKeys, RegionObjective


@dataclass(frozen=True)
class SelectConfig(RegionKeys):
    """Keys of the objective `select`.

    Attributes:
        max_objects: greatest number of objects that an expression may name; an image where it names more is a bad
            sample.
    """

    max_objects: int = 16


class Select(RegionObjective):
    """Referring expressions. A batch holds "seen", images or their regions, "texts", one expression per image, "truth"
    (n, max_objects, 4), corners of what it names in shares of the image, and bool "real" (n, max_objects).

    Scores: "accuracy", the share of the expressions that name something whose best region overlaps it by more than
    half; and "spurned", the share of the others where no region scores above 0.5.
    """

    Config: ClassVar[Any] = SelectConfig
    sample_type = Boxes
    needs = ("select",)
    metric = "accuracy"
    source: BoxSource

    def __init__(self, config: SelectConfig, model: Any, source: BoxSource) -> None:
        super().__init__(config, model, source)
        self.make("select", model)

    def prepare(
        self, sample: Boxes, rng: np.random.Generator, train: bool
    ) -> tuple[Any, str, np.ndarray[Any, Any]]:
        phrases = sample.phrases or self.source.phrases
        if not phrases:
            raise BadSample(sample.name, "there is no expression to look for")
        phrase = phrases[int(rng.integers(len(phrases)))]
        height, width = sample.image.shape[:2]
        named = sample.boxes[sample.fits(phrase) & ~sample.crowd]
        if len(named) > self.config.max_objects:
            raise BadSample(
                sample.name, f"'{phrase}' names {len(named)} objects, max_objects={self.config.max_objects}"
            )
        boxes = np.divide(named, [width, height, width, height])
        return self.seen.prepare(sample.image, sample.name), phrase, boxes

    def collate(self, samples: list[Any], train: bool) -> dict[str, Any]:
        images, phrases, boxes = zip(*samples, strict=True)
        truth = torch.zeros(len(samples), self.config.max_objects, 4)
        for row, named in zip(truth, boxes, strict=True):
            row[: len(named)] = torch.from_numpy(named)
        counts = torch.tensor([len(named) for named in boxes])
        return {
            "seen": self.seen.collate(images),
            "texts": self.read(phrases),
            "truth": truth,
            "real": torch.arange(self.config.max_objects) < counts[:, None],
        }

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        regions = self.seen.regions(batch["seen"])
        targets = select_targets(regions.boxes, batch["truth"], batch["real"])
        scores = self.run(batch["texts"], regions).region_scores
        return {"loss": select_loss(scores, targets, regions.mask)}

    def predict(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        regions = self.seen.regions(batch["seen"])
        scores = self.run(batch["texts"], regions).region_scores.masked_fill(~regions.mask, -torch.inf)
        best, place = scores.max(-1)  # (n,)
        chosen = regions.boxes[torch.arange(len(place)), place]  # (n, 4)
        overlap = iou(chosen[:, None], batch["truth"]).nan_to_num().masked_fill(~batch["real"], 0)
        return {
            "right": overlap.amax(-1) > MIN_IOU,
            "named": batch["real"].any(-1),
            "spurned": best.sigmoid() <= 0.5,
        }

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        named = predictions["named"]
        scores = {"accuracy": float(predictions["right"][named].float().mean())}
        if not named.all():
            scores["spurned"] = float(predictions["spurned"][~named].float().mean())
        return scores

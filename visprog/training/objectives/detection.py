"""Boxes of what a phrase names, as OWL-ViT and OWLv2 learn them, on any source of boxes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.nn import info_nce
from visprog.models.nn.boxes import to_center, to_corners
from visprog.models.nn.roi_align import roi_align
from visprog.models.owlvit import Target, detection_loss
from visprog.models.preprocess.image_processor import ImageProcessor

from ..data.samples import BadSample, Boxes
from ..data.source import BoxSource
from ..metrics.average_precision import ScoredBoxes, average_precision
from ..models import build_reader, check_model, image_size
from ..objective import Objective


@dataclass(frozen=True)
class DetectionConfig:
    """Keys of the objective `detection`.

    Attributes:
        init_from: trained detector to begin with; or per part, {image_encoder: MODEL}. A folder, the name of a bundled
            model, or a hub id. The embeddings of words are learned anew, unless the words are the same.
        length: greatest number of tokens of a phrase.
        vocabulary: greatest number of tokens of a byte-pair encoding, for sources whose vocabulary is open.
        scale: what cosines are multiplied by at first. 1, as published, suits encoders that CLIP has trained; one
            from scratch learns to read much sooner with 10.
        anchor: cost of assigning an object to a token, per width of the image between the centres of the object and
            of the token's patch. 0, as published, leaves it to the predictions, which takes a detector from scratch
            very long to agree on; with 20 it is nearly always the token at the object's centre.
        max_objects: greatest number of objects in an image; an image with more is a bad sample.
        augment: whether training images are turned and mirrored.
        regions: weight of the contrastive loss between the features of the objects' boxes and the phrases that name
            them, beside the losses of detection; 0 for none.
    """

    init_from: str | dict[str, str] | None = None
    length: int = 8
    vocabulary: int = 4096
    scale: float = 1.0
    anchor: float = 0.0
    max_objects: int = 128
    augment: bool = False
    regions: float = 0.0


class Detection(Objective):
    """Detection by phrase. A batch holds "images" (n, 3, S, S), "tokens" (n, queries, length), "boxes" (n, max_objects,
    4) of centre and size in shares of the image, "named" bool (n, max_objects, queries), which queries fit which
    objects, and "counts" (n,), the number of objects.

    Each training image is asked for the phrases of all images of the batch of its process: what an object is not takes
    many negatives to learn, of which OWL-ViT draws at least 50 per image.

    Scores are average precisions at an intersection over union of 0.5: "ap50" of all answers to all phrases together,
    "map50" the mean over phrases.
    """

    Config: ClassVar[Any] = DetectionConfig
    sample_type = Boxes
    needs = ("class_head", "encode_images", "encode_texts", "predict_boxes")
    metric = "ap50"
    source: BoxSource

    def __init__(self, config: DetectionConfig, model: Any, source: BoxSource) -> None:
        super().__init__(config, model, source)
        self.model, self.tokenizer, self.image_processor = build_reader(model, config, source, self._prime)
        check_model(self.model, "detection", self.needs)
        self.size = image_size(self.model.config)
        if model is not None and source.square:
            # Images that are not square are not stretched later, nor made smaller: they have more patches.
            patch = self.model.config.image_encoder.patch
            self.image_processor = ImageProcessor(shortest=self.size, longest=4 * self.size, divisor=patch)

    def _prime(self, model: Any) -> None:
        """Begin with cosines times `scale`, while every token is background with the same probability as before."""
        head = model.class_head
        with torch.no_grad():
            head.logit_shift.bias /= self.config.scale
            head.logit_scale.bias += self.config.scale - 1

    def prepare(self, sample: Boxes, rng: np.random.Generator, train: bool) -> Boxes:
        """The sample without crowds, its image resized, and its boxes in shares of the image."""
        kept = np.flatnonzero(~sample.crowd)
        if len(kept) > self.config.max_objects:
            raise BadSample(
                sample.name, f"it shows {len(kept)} objects, more than max_objects={self.config.max_objects}"
            )
        height, width = sample.image.shape[:2]
        image, boxes = sample.image, np.divide(sample.boxes[kept], [width, height, width, height])
        if train and self.config.augment:
            image, boxes = turned(image, boxes, int(rng.integers(8)))
        return replace(
            sample,
            image=self.image_processor.fit(image),
            boxes=boxes,
            labels=tuple(sample.labels[i] for i in kept),
            crowd=sample.crowd[kept],
        )

    def collate(self, samples: list[Boxes], train: bool) -> dict[str, Tensor]:
        most = self.config.max_objects
        asked = [list(sample.phrases or self.source.phrases) for sample in samples]
        if train:
            asked = [list(dict.fromkeys(phrase for phrases in asked for phrase in phrases))] * len(samples)
        boxes = torch.zeros(len(samples), most, 4)
        named = torch.zeros(len(samples), most, len(asked[0])).bool()
        for i, (sample, phrases) in enumerate(zip(samples, asked, strict=True)):
            n = len(sample.boxes)
            boxes[i, :n] = to_center(torch.from_numpy(sample.boxes).float())
            for q, phrase in enumerate(phrases):
                named[i, :n, q] = torch.from_numpy(sample.fits(phrase))
        ids = self.tokenizer([phrase for phrases in asked for phrase in phrases]).ids
        return {
            "images": self.image_processor([sample.image for sample in samples]),
            "tokens": ids.view(len(samples), len(asked[0]), -1),
            "boxes": boxes,
            "named": named,
            "counts": torch.tensor([len(sample.boxes) for sample in samples]),
        }

    def encode(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Features of patches (n, patches, dim) and of phrases (n, queries, dim); a text that several images ask for is
        encoded once."""
        tokens = batch["tokens"]
        texts, place = tokens.flatten(0, 1).unique(dim=0, return_inverse=True)
        queries = self.model.encode_texts(texts)[1][place].view(*tokens.shape[:2], -1)
        return self.model.encode_images(batch["images"])[1], queries

    def answer(self, features: Tensor, queries: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Logits, boxes and objectness of `encode`d images and phrases."""
        logits, _ = self.model.class_head(features, queries)
        grid = self.model.config.image_encoder.grid
        head = self.model.objectness_head
        objectness = head(features.detach())[..., 0] if head else None
        return logits, self.model.predict_boxes(features, (grid, grid)), objectness

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        counts = batch["counts"].tolist()
        targets = [
            Target(boxes[:n], named[:n])
            for n, boxes, named in zip(counts, batch["boxes"], batch["named"], strict=True)
        ]
        more = None
        if self.config.anchor:
            centers = _centers(self.model.config.image_encoder.grid, batch["boxes"])
            more = [self.config.anchor * torch.cdist(centers, target.boxes[:, :2]) for target in targets]
        features, queries = self.encode(batch)
        losses = detection_loss(*self.answer(features, queries), targets, more)
        if self.config.regions:
            regions = self.contrast_regions(batch, features, queries)
            losses |= {"loss": losses["loss"] + self.config.regions * regions, "regions": regions}
        return losses

    def contrast_regions(self, batch: Mapping[str, Tensor], features: Tensor, queries: Tensor) -> Tensor:
        """Contrastive loss of the objects of a process: the mean feature in the box of each (RoIAlign), projected as
        tokens are, against the first phrase that names it (RegionCLIP, Zhong et al. 2022, arXiv:2112.09106)."""
        grid = self.model.config.image_encoder.grid
        image, place = (
            batch["named"].any(-1).nonzero(as_tuple=True)
        )  # (k,) each: the objects that a phrase names
        if not len(image):
            return features.sum() * 0
        phrase = batch["named"][image, place].int().argmax(-1)
        maps = features.transpose(1, 2).unflatten(2, (grid, grid))
        pooled = roi_align(maps, to_corners(batch["boxes"][image, place]), image, (1, 1), grid, samples=4)
        regions = F.normalize(self.model.class_head.projection(pooled.flatten(1)), dim=-1)
        scale = self.model.logit_scale.exp()
        return info_nce(regions, queries[image, phrase], scale, phrase[:, None] == phrase)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        logits, boxes, _ = self.answer(*self.encode(batch))
        tokens = batch["tokens"]
        phrases = tokens.new_zeros(*tokens.shape[:2], self.model.config.text_encoder.length)
        phrases[..., : tokens.shape[-1]] = tokens
        truth = {"truth": to_corners(batch["boxes"]), "named": batch["named"], "counts": batch["counts"]}
        return {"scores": logits.sigmoid(), "boxes": to_corners(boxes), "phrases": phrases, **truth}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        values = {name: value.numpy() for name, value in predictions.items()}
        found: dict[tuple[int, ...], list[ScoredBoxes]] = {}
        for i, count in enumerate(values["counts"]):
            for q, phrase in enumerate(map(tuple, values["phrases"][i].tolist())):
                truth = values["truth"][i, :count][values["named"][i, :count, q]]
                found.setdefault(phrase, []).append(
                    ScoredBoxes(values["boxes"][i], values["scores"][i, :, q], truth)
                )
        each = [average_precision(images) for images in found.values()]
        pooled = average_precision([image for images in found.values() for image in images])
        return {"ap50": pooled, "map50": float(np.nanmean(each)) if each else float("nan")}


def _centers(grid: int, like: Tensor) -> Tensor:
    """Centres (grid * grid, 2) of the patches, row by row, in shares of the image."""
    steps = (torch.arange(grid, device=like.device, dtype=like.dtype) + 0.5) / grid
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([x, y], -1).flatten(0, 1)


def turned(
    pixels: NDArray[np.uint8], boxes: NDArray[np.floating], which: int
) -> tuple[NDArray[np.uint8], NDArray[np.floating]]:
    """One of the eight ways to turn and mirror an image and its boxes (n, 4), corners in shares."""
    left, top, right, bottom = boxes.T
    if which & 1:
        pixels, left, right = pixels[:, ::-1], 1 - right, 1 - left
    if which & 2:
        pixels, top, bottom = pixels[::-1], 1 - bottom, 1 - top
    if which & 4:
        pixels, left, top, right, bottom = pixels.transpose(1, 0, 2), top, left, bottom, right
    return np.ascontiguousarray(pixels), np.stack([left, top, right, bottom], 1)

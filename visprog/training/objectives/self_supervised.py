"""Images alone: two random views of an image find each other among those of all others (SimCLR), on any source of
images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visprog.models.simclr import nt_xent_loss

from ..data.augmentation import Augmentation
from ..data.samples import LabelledImage, Pixels
from ..data.source import LabelledImageSource
from ..distributed.collectives import gather
from ..gradient_cache import cached_backward
from ..init_from import init_model, load_start
from ..metrics.neighbors import knn_accuracy, partner_accuracy
from ..models import check_model, image_size, load_processor, new_model, square_processor, trained_source
from ..objective import Objective, Run


@dataclass(frozen=True)
class SelfSupervisedConfig:
    """Keys of the objective `self-supervised`.

    Attributes:
        init_from: trained model to begin with; or {image_encoder: MODEL}. A folder, the name of a bundled model, or a
            hub id.
        temperature: divisor of the cosines.
        area: least share of an image that a view shows, cut out and stretched; null shows it whole.
        flip: whether half of the views are mirrored.
        jitter: strength of the change of brightness, contrast, saturation and hue, which 8 of 10 views have; 0 where
            colours tell classes apart.
        grey: share of views without colours; 0 where colours tell classes apart.
        blur: share of views that are blurred.
        cache_chunk: number of images whose views are embedded at a time, with the gradients of their features cached,
            so that a batch may be larger than memory; null embeds all at once.
    """

    init_from: str | dict[str, str] | None = None
    temperature: float = 0.1
    area: float | None = 0.08
    flip: bool = True
    jitter: float = 1.0
    grey: float = 0.2
    blur: float = 0.5
    cache_chunk: int | None = None

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive, not {self.temperature}")
        self.augmentation()

    def augmentation(self) -> Augmentation:
        """What views are made by."""
        return Augmentation(self.area, self.flip, self.jitter, self.grey, self.blur)


class ImageViews(NamedTuple):
    """Pixels of the model's size, of two views of an image, or of the image as it is; and its labels."""

    pixels: list[Pixels]
    labels: tuple[int, ...]


class SelfSupervised(Objective):
    """Contrastive training of views. A batch is a mapping of "images" (n, views, 3, size, size), two views of each
    image, and for validation perhaps "labels" (n, attributes); the one view is then the image itself.

    Scores: if the source has labels, the share of validation images whose nearest neighbours have theirs, of each
    attribute, and as "accuracy" the mean; else the share of views whose partner is the nearest.
    """

    Config: ClassVar[Any] = SelfSupervisedConfig
    sample_type = LabelledImage
    needs = ("encode_images", "project")
    metric = "accuracy"
    source: LabelledImageSource

    def __init__(self, config: SelfSupervisedConfig, model: Any, source: LabelledImageSource) -> None:
        super().__init__(config, model, source)
        if model is None:
            trained = trained_source(config.init_from)
            self.model, found = load_start(trained), load_processor(trained)
        else:
            self.model, found = new_model(model), None
            init_model(self.model, config.init_from)
        check_model(self.model, "self-supervised", self.needs)
        self.image_processor = found or square_processor(self.model, source)
        self.size = image_size(self.model.config)
        self.augmentation = config.augmentation()

    def prepare(self, sample: LabelledImage, rng: np.random.Generator, train: bool) -> ImageViews:
        if self.source.attributes and not train:
            return ImageViews([self.image_processor.fit(sample.image)], sample.labels)
        image = sample.image if self.config.area is not None else self.image_processor.fit(sample.image)
        return ImageViews([self.augmentation(image, self.size, rng) for _ in range(2)], sample.labels)

    def collate(self, samples: list[ImageViews], train: bool) -> dict[str, Tensor]:
        images = self.image_processor([pixels for sample in samples for pixels in sample.pixels])
        batch = {"images": images.unflatten(0, (len(samples), -1))}
        if self.source.attributes and not train:
            batch["labels"] = torch.tensor([sample.labels for sample in samples])
        return batch

    def embed(self, images: Tensor) -> tuple[Tensor]:
        """Features of views (n, views, 3, size, size) before the projector, (n, views, dim)."""
        return (self.model.encode_images(images.flatten(0, 1)).unflatten(0, images.shape[:2]),)

    def contrast(self, features: Tensor) -> dict[str, Tensor]:
        """The loss of the features of a batch (n, 2, dim), over those of all processes, which are projected together so
        that the projector's batch norms see them all."""
        first, second = gather(features, name="image features").unbind(1)
        first, second = self.model.project(torch.cat([first, second])).chunk(2)
        loss = nt_xent_loss(first, second, self.config.temperature)
        return {"loss": loss, "nearest": partner_accuracy(first.detach(), second.detach())}

    def loss(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return self.contrast(*self.embed(batch["images"]))

    def backward(self, run: Run, batch: Mapping[str, Tensor], accelerator: Any) -> dict[str, Tensor]:
        size, images = self.config.cache_chunk, batch["images"]
        if size is None or size >= len(images):
            return super().backward(run, batch, accelerator)
        # The batch is then projected twice: the running means of the projector, which only evaluation uses, take two
        # steps towards its own.
        return cached_backward(run, images.split(size), self.embed, self.contrast, accelerator)

    def predict(self, batch: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        (features,) = self.embed(batch["images"])
        if "labels" in batch:
            return {"features": features[:, 0].float(), "labels": batch["labels"]}
        first, second = (self.model.project(view).float() for view in features.unbind(1))
        return {"first": first, "second": second}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        if "labels" not in predictions:
            return {"accuracy": float(partner_accuracy(predictions["first"], predictions["second"]))}
        features, labels = predictions["features"], predictions["labels"]
        found = [knn_accuracy(features, of) for of in labels.unbind(1)]
        scores = dict(zip(self.source.attributes, found, strict=True)) if len(found) > 1 else {}
        return {**scores, "accuracy": sum(found) / len(found)}

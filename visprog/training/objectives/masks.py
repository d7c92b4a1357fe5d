"""Masks from points and boxes, as SAM learns them (Kirillov et al. 2023, arXiv:2304.02643): as if a person corrected
them by clicks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from visprog.models.nn import mask_iou
from visprog.models.sam.predictor import sam_image_processor
from visprog.models.sam.training import interactive_losses, interactive_rounds, mask_boxes, random_points

from ..data.samples import BadSample, Masks
from ..data.source import Source
from ..init_from import init_model, load_start
from ..models import check_model, new_model, trained_source
from ..objective import Objective


@dataclass(frozen=True)
class MasksConfig:
    """Keys of the objective `masks`.

    Attributes:
        init_from: trained model to begin with: a folder, the name of a bundled model, or a hub id.
        prompts: number of masks that are asked for in each image.
        clicks: number of rounds of correction, besides two without a click; null for the first prompt alone.
        box_limit: greatest shift of a prompted box's corner, in pixels.
        wta_eps: share of the loss that masks other than the best one get.
        every_iou: whether the predicted quality of every mask is learned, and not of the best one alone.
    """

    init_from: str | None = None
    prompts: int = 8
    clicks: int | None = 8
    box_limit: float = 20.0
    wta_eps: float = 0.0
    every_iou: bool = False


class InteractiveMasks(Objective):
    """Interactive segmentation. A batch holds "images" (n, 3, S, S) and "targets" bool (n, prompts, S, S).

    Scores are mean IoUs of the answers to one box, and to one point in the object: of the mask that the model itself
    rates best, and of the best of its masks.
    """

    Config: ClassVar[Any] = MasksConfig
    sample_type = Masks
    needs = ("image_encoder", "prompt_encoder", "mask_decoder")
    metric = "box"

    def __init__(self, config: MasksConfig, model: Any, source: Source) -> None:
        super().__init__(config, model, source)
        self.model = new_model(model) if model else load_start(trained_source(config.init_from))
        check_model(self.model, "masks", self.needs)
        if model:
            init_model(self.model, config.init_from)
        shape = self.model.config
        self.size = size = shape.image_size
        self.image_processor = sam_image_processor(size)
        if model is not None and source.square:
            # Images that are not square have more patches later, and are neither padded nor made smaller.
            self.image_processor = replace(
                self.image_processor, shortest=size, longest=4 * size, divisor=shape.patch, pad=None
            )

    def prepare(
        self, sample: Masks, rng: np.random.Generator, train: bool
    ) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """An image, its longer side S, and `prompts` of its masks (prompts, S, S), padded on the right and below."""
        image = self.image_processor.fit(sample.image)
        height, width = image.shape[:2]
        rows, columns = (
            (np.arange(new) + 0.5) * old // new
            for new, old in zip((height, width), sample.image.shape[:2], strict=True)
        )
        masks = sample.masks[~sample.crowd][:, rows.astype(int)][:, :, columns.astype(int)]
        masks = masks[masks.any((1, 2))]
        if not len(masks):
            raise BadSample(sample.name, f"it has no mask that is seen at {width} x {height} pixels")
        masks = np.pad(masks, ((0, 0), (0, self.size - height), (0, self.size - width)))
        return image, some(masks, self.config.prompts, rng)

    def collate(self, samples: list[Any], train: bool) -> dict[str, Tensor]:
        images, masks = zip(*samples, strict=True)
        return {"images": self.image_processor(images), "targets": torch.from_numpy(np.stack(masks))}

    def loss(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        config = self.config
        rounds = [] if config.clicks is None else interactive_rounds(config.clicks)
        answers = interactive_losses(
            self.model,
            batch["images"],
            batch["targets"],
            rounds,
            box_limit=config.box_limit,
            wta_eps=config.wta_eps,
            every_iou=config.every_iou,
        )
        return {
            "loss": torch.stack([answer.loss for answer in answers]).mean(),
            "focal": answers[0].focal,
            "dice": answers[0].dice,
            "iou_error": answers[0].iou_error,
            "first_iou": answers[0].iou.mean(),
            "last_iou": answers[-1].iou.mean(),
        }

    def predict(self, batch: dict[str, Tensor]) -> Mapping[str, Tensor]:
        targets = batch["targets"]
        embeddings, _ = self.model.image_encoder(batch["images"])

        def ious(**prompts: Any) -> tuple[Tensor, Tensor]:
            output = self.model(image_embeddings=embeddings, **prompts)
            masks = F.interpolate(output.masks.flatten(0, 1), targets.shape[-2:], mode="bilinear") > 0
            found = mask_iou(masks.view(*output.masks.shape[:3], *masks.shape[2:]), targets[:, :, None])
            return found, found.gather(-1, output.iou_predictions.argmax(-1, keepdim=True))[..., 0]

        by_box, best_by_box = ious(boxes=mask_boxes(targets))
        by_point, best_by_point = ious(points=random_points(targets)[:, :, None])
        return {
            "box": best_by_box,
            "box_best": by_box.amax(-1),
            "point": best_by_point,
            "point_best": by_point.amax(-1),
        }

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return {name: float(ious.mean()) for name, ious in predictions.items()}

    def amounts(self, batch: dict[str, Tensor]) -> Mapping[str, int]:
        targets = batch["targets"]
        return {**super().amounts(batch), "masks": targets.shape[0] * targets.shape[1]}


def some(masks: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Some of the masks: each as often as any other, as far as numbers allow."""
    order = [i for _ in range(-(-count // len(masks))) for i in rng.permutation(len(masks))]
    return masks[order[:count]]

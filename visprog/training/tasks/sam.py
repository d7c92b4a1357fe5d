"""SAM: masks from points and boxes, trained as if a person corrected them by clicks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from visprog.models.nn import mask_iou
from visprog.models.sam.model import Sam, SamConfig
from visprog.models.sam.predictor import sam_image_processor
from visprog.models.sam.training import interactive_losses, interactive_rounds, mask_boxes, random_points

from ...scenes import Scenes
from ..data.detection import Detections
from ..data.samples import BadSample, DataError
from ..task import Task
from .annotated import AnnotatedConfig, open_annotated


@dataclass(frozen=True)
class SamTaskConfig(AnnotatedConfig):
    """What a recipe says of SAM: it learns from the masks of `data`, in COCO's format, or from scenes.

    Attributes:
        model: its shape.
        checkpoint: a folder or hub id to start from, in place of `model`.
        scenes: how many scenes there are to train on.
        nested: share of scenes with a thing on a thing, where a point may mean either.
        style: of the scenes, as in `Scenes`.
        backgrounds: folder of photographs behind half of the scenes.
        prompts: masks asked for in each image.
        clicks: rounds of correction, besides two without a click; null for the first prompt alone.
        box_limit, wta_eps, every_iou: as in `interactive_losses`.
    """

    model: SamConfig = field(default_factory=SamConfig)
    checkpoint: str | None = None
    scenes: int = 100_000
    nested: float = 0.1
    style: str | None = "mixed"
    backgrounds: Path | None = None
    prompts: int = 8
    clicks: int | None = 8
    box_limit: float = 20.0
    wta_eps: float = 0.0
    every_iou: bool = False


class SceneMasks:
    """Scenes and `prompts` of their masks each. A sample is uint8 (S, S, 3) and bool (prompts, S, S)."""

    def __init__(self, task: SamTask, split: str, count: int) -> None:
        config, size = task.config, task.model.config.image_size
        self.scenes = Scenes(size=size, split=split, style=config.style, backgrounds=config.backgrounds)
        self.nested, self.prompts, self.count = config.nested, config.prompts, count
        self.pixels = task.pixels

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """A scene, and some of its masks."""
        nested = rng.random() < self.nested
        scene = self.scenes.nested(key) if nested else self.scenes[key]
        masks = scene.silhouettes if nested else scene.masks
        return scene.pixels, some(masks, self.prompts, rng)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """Images (batch, 3, S, S) and targets (batch, prompts, S, S)."""
        pictures, masks = zip(*samples, strict=True)
        return {"images": self.pixels(pictures), "targets": torch.from_numpy(np.stack(masks))}


class FileMasks:
    """Images of a data set and `prompts` of their masks each, as `SceneMasks`: the longer side is S, the rest is
    padded on the right and below."""

    def __init__(self, task: SamTask, found: Detections) -> None:
        self.found, self.prompts, self.pixels = found, task.config.prompts, task.pixels
        self.size = task.model.config.image_size

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, key: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """An image, and some of its masks. Raises `BadSample` if it has none that can be seen at this size."""
        masked = self.found.masked(key)
        image = self.pixels.fit(masked.image)
        height, width = image.shape[:2]
        rows, columns = (
            (np.arange(new) + 0.5) * old // new
            for new, old in zip((height, width), masked.image.shape[:2], strict=True)
        )
        masks = masked.masks[~masked.crowd][:, rows.astype(int)][:, :, columns.astype(int)]
        masks = masks[masks.any((1, 2))]
        if not len(masks):
            raise BadSample(masked.name, f"it has no mask that is seen at {width} x {height} pixels")
        masks = np.pad(masks, ((0, 0), (0, self.size - height), (0, self.size - width)))
        return image, some(masks, self.prompts, rng)

    def collate(self, samples: list[Any]) -> dict[str, Tensor]:
        """As `SceneMasks.collate`."""
        images, masks = zip(*samples, strict=True)
        return {"images": self.pixels(images), "targets": torch.from_numpy(np.stack(masks))}


def some(masks: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Some of the masks: each as often as any other, as far as numbers allow."""
    order = [i for _ in range(-(-count // len(masks))) for i in rng.permutation(len(masks))]
    return masks[order[:count]]


class SamTask(Task):
    """Interactive segmentation (Kirillov et al. 2023). Scores are mean IoUs of the answers to one box, and to
    one point in the thing: of the mask that the model itself rates best, and of the best of its masks."""

    Config: ClassVar[Any] = SamTaskConfig
    metric: ClassVar[str] = "box"
    model: Sam

    def __init__(self, config: SamTaskConfig) -> None:
        super().__init__(config)
        self.model = Sam.from_pretrained(config.checkpoint) if config.checkpoint else Sam(config.model)
        size, patch = self.model.config.image_size, self.model.config.patch
        self.pixels = sam_image_processor(size)
        self.found = None if config.data is None else open_annotated(config, config.data)
        if self.found and not all(part.has_masks for part in self.found):
            raise DataError(
                f'{config.data} has boxes alone: SAM learns from masks, as COCO\'s "segmentation"'
            )
        if not config.checkpoint and not self.found:
            # Pictures that are not square have more patches, and are neither padded nor made smaller.
            self.pixels = replace(self.pixels, shortest=size, longest=4 * size, divisor=patch, pad=None)

    def data(self, split: Literal["train", "val"]) -> SceneMasks | FileMasks:
        if self.found:
            return FileMasks(self, self.found[split == "val"])
        return SceneMasks(self, split, self.config.scenes if split == "train" else 256)

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

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder, torch.float16)
        self.pixels.save_pretrained(folder)

    def blocks(self) -> Sequence[nn.Module]:
        return [*self.model.image_encoder.blocks, *self.model.mask_decoder.blocks]

    def amounts(self, batch: dict[str, Tensor]) -> Mapping[str, int]:
        return {
            "images": len(batch["images"]),
            "masks": batch["targets"].shape[0] * batch["targets"].shape[1],
        }

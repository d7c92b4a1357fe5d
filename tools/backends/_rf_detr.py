"""Images for RF-DETR without torchvision, and what its outputs mean.

Other than DETR, it was trained on images that are first scaled to 0…1 and then resized, linearly and without a filter
against aliasing (`RfDetrImageProcessor` of transformers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

BILINEAR = 2
"""PIL's number for it."""

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class RfDetrProcessor:
    """Prepares images, and reads the outputs of the network.

    Args:
        settings: The object in `preprocessor_config.json`.

    Raises:
        ValueError: It has a size that is not implemented.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        size = settings.get("size")
        size = {"height": size, "width": size} if isinstance(size, int) else size or {}
        self.size = int(size.get("height") or 0), int(size.get("width") or 0)
        if settings.get("do_resize", True) and not all(self.size):
            raise ValueError(f"size {size} of an RF-DETR is not implemented, only a height and a width")
        if settings.get("resample", BILINEAR) != BILINEAR:
            raise ValueError(f"resample {settings['resample']} of an RF-DETR is not implemented")
        self.scale = (
            float(settings.get("rescale_factor", 1 / 255)) if settings.get("do_rescale", True) else 1.0
        )
        self.resizes, self.normalises = settings.get("do_resize", True), settings.get("do_normalize", True)
        self.mean = torch.tensor(settings.get("image_mean") or IMAGENET_MEAN).view(3, 1, 1)
        self.std = torch.tensor(settings.get("image_std") or IMAGENET_STD).view(3, 1, 1)

    def __call__(self, images: Sequence[PIL.Image.Image], return_tensors: str = "pt") -> dict[str, Tensor]:
        """Images of one size → `pixel_values` (n, 3, height, width) and `pixel_mask` (n, height, width), all 1."""
        planes = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in images])
        values = planes.float() * self.scale
        if self.resizes:
            values = F.interpolate(values, self.size, mode="bilinear", align_corners=False)
        if self.normalises:
            values = (values - self.mean) / self.std
        return {
            "pixel_values": values,
            "pixel_mask": torch.ones(len(values), *values.shape[2:], dtype=torch.int64),
        }

    def post_process_object_detection(
        self, outputs: Any, threshold: float, target_sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """`boxes`, `scores` and `labels` of each image, best first.

        Args:
            outputs: `logits` (n, queries, classes) and `pred_boxes` (n, queries, 4), as centre and size in shares.
            target_sizes: Height and width of each image.
        """
        classes = outputs.logits.shape[2]
        scores, places = outputs.logits.sigmoid().flatten(1).topk(outputs.logits.shape[1], dim=1)
        centers, sizes = outputs.pred_boxes[..., :2], outputs.pred_boxes[..., 2:]
        corners = torch.cat([centers - sizes / 2, centers + sizes / 2], -1)
        found = []
        for row, score, place, (height, width) in zip(corners, scores, places, target_sizes, strict=True):
            keep = score > threshold
            boxes = row[place[keep] // classes] * torch.tensor([width, height, width, height])
            found.append({"boxes": boxes, "scores": score[keep], "labels": place[keep] % classes})
        return found

"""Images for RF-DETR without torchvision, and what its outputs mean (`RfDetrImageProcessor` of transformers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from .image_processor import ImageProcessor


class RfDetrProcessor:
    """Prepares images, and reads the outputs of the network.

    Args:
        settings: The object in `preprocessor_config.json`.

    Raises:
        ValueError: It has a size that is not implemented.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.image_processor = ImageProcessor.from_hub(
            {**settings, "image_processor_type": "RfDetrImageProcessor"}
        )

    def __call__(self, images: Sequence[PIL.Image.Image], return_tensors: str = "pt") -> dict[str, Tensor]:
        """Images of one size → `pixel_values` (n, 3, height, width) and `pixel_mask` (n, height, width), all 1."""
        values = self.image_processor([np.array(image) for image in images])
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

"""Images for Depth Pro (Bochkovskii et al., 2024) without torchvision, and what its outputs mean
(`DepthProImageProcessor` of transformers)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torch.nn import functional

from .image_processor import ImageProcessor


class DepthProProcessor:
    """Prepares images, and reads the outputs of the network.

    Args:
        settings: The object in `preprocessor_config.json`.

    Raises:
        ValueError: It has a size or a filter that is not implemented.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.image_processor = ImageProcessor.from_hub(
            {**settings, "image_processor_type": "DepthProImageProcessor"}
        )

    def __call__(self, images: Sequence[PIL.Image.Image], return_tensors: str = "pt") -> dict[str, Tensor]:
        """Images → `pixel_values` (n, 3, height, width)."""
        return {"pixel_values": self.image_processor([np.array(image) for image in images])}

    def post_process_depth_estimation(
        self, outputs: Any, target_sizes: Sequence[tuple[int, int]]
    ) -> list[dict[str, Tensor]]:
        """`predicted_depth` (height, width) of each image: metres if the network tells the field of view.

        Args:
            outputs: `predicted_depth` (n, rows, columns), which is inverse and for a focal length of the image's width,
                and `field_of_view` (n) in degrees or None.
            target_sizes: Height and width of each image.
        """
        found = []
        for i, size in enumerate(target_sizes):
            inverse = outputs.predicted_depth[i].float()
            if outputs.field_of_view is not None:
                inverse = inverse * 2 * torch.tan(0.5 * torch.deg2rad(outputs.field_of_view[i].float()))
            scaled = functional.interpolate(inverse[None, None], size, mode="bilinear", align_corners=False)
            found.append({"predicted_depth": 1 / scaled[0, 0].clamp(1e-4, 1e4)})
        return found

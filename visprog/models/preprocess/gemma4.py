"""Images for Gemma 4 without torchvision.

An image is resized, its aspect ratio kept as far as whole tokens allow, and cut into patches (`Gemma4ImageProcessor`
and `Gemma4UnifiedImageProcessor` of transformers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F

from .resample import BICUBIC


class Gemma4ImageProcessor:
    """Prepares images for a model with an image encoder, which sees several patches per token.

    Args:
        settings: The object in `preprocessor_config.json`.

    Raises:
        ValueError: It has a setting that is not implemented.
    """

    patches_per_side: int | None = None
    """Rows and columns of the patches of a token; None for those that its encoder pools."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.patch_size = int(settings.get("patch_size") or 16)
        self.pooling_kernel_size = int(settings.get("pooling_kernel_size") or 3)
        self.max_soft_tokens = int(settings.get("max_soft_tokens") or 280)
        self.side = self.patch_size * self.pooling_kernel_size
        """Side in pixels of what one token stands for."""
        self.split = self.patches_per_side or self.pooling_kernel_size
        if settings.get("resample") not in (None, BICUBIC):
            raise ValueError(f"resample {settings['resample']} of a Gemma 4 is not implemented")
        if settings.get("do_resize") not in (None, True) or settings.get("do_normalize"):
            raise ValueError("do_resize = false or do_normalize = true of a Gemma 4 is not implemented")
        rescales = settings.get("do_rescale") in (None, True)
        self.scale = float(settings.get("rescale_factor") or 1 / 255) if rescales else 1.0

    def fetch_images(self, images: Any) -> Any:
        """The images as they are: nothing is fetched."""
        return images

    def __call__(self, images: Sequence[Sequence[PIL.Image.Image]], **_: Any) -> dict[str, Any]:
        """Images, in a list per prompt.

        Returns:
            `pixel_values` (images, patches, 3 patch²), filled up with 0; `image_position_ids` (images, patches, 2),
            column and row of each patch, -1 for filling; and `num_soft_tokens_per_image`.
        """
        patches, places, counts = [], [], []
        for image in (image for prompt in images for image in prompt):
            plane = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
            size = self.size_of(*plane.shape[1:])
            if plane.shape[1:] != size:
                plane = F.interpolate(plane[None], size, mode="bicubic", antialias=True)[0]
            side = self.side // self.split
            rows, columns = size[0] // side, size[1] // side
            cut = (plane.float() * self.scale).view(3, rows, side, columns, side).permute(1, 3, 2, 4, 0)
            missing = self.max_soft_tokens * self.split**2 - rows * columns
            place = torch.cartesian_prod(torch.arange(rows), torch.arange(columns)).flip(1)
            patches.append(F.pad(cut.reshape(rows * columns, -1), (0, 0, 0, missing)))
            places.append(F.pad(place, (0, 0, 0, missing), value=-1))
            counts.append(rows * columns // self.split**2)
        return {
            "pixel_values": torch.stack(patches),
            "image_position_ids": torch.stack(places),
            "num_soft_tokens_per_image": counts,
        }

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which an image is resized: the largest of its aspect ratio that are multiples of `side`
        and take at most `max_soft_tokens` tokens."""
        scale = math.sqrt(self.max_soft_tokens * self.side**2 / (height * width))
        rows, columns = (math.floor(scale * length / self.side) for length in (height, width))
        if not rows:
            rows, columns = 1, min(width // height, self.max_soft_tokens)
        elif not columns:
            rows, columns = min(height // width, self.max_soft_tokens), 1
        return rows * self.side, columns * self.side


class Gemma4UnifiedImageProcessor(Gemma4ImageProcessor):
    """Prepares images for the unified model (12B), which has no image encoder, and sees one patch per token."""

    patches_per_side = 1

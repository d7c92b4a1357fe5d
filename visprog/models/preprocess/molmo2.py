"""Images for Molmo2 (Clark et al., 2026) without torchvision.

An image is seen twice: as a whole, and as overlapping square crops of a larger copy of it. Both are resized in floating
point, linearly and without a filter against aliasing (`Molmo2ImageProcessor` of transformers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from .resample import BILINEAR


class Molmo2ImageProcessor:
    """Prepares images.

    Args:
        settings: The object in `preprocessor_config.json`.

    Raises:
        ValueError: It has a setting that is not implemented.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        size = settings.get("size") or {"height": 378, "width": 378}
        self.side = int(size.get("height") or 0)
        self.patch = int(settings.get("patch_size") or 14)
        self.pooling: tuple[int, int] = tuple(settings.get("pooling_size") or (2, 2))
        self.margins: tuple[int, int] = tuple(settings.get("overlap_margins") or (4, 4))
        self.max_crops = int(settings.get("max_crops") or 8)
        if not self.side or self.side != size.get("width") or self.side % self.patch:
            raise ValueError(f"size {size} of a Molmo2 is not implemented, only squares of whole patches")
        if settings.get("resample") not in (None, BILINEAR):
            raise ValueError(f"resample {settings['resample']} of a Molmo2 is not implemented")
        for name in ("do_resize", "do_rescale", "do_normalize"):
            if settings.get(name) not in (None, True):
                raise ValueError(f"{name} = false of a Molmo2 is not implemented")
        levels = 1 / float(settings.get("rescale_factor") or 1 / 255)
        self.mean = torch.tensor(settings.get("image_mean") or [0.5] * 3).view(3, 1, 1) * levels
        self.std = torch.tensor(settings.get("image_std") or [0.5] * 3).view(3, 1, 1) * levels

    def fetch_images(self, images: Any) -> Any:
        """The images as they are: nothing is fetched."""
        return images

    def __call__(self, images: Sequence[Sequence[PIL.Image.Image]], **_: Any) -> dict[str, Tensor]:
        """Images, in a list per prompt.

        Returns:
            `pixel_values` (crops, patches, 3 patch²); `image_token_pooling` (tokens, patches per token), the patches,
            counted over all crops, that a token is made of, -1 for none; `image_grids` (images, 4), rows and columns of
            the tokens of the whole image, and of its crops; `image_num_crops` (images).
        """
        crops, pooling, grids, counts, first = [], [], [], [], 0
        for image in (image for prompt in images for image in prompt):
            patches, places, grid = self._prepare(image)
            pooling.append(torch.where(places >= 0, places + first, places))
            crops.append(patches)
            grids.append(grid)
            counts.append(len(patches))
            first += patches.shape[0] * patches.shape[1]
        return {
            "pixel_values": torch.cat(crops),
            "image_token_pooling": torch.cat(pooling),
            "image_grids": torch.tensor(grids),
            "image_num_crops": torch.tensor(counts),
        }

    def _prepare(self, image: PIL.Image.Image) -> tuple[Tensor, Tensor, tuple[int, int, int, int]]:
        """The patches (1 + crops, patches, 3 patch²) of an image, those of each of its tokens, and its grids."""
        plane = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
        in_crop = self.side // self.patch
        window = in_crop - sum(self.margins)
        margin = sum(self.margins) * self.patch
        tall, wide = select_tiling(
            plane.shape[1] - margin, plane.shape[2] - margin, window * self.patch, self.max_crops
        )
        canvas = self._resized(
            plane, (tall * window * self.patch + margin, wide * window * self.patch + margin)
        )
        step = window * self.patch
        crops = canvas.unfold(1, self.side, step).unfold(2, self.side, step)  # (3, tall, wide, side, side)
        crops = crops.permute(1, 2, 0, 3, 4).reshape(-1, 3, self.side, self.side)
        whole = self._resized(plane, (self.side, self.side))[None]

        once = torch.arange(in_crop**2, dtype=torch.int32).view(in_crop, in_crop)
        low, low_rows, low_columns = pool(once, *self.pooling)
        high, rows, columns = pool(self._patches_of(tall, wide, in_crop), *self.pooling)
        high = torch.where(high >= 0, high + in_crop**2, -1)  # the patches of the whole image come first
        pixels = torch.cat([whole, crops])
        patches = pixels.view(-1, 3, in_crop, self.patch, in_crop, self.patch).permute(0, 2, 4, 3, 5, 1)
        return (
            patches.reshape(len(pixels), in_crop**2, -1),
            torch.cat([low, high]),
            (low_rows, low_columns, rows, columns),
        )

    def _patches_of(self, tall: int, wide: int, in_crop: int) -> Tensor:
        """For each patch of the canvas (rows, columns), the one patch of the crops (tall, wide, in_crop, in_crop) that
        stands for it: of two that overlap, that which lies farther from the edge of its crop."""
        left, right = self.margins
        numbers = torch.arange(tall * wide * in_crop**2, dtype=torch.int32).view(tall, wide, in_crop, in_crop)
        numbers[1:, :, :left] = -1
        numbers[:, 1:, :, :left] = -1
        numbers[:-1, :, in_crop - right :] = -1
        numbers[:, :-1, :, in_crop - right :] = -1
        used = numbers.permute(0, 2, 1, 3).reshape(-1)
        window = in_crop - left - right
        return used[used >= 0].view(tall * window + left + right, wide * window + left + right)

    def _resized(self, plane: Tensor, size: tuple[int, int]) -> Tensor:
        """A plane (3, height, width) of levels at another size, normalised."""
        values = plane.float()
        if plane.shape[1:] != size:
            values = F.interpolate(values[None], size, mode="bilinear", align_corners=False)[0]
            values = values.round().clamp(0, 255)
        return (values - self.mean) / self.std


def select_tiling(height: int, width: int, window: int, max_crops: int) -> tuple[int, int]:
    """Rows and columns of the crops of an image: of the grids that are as large as the image, that which enlarges it
    least; if none is, that which reduces it least.

    Args:
        height, width: Size of the image without the margin of its crops.
        window: Side of a crop without its margins, in pixels.
        max_crops: Maximum number of crops.
    """
    sides = range(1, max_crops + 1)
    grids = [(rows, columns) for rows, columns in product(sides, sides) if rows * columns <= max_crops]
    grids.sort(key=lambda grid: (grid[0] * grid[1], grid[0]))
    scales = (torch.tensor(grids) * window).float() / torch.tensor([height, width], dtype=torch.float32)
    scale = scales.amin(dim=1)
    if (scale < 1).all():
        return grids[int(scale.argmax())]
    return grids[int(torch.where(scale < 1, torch.inf, scale).argmin())]


def pool(numbers: Tensor, height: int, width: int) -> tuple[Tensor, int, int]:
    """A grid (rows, columns) of patches in windows of `height` x `width`, filled up with -1 at its edges: the windows
    (windows, height width), and their rows and columns."""
    down, across = (-side % step for side, step in zip(numbers.shape, (height, width), strict=True))
    padded = F.pad(numbers, (across // 2, across - across // 2, down // 2, down - down // 2), value=-1)
    rows, columns = padded.shape[0] // height, padded.shape[1] // width
    windows = padded.view(rows, height, columns, width).permute(0, 2, 1, 3).reshape(rows * columns, -1)
    return windows, rows, columns

"""Images for LFM2-VL without torchvision.

A small image is resized to whole patches; a large one is cut into square tiles of a larger copy of it, and seen once
more as a whole (`Lfm2VlImageProcessor` of transformers).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import Tensor

from .resample import BILINEAR

DEFAULTS = {
    "downsample_factor": 2, "do_image_splitting": True, "min_tiles": 2, "max_tiles": 10, "use_thumbnail": True,
    "min_image_tokens": 64, "max_image_tokens": 256, "encoder_patch_size": 16, "tile_size": 512,
    "max_pixels_tolerance": 2.0,
}  # fmt: skip


class Lfm2VlImageProcessor:
    """Prepares images.

    Args:
        settings: The object in `preprocessor_config.json`.

    Raises:
        ValueError: It has a setting that is not implemented.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        given = {name: settings.get(name) for name in DEFAULTS}
        chosen: dict[str, Any] = {k: DEFAULTS[k] if v is None else v for k, v in given.items()}
        self.downsample_factor = int(chosen["downsample_factor"])
        self.encoder_patch_size = int(chosen["encoder_patch_size"])
        self.tile_size = int(chosen["tile_size"])
        self.use_thumbnail = bool(chosen["use_thumbnail"])
        splits = bool(chosen["do_image_splitting"])
        self.tiles = (int(chosen["min_tiles"]), int(chosen["max_tiles"])) if splits else (1, 1)
        self.tolerance = float(chosen["max_pixels_tolerance"])
        if self.tiles[0] > self.tiles[1]:
            raise ValueError(f"min_tiles {self.tiles[0]} of an LFM2-VL is more than its max_tiles")
        if settings.get("resample") not in (None, BILINEAR):
            raise ValueError(f"resample {settings['resample']} of an LFM2-VL is not implemented")
        for name in ("do_resize", "do_rescale", "do_normalize", "do_pad"):
            if settings.get(name) not in (None, True):
                raise ValueError(f"{name} = false of an LFM2-VL is not implemented")
        self.unit = self.encoder_patch_size * self.downsample_factor
        """Side in pixels of what one token stands for."""
        self.min_pixels = int(chosen["min_image_tokens"]) * self.unit**2
        self.max_pixels = int(chosen["max_image_tokens"]) * self.unit**2
        in_tile = (self.tile_size // self.encoder_patch_size) ** 2 if splits else 0
        self.patches = max(int(chosen["max_image_tokens"]) * self.downsample_factor**2, in_tile)
        levels = 1 / float(settings.get("rescale_factor") or 1 / 255)
        self.mean = torch.tensor(settings.get("image_mean") or [0.5] * 3).view(3, 1, 1) * levels
        self.std = torch.tensor(settings.get("image_std") or [0.5] * 3).view(3, 1, 1) * levels

    def fetch_images(self, images: Any) -> Any:
        """The images as they are: nothing is fetched."""
        return images

    def __call__(self, images: Sequence[Sequence[PIL.Image.Image]], **_: Any) -> dict[str, Any]:
        """Images, in a list per prompt.

        Returns:
            `pixel_values` (views, patches, 3 patch²), filled up with 0; `pixel_attention_mask` (views, patches), 1 for
            what is no filling; `spatial_shapes` (views, 2), rows and columns of the patches of a view; and per image
            `image_rows` and `image_cols` of its tiles, and `image_sizes`, height and width of the view of the whole.
        """
        views: list[Tensor] = []
        rows, columns, sizes = [], [], []
        for image in (image for prompt in images for image in prompt):
            plane = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)
            height, width = plane.shape[1:]
            size = self.whole_size(height, width)
            tall, wide = self.tiling(height, width)
            if (tall, wide) != (1, 1):
                views += self._tiles_of(plane, tall, wide)
            if (tall, wide) == (1, 1) or self.use_thumbnail:
                views.append(_resized(plane, size))
            rows.append(tall)
            columns.append(wide)
            sizes.append(list(size))
        patches = [self._patches_of(view) for view in views]
        length = max(self.patches, *(len(each) for each in patches))
        used = torch.tensor([len(each) for each in patches])
        shapes = [[side // self.encoder_patch_size for side in view.shape[1:]] for view in views]
        return {
            "pixel_values": torch.stack([F.pad(each, (0, 0, 0, length - len(each))) for each in patches]),
            "pixel_attention_mask": (torch.arange(length) < used[:, None]).int(),
            "spatial_shapes": torch.tensor(shapes),
            "image_rows": rows,
            "image_cols": columns,
            "image_sizes": sizes,
        }

    def whole_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width at which an image is seen as a whole: multiples of `unit` whose product is between
        `min_pixels` and `max_pixels`."""
        unit = self.unit
        tall, wide = (max(unit, round(side / unit) * unit) for side in (height, width))
        if tall * wide > self.max_pixels:
            shrink = math.sqrt(height * width / self.max_pixels)
            tall, wide = (max(unit, math.floor(side / shrink / unit) * unit) for side in (height, width))
        elif tall * wide < self.min_pixels:
            grow = math.sqrt(self.min_pixels / (height * width))
            tall, wide = (math.ceil(side * grow / unit) * unit for side in (height, width))
        return tall, wide

    def tiling(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of the tiles of an image; (1, 1) for one that is not cut."""
        tall, wide = (
            max(self.encoder_patch_size, round(side / self.unit) * self.unit) for side in (height, width)
        )
        if self.tiles == (1, 1) or tall * wide <= self.max_pixels * self.tolerance:
            return 1, 1
        least, most = self.tiles
        grids = {
            (wide, tall)
            for count in range(least, most + 1)
            for wide in range(1, count + 1)
            for tall in range(1, count + 1)
            if least <= wide * tall <= most
        }
        best, apart = (1, 1), math.inf
        for grid in sorted(grids, key=lambda grid: grid[0] * grid[1]):
            difference = abs(width / height - grid[0] / grid[1])
            larger = height * width > 0.5 * self.tile_size**2 * grid[0] * grid[1]
            if difference < apart or (difference == apart and larger):
                best, apart = grid, difference
        return best[1], best[0]

    def _tiles_of(self, plane: Tensor, rows: int, columns: int) -> list[Tensor]:
        """The tiles of an image (3, height, width), row by row."""
        side = self.tile_size
        whole = _resized(plane, (rows * side, columns * side)).view(3, rows, side, columns, side)
        return list(whole.permute(1, 3, 0, 2, 4).reshape(-1, 3, side, side))

    def _patches_of(self, view: Tensor) -> Tensor:
        """The patches (patches, 3 patch²) of a view (3, height, width) of levels, normalised."""
        size = self.encoder_patch_size
        values = ((view.float() - self.mean) / self.std).unfold(1, size, size).unfold(2, size, size)
        return values.permute(1, 2, 3, 4, 0).flatten(0, 1).flatten(1)


def _resized(plane: Tensor, size: tuple[int, int]) -> Tensor:
    """A plane (3, height, width) of levels at another size, as torchvision resizes levels."""
    if plane.shape[1:] == size:
        return plane
    return F.interpolate(plane[None], size, mode="bilinear", antialias=True)[0]

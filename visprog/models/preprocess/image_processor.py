"""Images to tensors: resized by PIL, cropped or padded, normalised, as a checkpoint was trained with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..checkpoint.checkpoint import read_json
from ..checkpoint.hub import locate
from ..checkpoint.weight_files import few
from .hub import CLIP_MEAN, CLIP_STD, hub_image_processor
from .resample import BICUBIC
from .resample import BILINEAR as BILINEAR
from .resample import resize as resize

ImageArray = NDArray[np.uint8]
"""(height, width, 3), RGB."""


@dataclass(frozen=True)
class ImageProcessor:
    """Prepares images as a model was trained with them; call it with images to get one tensor.

    Attributes:
        size: (height, width) that an image is stretched to; None to leave it, or to follow the next two.
        shortest: length of the shorter edge, the aspect ratio kept.
        longest: length of the longer edge, the aspect ratio kept; with `shortest`, its greatest length.
        divisor: number that edges which follow from the aspect ratio are rounded to multiples of.
        resample: number of the filter, one of those of `preprocess.resample`.
        crop: (height, width) cut from the centre, black around an image that is smaller.
        scale: factor of the levels 0…255.
        mean: level per channel that is then subtracted.
        std: number per channel that is then divided by.
        pad: (height, width) filled up with zeros at the right and the bottom, as the last step.
        square: whether the image is made square, as the first step.
        fill: colour of what is added to make it square; None to repeat the pixels of its edges.
        corner: whether it lies in the top left corner of its square, or in the middle.
    """

    size: tuple[int, int] | None = None
    shortest: int | None = None
    longest: int | None = None
    divisor: int = 1
    resample: int = BICUBIC
    crop: tuple[int, int] | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    pad: tuple[int, int] | None = None
    square: bool = False
    fill: tuple[int, ...] | None = None
    corner: bool = False

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> ImageProcessor:
        """From the settings of an image processor, the `preprocessor_config.json` of a hub checkpoint.

        Raises:
            ValueError: it is of a kind, or has a setting, that is not implemented; the message names it.
        """
        return cls(**hub_image_processor(raw))

    @classmethod
    def from_pretrained(cls, source: str | Path) -> ImageProcessor:
        """Load what `save_pretrained` wrote, or the image processor of a public checkpoint: `processor_config.json`, if
        it holds one, or `preprocessor_config.json`.

        Args:
            source: a folder, the name of a bundled model, or a hub id.

        Raises:
            ValueError: the folder has none of them, or one that is not implemented.
        """
        folder = locate(source)
        own, nested, hub = (
            folder / f"{name}.json" for name in ("image_processor", "processor_config", "preprocessor_config")
        )
        if own.is_file():
            raw = read_json(own)
            unknown = raw.keys() - {field.name for field in fields(cls)}
            if unknown:
                raise ValueError(f"{own}: {few(sorted(unknown))} is not known here")
            known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
            return cls(**known)
        for file in (nested, hub):
            raw = read_json(file) if file.is_file() else {}
            raw = raw.get("image_processor", {} if file == nested else raw)
            if raw:
                try:
                    return cls.from_hub(raw)
                except ValueError as error:
                    raise ValueError(f"{file}: {error}") from None
        raise ValueError(
            f"{source} does not say how images are prepared: preprocessor_config.json is missing"
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `image_processor.json`."""
        (Path(folder) / "image_processor.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

    @property
    def fixed(self) -> bool:
        """Whether all images come out with one size."""
        return bool(self.size or self.crop or self.pad)

    def __call__(self, images: Sequence[ImageArray]) -> Tensor:
        """N images → float32 (N, 3, height, width).

        Raises:
            ValueError: one is no uint8 array (height, width, 3), or they come out with several sizes.
        """
        planes = [torch.from_numpy(self._fit(image)) for image in images]
        if len({plane.shape for plane in planes}) > 1 and not self.fixed:
            raise ValueError("images of several sizes make no batch: give a size, a crop or a pad")
        return torch.stack([self._normalise(plane) for plane in planes])

    def fit(self, image: ImageArray) -> ImageArray:
        """An image resized and cropped, still uint8 (height, width, 3)."""
        return self._fit(image).round().astype(np.uint8, copy=False)

    def fit_boxes(self, boxes: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
        """Where boxes (n, 4) of an image lie in the image that `fit` makes of it; what lies outside is cut off.

        Args:
            size: height and width of the image.
        """
        height, width = size
        left = top = 0
        if self.square:
            side = max(height, width)
            left, top = (0, 0) if self.corner else ((side - width) // 2, (side - height) // 2)
            height = width = side
        rows, columns = self._target(height, width)
        scale = np.array([columns / width, rows / height] * 2)
        placed = (boxes + [left, top] * 2) * scale
        if self.crop is not None:
            placed += [(self.crop[1] - columns + 1) // 2, (self.crop[0] - rows + 1) // 2] * 2
            rows, columns = self.crop
        fitted: NDArray[np.float32] = placed.clip(0, [columns, rows] * 2).astype(np.float32)
        return fitted

    def _fit(self, image: ImageArray) -> NDArray[Any]:
        """As `fit`, but not rounded."""
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"an image is a uint8 array (height, width, 3), not {image.dtype} {image.shape}")
        if self.square:
            image = pad_to_square(image, fill=self.fill, corner=self.corner)
        resized = resize(image, self._target(image.shape[0], image.shape[1]), self.resample)
        return resized if self.crop is None else centre_crop(resized, self.crop)

    def _target(self, height: int, width: int) -> tuple[int, int]:
        if self.size is not None:
            return self.size
        ratio = max(height, width) / min(height, width)
        if self.longest is not None and (self.shortest is None or self.shortest * ratio > self.longest):
            factor = self.longest / max(height, width)
            return self._whole(height * factor), self._whole(width * factor)
        if self.shortest is not None:
            longer = self.shortest * ratio
            longer = self._whole(longer) if self.divisor > 1 else int(longer)
            return (longer, self.shortest) if width <= height else (self.shortest, longer)
        return height, width

    def _whole(self, edge: float) -> int:
        return max(int(edge / self.divisor + 0.5), 1) * self.divisor

    def _normalise(self, plane: Tensor) -> Tensor:
        values = plane.permute(2, 0, 1).float() * self.scale
        values = (values - torch.tensor(self.mean).view(-1, 1, 1)) / torch.tensor(self.std).view(-1, 1, 1)
        if self.pad is None:
            return values
        bottom, right = self.pad[0] - values.shape[1], self.pad[1] - values.shape[2]
        if bottom < 0 or right < 0:
            raise ValueError(
                f"an image of {values.shape[2]} x {values.shape[1]} does not fit into {self.pad[1]} x {self.pad[0]}"
            )
        return torch.nn.functional.pad(values, (0, right, 0, bottom))


def pad_to_square(
    image: ImageArray, times: float = 1.0, fill: tuple[int, ...] | None = None, corner: bool = False
) -> ImageArray:
    """Put an image into a square of `times` its longer side, in the middle or in the top left corner.

    What is added has the colour `fill` or, if that is None, repeats the pixels of the image's edges. A square that is
    smaller than a side is not cut.
    """
    height, width = image.shape[:2]
    side = round(times * max(height, width))
    down, across = max(side - height, 0), max(side - width, 0)
    above, left = (0, 0) if corner else (down // 2, across // 2)
    if fill is None:
        return np.pad(image, ((above, down - above), (left, across - left), (0, 0)), mode="edge")
    canvas = np.full((height + down, width + across, 3), fill, np.uint8)
    canvas[above : above + height, left : left + width] = image
    return canvas


def centre_crop(image: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """The (height, width) in the middle of an image, black beyond its edges."""
    out = np.zeros((*size, 3), image.dtype)
    source, target = [], []
    for have, want in zip(image.shape[:2], size, strict=True):
        count = min(have, want)
        start, gap = (have - count) // 2, want - count
        begin = (gap + 1) // 2  # of an odd gap, the larger part comes first
        source.append(slice(start, start + count))
        target.append(slice(begin, begin + count))
    out[target[0], target[1]] = image[source[0], source[1]]
    return out

"""Pictures to tensors: resized by PIL, cropped or padded, normalised, as a checkpoint was trained with."""

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
from ..checkpoint.weights import few
from .hub import CLIP_MEAN, CLIP_STD, hub_pixels
from .resample import BICUBIC
from .resample import BILINEAR as BILINEAR
from .resample import resize as resize

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""


@dataclass(frozen=True)
class Pixels:
    """How a model wants its pictures; call it with some to get them as one tensor.

    Attributes:
        size: (height, width), made so by stretching; None: left as it is, or by one of the next two.
        shortest: of the shorter edge, the aspect ratio kept.
        longest: of the longer edge, likewise; with `shortest`, what it may have at most.
        divisor: of edges that follow from the aspect ratio: they are rounded to multiples of it.
        resample: PIL's number of the filter, or `GAUSSIAN`.
        crop: (height, width) from the centre, black around a picture that is smaller.
        scale: what 0…255 is multiplied by.
        mean: then taken off, a channel each.
        std: then divided by.
        pad: (height, width), filled up with zeros at the right and the bottom, last of all.
        square: made square, before all else.
        fill: colour of what is added to make it square; None: its edges are drawn out.
        corner: whether it lies in the top left corner of its square; else in the middle.
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
    def from_hub(cls, raw: dict[str, Any]) -> Pixels:
        """From the settings of an image processor, the `preprocessor_config.json` of a hub checkpoint.

        Raises:
            ValueError: it is of a kind, or has a setting, that is not implemented; the message names it.
        """
        return cls(**hub_pixels(raw))

    @classmethod
    def load(cls, folder: str | Path) -> Pixels:
        """What `save` wrote, or the image processor of a hub checkpoint: `processor_config.json`, if it holds one, or
        `preprocessor_config.json`.

        Raises:
            ValueError: the folder has none of them, or one that is not implemented.
        """
        own, nested, hub = (
            Path(folder) / f"{name}.json" for name in ("pixels", "processor_config", "preprocessor_config")
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
            f"{folder} does not say how pictures are prepared: preprocessor_config.json is missing"
        )

    def save(self, folder: str | Path) -> None:
        """Write `pixels.json`."""
        (Path(folder) / "pixels.json").write_text(json.dumps(asdict(self), indent=1) + "\n")

    @property
    def fixed(self) -> bool:
        """True if all pictures come out with one size."""
        return bool(self.size or self.crop or self.pad)

    def __call__(self, pictures: Sequence[Picture]) -> Tensor:
        """N pictures → float32 (N, 3, height, width).

        Raises:
            ValueError: one is no uint8 array (height, width, 3), or they come out with several sizes.
        """
        planes = [torch.from_numpy(self._fit(picture)) for picture in pictures]
        if len({plane.shape for plane in planes}) > 1 and not self.fixed:
            raise ValueError("pictures of several sizes make no batch: give a size, a crop or a pad")
        return torch.stack([self._normalise(plane) for plane in planes])

    def fit(self, picture: Picture) -> Picture:
        """A picture resized and cropped, still uint8 (height, width, 3)."""
        return self._fit(picture).round().astype(np.uint8, copy=False)

    def _fit(self, picture: Picture) -> NDArray[Any]:
        """As `fit`, but not rounded."""
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"a picture is a uint8 array (height, width, 3), not {picture.dtype} {picture.shape}"
            )
        if self.square:
            picture = framed(picture, fill=self.fill, corner=self.corner)
        resized = resize(picture, self._target(picture.shape[0], picture.shape[1]), self.resample)
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
                f"a picture of {values.shape[2]} x {values.shape[1]} does not fit into {self.pad[1]} x {self.pad[0]}"
            )
        return torch.nn.functional.pad(values, (0, right, 0, bottom))


def framed(
    picture: Picture, times: float = 1.0, fill: tuple[int, ...] | None = None, corner: bool = False
) -> Picture:
    """A picture in the middle of a square, or in its top left corner, `times` its longer side, with a colour or its
    edges drawn out to the square's; as it is, where there is no room."""
    height, width = picture.shape[:2]
    side = round(times * max(height, width))
    down, across = max(side - height, 0), max(side - width, 0)
    above, left = (0, 0) if corner else (down // 2, across // 2)
    if fill is None:
        return np.pad(picture, ((above, down - above), (left, across - left), (0, 0)), mode="edge")
    canvas = np.full((height + down, width + across, 3), fill, np.uint8)
    canvas[above : above + height, left : left + width] = picture
    return canvas


def centre_crop(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """The (height, width) in the middle of a picture, black where there is no picture."""
    out = np.zeros((*size, 3), picture.dtype)
    source, target = [], []
    for have, want in zip(picture.shape[:2], size, strict=True):
        count = min(have, want)
        start, gap = (have - count) // 2, want - count
        begin = (gap + 1) // 2  # of an odd gap, the larger part comes first
        source.append(slice(start, start + count))
        target.append(slice(begin, begin + count))
    out[target[0], target[1]] = picture[source[0], source[1]]
    return out

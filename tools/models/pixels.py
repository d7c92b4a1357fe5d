"""Pictures to tensors: resized by PIL, cropped or padded, normalised, as a checkpoint was trained with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.uint8]
"""(height, width, 3), RGB."""

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
NEAREST, LANCZOS, BILINEAR, BICUBIC, BOX, HAMMING = range(6)
"""PIL's numbers for its filters."""


@dataclass(frozen=True)
class Pixels:
    """How a model wants its pictures; call it with some to get them as one tensor.

    Attributes:
        size: (height, width), made so by stretching; None: left as it is, or by one of the next two.
        shortest: of the shorter edge, the aspect ratio kept.
        longest: of the longer edge, likewise; with `shortest`, what it may have at most.
        divisor: of edges that follow from the aspect ratio: they are rounded to multiples of it.
        resample: PIL's number of the filter.
        crop: (height, width) from the centre, black around a picture that is smaller.
        scale: what 0…255 is multiplied by.
        mean: then taken off, a channel each.
        std: then divided by.
        pad: (height, width), filled up with zeros at the right and the bottom, last of all.
        square: made square, before all else, by drawing out the edges.
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

    @classmethod
    def from_hub(cls, raw: dict[str, Any]) -> Pixels:
        """From the `preprocessor_config.json` of a hub checkpoint.

        Raises:
            ValueError: it has no size that is understood.
        """
        size: dict[str, int] = {}
        if raw.get("do_resize", True):
            given = raw.get("size", {"shortest_edge": 224})
            kind = raw.get("image_processor_type") or raw.get("feature_extractor_type") or ""
            if isinstance(given, int) and not kind.startswith("Owl"):
                given = {"shortest_edge": given}
            size = (
                given
                if isinstance(given, dict)
                else dict(zip(("height", "width"), _pair(given), strict=True))
            )
            if set(size) not in ({"height", "width"}, {"shortest_edge"}, {"longest_edge"}):
                raise ValueError(
                    f"preprocessor_config.json: {given} is no size of pictures that is known here"
                )
        normalise = raw.get("do_normalize", True)
        return cls(
            size=(size["height"], size["width"]) if "height" in size else None,
            shortest=size.get("shortest_edge"),
            longest=size.get("longest_edge"),
            resample=int(raw.get("resample", BICUBIC)),
            crop=_pair(raw.get("crop_size", 224)) if raw.get("do_center_crop", False) else None,
            scale=raw.get("rescale_factor", 1 / 255) if raw.get("do_rescale", True) else 1.0,
            mean=tuple(raw.get("image_mean", CLIP_MEAN)) if normalise else (0.0, 0.0, 0.0),
            std=tuple(raw.get("image_std", CLIP_STD)) if normalise else (1.0, 1.0, 1.0),
            pad=_pair(raw["pad_size"]) if raw.get("do_pad") and raw.get("pad_size") else None,
        )

    @classmethod
    def load(cls, folder: str | Path) -> Pixels:
        """What `save` wrote, or a hub checkpoint's `preprocessor_config.json`.

        Raises:
            ValueError: the folder has neither.
        """
        own, hub = Path(folder) / "pixels.json", Path(folder) / "preprocessor_config.json"
        if own.is_file():
            raw = json.loads(own.read_text())
            known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
            return cls(**known)
        if hub.is_file():
            return cls.from_hub(json.loads(hub.read_text()))
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
        planes = [torch.from_numpy(self.fit(picture)) for picture in pictures]
        if len({plane.shape for plane in planes}) > 1 and not self.fixed:
            raise ValueError("pictures of several sizes make no batch: give a size, a crop or a pad")
        return torch.stack([self._normalise(plane) for plane in planes])

    def fit(self, picture: Picture) -> Picture:
        """A picture resized and cropped, still uint8 (height, width, 3)."""
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise ValueError(
                f"a picture is a uint8 array (height, width, 3), not {picture.dtype} {picture.shape}"
            )
        if self.square:
            picture = framed(picture)
        picture = resize(picture, self._target(picture.shape[0], picture.shape[1]), self.resample)
        return picture if self.crop is None else centre_crop(picture, self.crop)

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


def resize(picture: Picture, size: tuple[int, int], resample: int = BICUBIC) -> Picture:
    """A picture stretched to (height, width) by PIL."""
    if picture.shape[:2] == size:
        return np.array(picture)
    import PIL.Image

    image = PIL.Image.fromarray(picture).resize(size[::-1], PIL.Image.Resampling(resample))
    return np.array(image)


def framed(picture: Picture, times: float = 1.0) -> Picture:
    """A picture in the middle of a square, `times` its longer side, with its edges drawn out to the square's; as it is,
    where there is no room."""
    height, width = picture.shape[:2]
    side = round(times * max(height, width))
    down, across = max(side - height, 0), max(side - width, 0)
    above, left = down // 2, across // 2
    return np.pad(picture, ((above, down - above), (left, across - left), (0, 0)), mode="edge")


def centre_crop(picture: Picture, size: tuple[int, int]) -> Picture:
    """The (height, width) in the middle of a picture, black where there is no picture."""
    out = np.zeros((*size, 3), np.uint8)
    source, target = [], []
    for have, want in zip(picture.shape[:2], size, strict=True):
        count = min(have, want)
        start, gap = (have - count) // 2, want - count
        begin = (gap + 1) // 2  # of an odd gap, the larger part comes first
        source.append(slice(start, start + count))
        target.append(slice(begin, begin + count))
    out[target[0], target[1]] = picture[source[0], source[1]]
    return out


def _pair(size: int | list[int] | dict[str, int]) -> tuple[int, int]:
    if isinstance(size, dict):
        return size["height"], size["width"]
    return (size, size) if isinstance(size, int) else (size[0], size[1])

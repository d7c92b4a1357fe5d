"""Whether an image is of the kind that a model was taught: small models answer surely whatever they are shown.

`taught.json` in a model's folder says what that was; a folder without it is asked about any image. The bundled models
were taught drawn scenes, and are asked about nothing else: not about photographs, nor about scenes that are darker,
wider or fuller than any that they were taught.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.values import Box, Region
from visprog.values.image import Image

ABLE = {
    "detect": "owlv2", "segment": "sam", "segment_everything": "sam", "classify": "siglip", "match": "siglip",
    "verify": "siglip", "caption": "blip", "vqa": "llava",
}  # fmt: skip
"""Tool → a backend that sees photographs, too."""

SURE = -1.0
"""Greatest unlikeness of a crop of an image that is of another kind: part of a photograph may be rather plain."""


@dataclass(frozen=True)
class Taught:
    """What a model was taught: the fields of `taught.json`.

    Attributes:
        images: in words, for messages.
        gate: folder, relative to the model's, of a detector whose image features tell such images from others by the
            linear classifier in its `gate.json`.
        brightness: least level, 0 to 255, that 1 % of the pixels reach in one of their channels; 0 for any.
        aspect: greatest ratio of the longer side to the shorter one.
        objects: most objects in one image, counted by that detector; None for any number.
    """

    images: str
    gate: str
    brightness: float
    aspect: float
    objects: int | None


@cache
def taught(folder: Path) -> Taught | None:
    """What the model in a folder was taught; None if the folder does not say."""
    file = folder / "taught.json"
    return Taught(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


@overload
def to_view(thing: Image, folder: Path, tool: str) -> Image: ...
@overload
def to_view(thing: Image | Region, folder: Path, tool: str) -> Image | Region: ...
def to_view(thing: Image | Region, folder: Path, tool: str) -> Image | Region:
    """What a model is to look at: the image or region as it is; of an image that is wider than taught, the part with
    all that lies on its plain ground.

    A crop, and a region, is of the kind that the whole image is; a crop of another image must surely be of the kind.

    Raises:
        Refused: the image is not of the kind that the model was taught.
    """
    known = taught(folder)
    image = thing if isinstance(thing, Image) else thing.image
    if known is None or image is None:
        return thing
    gate = (folder / known.gate).resolve()
    whole, most = _trimmed(image.root, known.aspect), 0.0
    if image.parent is not None and (whole is None or _unlikeness(whole, gate) > most):
        whole, most = _trimmed(image, known.aspect), SURE
    if whole is None:
        raise _refusal(
            known, tool, f"is wider or higher than {known.aspect:g}:1, and not for its ground alone"
        )
    if _brightness(whole) < known.brightness:
        raise _refusal(known, tool, "is darker")
    if _unlikeness(whole, gate) > most:
        raise _refusal(known, tool, "is of another kind")
    if isinstance(thing, Region):
        return thing
    seen = whole if image.parent is None else thing
    if known.objects is not None and _count(seen, gate) > known.objects:
        raise _refusal(
            known, tool, f"shows more than {known.objects} objects (crop parts of it, if that helps)"
        )
    return seen


def _refusal(known: Taught, tool: str, why: str) -> Refused:
    return Refused(
        f"the model of {tool} was taught {known.images}, and this image {why}: "
        f"set backend = \"{ABLE[tool]}\" under [tools.{tool}] in visprog.toml, after pip install 'visprog[hf]'"
    )


def _brightness(image: Image) -> float:
    """The level that the brightest channel of 1 % of the pixels reaches."""
    stride = max(1, min(image.size) // 256)
    return float(np.quantile(image.pixels[::stride, ::stride].max(2), 0.99))


@lru_cache(maxsize=8)
def _trimmed(image: Image, aspect: float) -> Image | None:
    """The image, or its part without the plain ends of its longer side; None if that is still longer than `aspect`."""
    width, height = image.size
    shorter = min(width, height)
    if width == height:
        return image
    lines = image.pixels if height > width else image.pixels.transpose(1, 0, 2)  # along the longer side
    lines = lines[:, :: max(1, shorter // 128)]
    first, last = _plain_until(lines), len(lines) - _plain_until(lines[::-1])
    if last - first > aspect * shorter:
        return None
    side = max(last - first, shorter)
    if side == len(lines):
        return image
    start = min(max((first + last - side) // 2, 0), len(lines) - side)
    part = Box(0, start, width, start + side) if height > width else Box(start, 0, start + side, height)
    return image.crop(image.to_root(part))


def _plain_until(lines: NDArray[np.uint8]) -> int:
    """Number of leading rows (n, m, 3) that are like the first but for noise."""
    values = lines.astype(np.int16)
    noise = float(np.median(np.abs(np.diff(values[::4], axis=1)).mean((1, 2))))
    apart = np.abs(values - values[0]).mean((1, 2)) > 1.3 * noise + 2
    return int(apart.argmax()) if apart.any() else len(lines)


@lru_cache(maxsize=8)
def _unlikeness(image: Image, gate: Path) -> float:
    """How unlike those taught an image is, by a detector's features of it as a square; above 0 it is none of them."""
    import torch

    from ...models.preprocess.image_processor import pad_to_square
    from .owl import load

    model, _, pixels = load(gate)
    with torch.inference_mode():
        features = model.encode_images(pixels([pad_to_square(image.pixels)]))[1][0].float().numpy()
    weights, bias = _classifier(gate)
    pooled = np.concatenate([features.mean(0), features.std(0), features.max(0), features.min(0)])
    return float(pooled @ weights + bias)


def _count(image: Image, gate: Path) -> int:
    """Number of objects of any kind in an image."""
    from .owl import NOUN, EmbeddedDetector

    (found,) = EmbeddedDetector(str(gate))([{"image": image, "what": NOUN}])
    if isinstance(found, Exception):
        raise found
    return len(found)


@cache
def _classifier(gate: Path) -> tuple[NDArray[np.float32], float]:
    """Weights, of the mean, deviation, maximum and minimum of each feature, and bias."""
    raw = json.loads((gate / "gate.json").read_text(encoding="utf-8"))
    return np.array(raw["weights"], np.float32), float(raw["bias"])

"""Whether an image is like those that a model was trained on: small models answer surely whatever they are shown.

The `domain` in the `backend.json` of a folder says which images these were; a folder without one is asked about any
image. The bundled models were taught drawn scenes, and are asked about nothing else: not about photographs, nor about
scenes that are darker, paler, wider or fuller than any that they were taught.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.files.plain_text import read_json
from visprog.values import Box, Region
from visprog.values.image import Image

from ._backend_file import Domain, backend_file
from ._owl import OwlSearch

PHOTO_BACKENDS = {
    "detect": "owlv2", "segment": "sam", "segment_everything": "sam", "classify": "siglip", "match": "siglip",
    "verify": "siglip", "retrieve": "siglip", "caption": "blip", "vqa": "llava",
}  # fmt: skip
"""Tool → a backend that takes photographs, too."""

MAX_CROP_SCORE = -1.0
"""Maximum score of a crop of an image that is of another kind: part of a photograph may be rather plain."""


@overload
def to_view(seen: Image, folder: Path | None, tool: str) -> Image: ...
@overload
def to_view(seen: Image | Region, folder: Path | None, tool: str) -> Image | Region: ...
def to_view(seen: Image | Region, folder: Path | None, tool: str) -> Image | Region:
    """What to show to a model: the image or region as it is; of an image that is wider than those of the training, the
    part with everything that lies on its plain ground.

    A crop, and a region, is of the kind that the whole image is; a crop of another image must surely be of the kind.

    Args:
        folder: That of the model; None for a hub id, which takes any image.

    Raises:
        Refused: The image is not like those that the model was trained on.
    """
    domain = backend_file(folder).domain
    image = seen if isinstance(seen, Image) else seen.image
    if domain is None or folder is None or image is None:
        return seen
    gate = (folder / domain.gate).resolve()
    whole, threshold = _trimmed(image.root, domain.aspect), 0.0
    if image.parent is not None and (whole is None or _score(whole, gate) > threshold):
        whole, threshold = _trimmed(image, domain.aspect), MAX_CROP_SCORE
    if whole is None:
        raise _refusal(
            domain, tool, f"is wider or higher than {domain.aspect:g}:1, and not for its ground alone"
        )
    darkest, brightest = _levels(whole)
    if brightest < domain.brightness:
        raise _refusal(domain, tool, "is darker")
    if brightest - darkest < domain.contrast:
        raise _refusal(domain, tool, "has less contrast")
    if _score(whole, gate) > threshold:
        raise _refusal(domain, tool, "is of another kind")
    if isinstance(seen, Region):
        return seen
    view = whole if image.parent is None else seen
    if domain.objects is not None and _count(view, gate) > domain.objects:
        raise _refusal(
            domain, tool, f"shows more than {domain.objects} objects (crop parts of it, if that helps)"
        )
    return view


def _refusal(domain: Domain, tool: str, why: str) -> Refused:
    way_out = "train one on such images"
    if tool in PHOTO_BACKENDS:
        way_out = (
            f'set backend = "{PHOTO_BACKENDS[tool]}" under [tools.{tool}] in visprog.toml, '
            "after pip install 'visprog[hf]'"
        )
    return Refused(f"the model of {tool} was taught {domain.images}, and this image {why}: {way_out}")


def _levels(image: Image) -> tuple[float, float]:
    """The level below which the darkest channel of 1 % of the pixels lies, and that which the brightest channel of 1 %
    reaches."""
    stride = max(1, min(image.size) // 256)
    pixels = image.pixels[::stride, ::stride]
    return float(np.quantile(pixels.min(2), 0.01)), float(np.quantile(pixels.max(2), 0.99))


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
def _score(image: Image, gate: Path) -> float:
    """How unlike the images of the training an image is, by a detector's features of it as a square; above 0 it is of
    another kind."""
    from visprog.models.preprocess.image_processor import pad_to_square

    detector = _detector(gate)
    square = image if image.width == image.height else Image(pad_to_square(image.pixels))
    (tokens,) = detector.encode_images(detector.checkpoint, {square.digest: square}).values()
    features = tokens.flatten(0, 1).float().cpu().numpy()
    weights, bias = _classifier(gate)
    pooled = np.concatenate([features.mean(0), features.std(0), features.max(0), features.min(0)])
    return float(pooled @ weights + bias)


def _count(image: Image, gate: Path) -> int:
    """Number of objects of any kind in an image."""
    detector = _detector(gate)
    vocabulary = backend_file(gate).vocabulary
    (found,) = detector([{"image": image, "what": vocabulary.noun if vocabulary else "object"}])
    if isinstance(found, Exception):
        raise found
    return len(found)


@cache
def _detector(gate: Path) -> OwlSearch:
    return OwlSearch(str(gate), dtype="float32")  # the classifier was fitted on features in float32


@cache
def _classifier(gate: Path) -> tuple[NDArray[np.float32], float]:
    """Weights, of the mean, deviation, maximum and minimum of each feature, and bias."""
    raw = read_json(gate / "gate.json")
    return np.array(raw["weights"], np.float32), float(raw["bias"])

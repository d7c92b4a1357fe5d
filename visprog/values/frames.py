"""Regions and masks in the frame of the root image, made from a model's raw numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .geometry import Box
from .mask import Mask
from .region import Region

if TYPE_CHECKING:
    from .geometry import ImageLike


def region_in(image: ImageLike, box: Any, label: str, score: float, mask: Any) -> Region:
    """See `Image.region`."""
    if mask is not None and not isinstance(mask, Mask):
        mask = mask_in(image, mask)
    if box is None:
        if mask is None:
            raise ValueError("a region needs a box (left, top, right, bottom), a mask, or both")
        return Region(mask.box, label, score, image.root, mask)
    if not isinstance(box, Box):
        box = _four(box)
    if (
        max(image.size) > 8
        and max(map(abs, _edges(box))) <= 1
        and any(isinstance(v, float) for v in _edges(box))
    ):
        raise ValueError(f"{box} is in fractions of the image: multiply by image.width and image.height")
    frame = Box(0, 0, image.width, image.height)
    if box.distance(frame) > 0:
        raise ValueError(f"{box} lies outside the image of {image.width} x {image.height} pixels")
    return Region(image.to_root(box.clip(frame)), label, score, image.root, mask)


def mask_in(image: ImageLike, pixels: Any) -> Mask:
    """See `Image.to_mask`."""
    if hasattr(pixels, "detach"):
        pixels = pixels.detach().cpu().numpy()
    array = np.asarray(pixels)
    while array.ndim > 2 and 1 in (array.shape[0], array.shape[-1]):
        array = array[0] if array.shape[0] == 1 else array[..., 0]
    if array.shape != (image.height, image.width):
        raise ValueError(
            f"a mask of shape {array.shape} does not fit an image of height {image.height} and width {image.width}"
        )
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
            raise ValueError("a mask of floats holds probabilities, 0 to 1: compare logits with a threshold")
        array = array > 0.5
    return Mask.tight(array != 0, int(image.origin.x), int(image.origin.y))


def _four(value: Any) -> Box:
    if hasattr(value, "tolist"):
        value = value.tolist()
    try:
        left, top, right, bottom = value
    except (TypeError, ValueError):
        raise ValueError(f"a box is four numbers (left, top, right, bottom), not {value!r:.80}") from None
    return Box(left, top, right, bottom)


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom

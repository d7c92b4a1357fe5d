"""Whether an image is drawn in flat colours, or a photograph."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values.image import Image

COLORS = 12
FEW = 0.88
"""Least share of a drawing's pixels that is of its 12 most frequent colours, in cells of 8 levels a channel."""

STILL = 10
"""Most levels by which a channel varies in 3 x 3 pixels of a flat colour, such as JPEG leaves."""

FLAT = 0.7
"""Least share of flat places inside what is painted on the ground: a photograph cut out on white has few."""

RIM = 7
"""Pixels across the soft edge around what is painted."""

LEAST_INSIDE = 0.005
"""Share of the image below which its ground holds nothing but lines."""


@lru_cache(maxsize=8)
def is_drawing(image: Image) -> bool:
    """True for drawings, diagrams and screenshots in a few flat colours; False for photographs, also of one thing on a
    plain ground, and for shaded pictures. A crop is what its root is."""
    pixels = image.root.pixels
    cells = (pixels >> 3).astype(np.int32) @ np.array([1024, 32, 1], np.int32)
    counts = np.bincount(cells.ravel(), minlength=1 << 15)
    if np.partition(counts, -COLORS)[-COLORS:].sum() < FEW * counts.sum():
        return False
    inside = _inside(pixels, pixels[cells == counts.argmax()].mean(0))
    if inside.mean() < LEAST_INSIDE:
        return True
    kernel = np.ones((3, 3), np.uint8)
    spread = (cv2.dilate(pixels, kernel).astype(np.int16) - cv2.erode(pixels, kernel)).max(2)
    return bool((spread[inside] <= STILL).mean() >= FLAT)


def _inside(pixels: NDArray[np.uint8], ground: NDArray[Any]) -> NDArray[np.bool_]:
    """Where (H, W) the image is not of its ground's colour, away from the rims of what is."""
    painted = (np.abs(pixels - ground) > 3 * 8).any(2)
    return np.asarray(cv2.erode(painted.astype(np.uint8), np.ones((RIM, RIM), np.uint8)) > 0)

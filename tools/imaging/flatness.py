"""Whether an image is drawn in flat colours, or a photograph."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values.image import Image

FREQUENT_COLORS = 12
"""Number of the most frequent colours, in cells of 8 levels per channel."""

MIN_FREQUENT_SHARE = 0.88
"""Least share of a drawing's pixels that is of its most frequent colours."""

MAX_FLAT_SPREAD = 10
"""Levels by which a channel varies in 3 x 3 pixels of a flat colour, at most, such as JPEG leaves."""

MIN_FLAT_SHARE = 0.7
"""Least share of flat pixels inside what is painted on the ground: a photograph cut out on white has few."""

RIM_WIDTH = 7
"""Pixels across the soft edge around what is painted."""

MIN_INSIDE_SHARE = 0.005
"""Share of the image below which its ground holds nothing but lines."""


@lru_cache(maxsize=8)
def is_drawing(image: Image) -> bool:
    """True for drawings, diagrams and screenshots in a few flat colours; False for photographs, also of one object on a
    plain ground, and for shaded images. A crop is what its root is."""
    pixels = image.root.pixels
    cells = (pixels >> 3).astype(np.int32) @ np.array([1024, 32, 1], np.int32)
    counts = np.bincount(cells.ravel(), minlength=1 << 15)
    if np.partition(counts, -FREQUENT_COLORS)[-FREQUENT_COLORS:].sum() < MIN_FREQUENT_SHARE * counts.sum():
        return False
    inside = _inside(pixels, pixels[cells == counts.argmax()].mean(0))
    if inside.mean() < MIN_INSIDE_SHARE:
        return True
    kernel = np.ones((3, 3), np.uint8)
    spread = (cv2.dilate(pixels, kernel).astype(np.int16) - cv2.erode(pixels, kernel)).max(2)
    return bool((spread[inside] <= MAX_FLAT_SPREAD).mean() >= MIN_FLAT_SHARE)


def _inside(pixels: NDArray[np.uint8], ground: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether each pixel (H, W) is not of the ground's colour, and away from the rims of what is painted."""
    painted = (np.abs(pixels - ground) > 3 * 8).any(2)
    return np.asarray(cv2.erode(painted.astype(np.uint8), np.ones((RIM_WIDTH, RIM_WIDTH), np.uint8)) > 0)

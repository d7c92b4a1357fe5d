"""Islands: parts of a drawing with nothing but the ground between them."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values import Box

Array = NDArray[Any]
MARGIN = 12
"""Pixels of ground around an island; islands less than two margins apart are one."""

MAX_ISLANDS = 48
"""Number of islands above which those that lie near each other are joined."""

MIN_SHAPE_SIDE = 8
"""Pixels across the smallest shape, below which an enlarged image is not reduced."""

MAX_FACTOR = 16
"""Greatest number by which an image is taken to be enlarged."""

MIN_STEPS = 8
"""Least number of rows and columns that change from one enlarged pixel to the next, as slanted and soft edges do."""


def islands(pixels: Array, ground: Array, contrast: float) -> list[Box]:
    """Disjoint boxes, in whole pixels, around all that is not of the ground's colour, from left to right.

    Args:
        pixels: (H, W, 3) uint8.
        ground: (3,) colour.
        contrast: Levels per channel by which a pixel of the ground may lie off its colour.
    """
    low, high = np.floor(ground - contrast), np.ceil(ground + contrast)
    painted = cv2.bitwise_not(cv2.inRange(pixels, low, high))
    if not painted.any():
        return []
    margin, boxes = MARGIN, _around(painted, MARGIN)
    while len(boxes) > MAX_ISLANDS:
        margin *= 2
        boxes = _around(painted, margin)
    return sorted(_disjoint(boxes), key=lambda b: (b.left, b.top))


def _around(painted: Array, margin: int) -> list[Box]:
    grown = cv2.dilate(painted, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(grown, connectivity=8)
    return [Box(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:count].tolist()]


def _disjoint(boxes: list[Box]) -> list[Box]:
    """Boxes that overlap joined to one around them, until none do."""
    apart: list[Box] = []
    while boxes:
        box = boxes.pop()
        for other in apart:
            if box.intersection(other) is not None:
                apart.remove(other)
                boxes.append(box.union(other))
                break
        else:
            apart.append(box)
    return apart


def enlargement(pixels: Array) -> int:
    """The whole number by which an image (H, W, 3) was enlarged by repeating pixels.

    1 if it was not, or if its shapes would be too small at the reduced size.
    """
    factor, places = 0, []
    for lines in (pixels, pixels.transpose(1, 0, 2)):
        places.append(np.flatnonzero((lines[1:] != lines[:-1]).any((1, 2))) + 1)
        factor = int(np.gcd.reduce(places[-1], initial=factor))
        if factor == 1:
            return 1
    if sum(np.count_nonzero(np.diff(p) == factor) for p in places) < MIN_STEPS:
        return 1  # upright rectangles, at whatever places
    for divisor in range(min(factor, MAX_FACTOR), 1, -1):
        small = pixels[::divisor, ::divisor]
        if factor % divisor == 0 and min(small.shape[:2]) > MIN_SHAPE_SIDE:
            edges = (small[1:, 1:] != small[:-1, 1:]) | (small[1:, 1:] != small[1:, :-1])
            _, _, stats, _ = cv2.connectedComponentsWithStats(edges.any(2).astype(np.uint8), connectivity=8)
            if (
                edges.mean() < 0.25
                and stats[1:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(1).min() >= MIN_SHAPE_SIDE
            ):
                return divisor
    return 1

"""Detection of lines of text in images that are larger than the detector takes.

A large image is searched in overlapping tiles, and then again, at a third of its size, until it fits into one tile:
small letters are found in the tiles, letters higher than the overlap in a smaller copy. What two tiles see of one
line is joined, so that it can be read in one piece.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Quads = NDArray[np.float32]
"""Corners (N, 4, 2) of lines of text, x and y in pixels, clockwise from the top left."""

MAX_SIDE = 1150
"""Longer side, in pixels, of an image that is searched as a whole. In larger ones the detector misses lone lines."""

TILE_SIDE = 960
OVERLAP = 120
"""Side of a tile, and overlap of two, in pixels."""

SHRINK_FACTOR = 3
"""Factor between the sizes of two copies."""

MIN_HEIGHT = 12
"""Height of a line, in pixels of a smaller copy, from which it is taken from there."""

CUT_MARGIN = 5
"""Distance from the edge of a tile, in pixels, at which a line may go on beyond it."""

MAX_ASPECT = 200
"""Length, in heights, of the longest line that is read in one piece: memory grows with its square."""


@dataclass(frozen=True)
class _Tile:
    """A part of an image, in its pixels."""

    left: int
    top: int
    right: int
    bottom: int

    def shared(self, other: _Tile) -> tuple[int, int, int, int] | None:
        """The overlap of two tiles; None if there is none."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def cuts(self, quad: NDArray[np.float32], width: int, height: int) -> bool:
        """Whether a line reaches an edge of the tile that is not an edge of the image."""
        (left, top), (right, bottom) = quad.min(0), quad.max(0)
        return bool(
            (self.left > 0 and left < self.left + CUT_MARGIN)
            or (self.top > 0 and top < self.top + CUT_MARGIN)
            or (self.right < width and right > self.right - CUT_MARGIN)
            or (self.bottom < height and bottom > self.bottom - CUT_MARGIN)
        )


def find_lines(pixels: Pixels, detect: Callable[[Pixels], Quads]) -> Quads:
    """Lines of text in an image (H, W, 3) of any size; parts of high letters may stand beside their whole line.

    Args:
        detect: finds the lines of an image whose sides are at most `MAX_SIDE`.
    """
    import cv2

    found: list[NDArray[np.float32]] = []
    scale, least, small = 1.0, 0.0, pixels
    while True:
        level = [quad for quad in _in_tiles(small, detect) if _height(quad) >= least]
        found += sorted((quad / np.float32(scale) for quad in level), key=_area)
        if max(small.shape[:2]) <= MAX_SIDE:
            break
        scale, least = scale / SHRINK_FACTOR, MIN_HEIGHT
        size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    lines = [part for quad in _without_duplicates(found) for part in _in_parts(quad, pixels)]
    return np.array(lines, np.float32).reshape(-1, 4, 2)


def _in_tiles(pixels: Pixels, detect: Callable[[Pixels], Quads]) -> list[NDArray[np.float32]]:
    """Lines that the tiles of an image show, those that several tiles share joined."""
    height, width = pixels.shape[:2]
    tiles = [
        _Tile(left, top, right, bottom) for top, bottom in _spans(height) for left, right in _spans(width)
    ]
    pieces: list[tuple[_Tile, NDArray[np.float32]]] = []
    for tile in tiles:
        part = pixels[tile.top : tile.bottom, tile.left : tile.right]
        if np.ptp(part) >= 8:  # nothing is written on one colour
            corner = np.array([tile.left, tile.top], np.float32)
            pieces += [(tile, quad + corner) for quad in detect(np.ascontiguousarray(part))]
    lines = []
    for group in _groups(pieces):
        if len(group) > 1:
            lines.append(_around(np.concatenate([quad for _, quad in group])))
        else:
            ((tile, quad),) = group
            # Half of a high line: the smaller copy shows it whole.
            if _height(quad) < 0.7 * OVERLAP or not tile.cuts(quad, width, height):
                lines.append(quad)
    return lines


def _spans(length: int) -> Iterator[tuple[int, int]]:
    """Start and end of overlapping parts of equal length, none longer than a tile."""
    if length <= MAX_SIDE:
        yield 0, length
        return
    count = math.ceil((length - OVERLAP) / (TILE_SIDE - OVERLAP))
    size = math.ceil((length + (count - 1) * OVERLAP) / count)
    for i in range(count):
        start = round(i * (length - size) / (count - 1))
        yield start, start + size


def _groups(
    pieces: list[tuple[_Tile, NDArray[np.float32]]],
) -> list[list[tuple[_Tile, NDArray[np.float32]]]]:
    """Pieces of one line together."""
    group = list(range(len(pieces)))

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    boxes = np.array([[*quad.min(0), *quad.max(0)] for _, quad in pieces], np.float32).reshape(-1, 4)
    for i, (tile, quad) in enumerate(pieces):
        near = (boxes[i + 1 :, :2] < boxes[i, 2:]).all(1) & (boxes[i + 1 :, 2:] > boxes[i, :2]).all(1)
        for j in (i + 1 + np.flatnonzero(near)).tolist():
            other_tile, other = pieces[j]
            if other_tile is not tile and _same_in(tile.shared(other_tile), quad, other):
                group[root(j)] = root(i)
    together: dict[int, list[tuple[_Tile, NDArray[np.float32]]]] = {}
    for i, piece in enumerate(pieces):
        together.setdefault(root(i), []).append(piece)
    return list(together.values())


def _same_in(
    shared: tuple[int, int, int, int] | None, a: NDArray[np.float32], b: NDArray[np.float32]
) -> bool:
    """Whether two lines are one in the part that two tiles share."""
    if shared is None:
        return False
    left, top, right, bottom = shared
    strip = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    in_a, in_b = _common(strip, a), _common(strip, b)
    if in_a is None or in_b is None:
        return False
    both = _common(in_a, in_b)
    if both is None:
        return False
    heights = sorted((_height(_around(in_a)), _height(_around(in_b))))
    return _area(both) >= 0.6 * min(_area(in_a), _area(in_b)) and heights[0] >= 0.6 * heights[1]


def _without_duplicates(quads: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    """Lines without those that earlier ones cover by half: duplicates, or several lines taken for one."""
    boxes = np.array([[*quad.min(0), *quad.max(0)] for quad in quads], np.float32).reshape(-1, 4)
    keep = np.zeros(len(quads), bool)
    for i, quad in enumerate(quads):
        near = keep & (boxes[:, :2] < boxes[i, 2:]).all(1) & (boxes[:, 2:] > boxes[i, :2]).all(1)
        common = (_common(quads[j], quad) for j in np.flatnonzero(near))
        keep[i] = sum(_area(both) for both in common if both is not None) < 0.5 * _area(quad)
    return [quad for quad, kept in zip(quads, keep, strict=True) if kept]


def _in_parts(quad: NDArray[np.float32], pixels: Pixels) -> list[NDArray[np.float32]]:
    """A very long line in parts, cut at spaces; others as they are."""
    height = max(_height(quad), 1.0)
    width = _area(quad) / height
    count = math.ceil(width / (MAX_ASPECT * height))
    if count < 2:
        return [quad]
    if np.linalg.norm(quad[3] - quad[0]) > np.linalg.norm(quad[1] - quad[0]):
        quad = np.roll(quad, -1, axis=0)  # it runs from top to bottom
    cuts = [0.0, *(_space_near(quad, pixels, i / count, 8 * height / width) for i in range(1, count)), 1.0]
    top, bottom = quad[1] - quad[0], quad[2] - quad[3]
    return [
        np.array(
            [quad[0] + a * top, quad[0] + b * top, quad[3] + b * bottom, quad[3] + a * bottom], np.float32
        )
        for a, b in pairwise(cuts)
    ]


def _space_near(quad: NDArray[np.float32], pixels: Pixels, place: float, reach: float) -> float:
    """Where a line has the widest space near a place, both as shares of its length."""
    import cv2

    ends = np.array([place - reach, place + reach], np.float32)[:, None]
    top, bottom = quad[0] + ends * (quad[1] - quad[0]), quad[3] + ends * (quad[2] - quad[3])
    columns = max(2, round(float(np.linalg.norm(top[1] - top[0]))))
    source = np.array([top[0], top[1], bottom[0]], np.float32)
    target = np.array([[0, 0], [columns, 0], [0, 32]], np.float32)
    strip = cv2.warpAffine(pixels, cv2.getAffineTransform(source, target), (columns, 32))
    ink = np.ptp(cv2.cvtColor(strip, cv2.COLOR_BGR2GRAY), axis=0)
    empty = (ink <= ink.min() + 0.1 * np.ptp(ink)).astype(np.uint8)[None]
    depth = cv2.distanceTransform(np.pad(empty, ((0, 0), (1, 1))), cv2.DIST_L1, 3)[0, 1:-1]
    return place + reach * (2 * (float(np.argmax(depth)) + 0.5) / columns - 1)


def _height(quad: NDArray[np.float32]) -> float:
    """The shorter side of a line of text."""
    return float(min(np.linalg.norm(quad[1] - quad[0]), np.linalg.norm(quad[3] - quad[0])))


def _area(points: NDArray[np.float32]) -> float:
    import cv2

    return float(cv2.contourArea(points))


def _common(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The polygon that two convex ones share; None if there is none."""
    import cv2

    area, points = cv2.intersectConvexConvex(a, b)
    return points.reshape(-1, 2) if points is not None and area > 0 else None


def _around(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """The smallest rectangle around points, its corners clockwise from the top left."""
    import cv2

    corners: Any = cv2.boxPoints(cv2.minAreaRect(points))
    by_x = corners[np.argsort(corners[:, 0], kind="stable")]
    (top_left, bottom_left), (top_right, bottom_right) = (
        pair[np.argsort(pair[:, 1], kind="stable")] for pair in (by_x[:2], by_x[2:])
    )
    return np.array([top_left, top_right, bottom_right, bottom_left], np.float32)

"""Small shapes of a drawing, filled or outlined, each fitted to the pixels of the image itself (`coverage.py`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .coverage import corners, fit

Array = NDArray[Any]
MAX_SIZE = 48
"""Pixels across, up to which a shape is fitted to its pixels; the outline of a larger one is as good."""

MAX_SPECK = 4
"""Pixels across, up to which a piece between other shapes is a rest of their soft edges."""

SURROUNDINGS = 4
"""Pixels around a shape that are taken into account."""

MAX_GROUND_SPREAD = 24.0
"""RGB levels by which the ground next to a shape may vary."""

MIN_HULL_SHARE = 0.8
"""Least share of its convex hull that a shape without dents fills, in whole pixels."""

MAX_ERROR = 0.18
"""Root mean squared error of the coverage from which a model does not fit."""

MIN_AXIS_RATIO = 0.88
"""Least ratio of the axes of a circle."""

SOFT_EDGE = 1.2
"""Pixels by which ink is wider than its pen, with its soft edges."""

MAX_OUTLINES = 60
"""Number of small closed outlines above which they are letters."""

_SQUARE = np.ones((5, 5), np.uint8)


@dataclass(frozen=True, eq=False)
class Solid:
    """A small shape, in working pixels.

    Attributes:
        number: of its area; 0 for an outline.
        points: (N, 2) its corners, in the middle of an outline; none, if it has no sides.
        circle: x, y, radius; None if it is none.
        pen: width of the outline; 0 for an area.
        box: left, top, right, bottom of its pixels.
    """

    number: int
    points: Array
    circle: tuple[float, float, float] | None
    pen: float
    box: tuple[int, int, int, int]

    def holds(self, points: Array) -> bool:
        """Whether all points (N, 2) lie in its box, or close to it."""
        left, top, right, bottom = self.box
        x, y = points[:, 0], points[:, 1]
        return bool(((x > left - 4) & (x < right + 4) & (y > top - 4) & (y < bottom + 4)).all())


@dataclass(frozen=True, eq=False)
class Window:
    """A small part of an image around one shape, `SURROUNDINGS` pixels wider on each side.

    Attributes:
        corner: x, y of its first pixel in the image.
        pixels: (h, w, 3), of the ground's colour beyond the image.
        mine: (h, w) share of each pixel that the shape covers, roughly.
        others: (h, w) bool, where there are other shapes.
    """

    corner: Array
    pixels: Array
    mine: Array
    others: Array


def solids(
    pixels: Array, rgb: Array, areas: Array, ink: Array, ground: Array
) -> tuple[list[Solid], list[int]]:
    """The small shapes, and the numbers of the areas that are rests of soft edges between others.

    Args:
        pixels: (H, W, 3) the image.
        rgb, areas, ink: see `Drawing`; a whole number of working pixels for each of these.
        ground: (3,) colour of the background.
    """
    found, rests = [], []
    scale = len(areas) // len(pixels)
    painted = ((areas > 1) | ink) & (np.abs(rgb - ground).max(2) > MAX_GROUND_SPREAD)
    for number, box in boxes(areas):
        if max(box[2] - box[0], box[3] - box[1]) <= MAX_SIZE * scale:
            window = _window(pixels, scale, box, areas, number, painted, ground)
            near = cv2.dilate(window.mine, _SQUARE) > 0
            if min(box[2] - box[0], box[3] - box[1]) <= MAX_SPECK * scale and (window.others & near).any():
                rests.append(number)
            else:
                found.append(_solid(window, number, box, scale, ground))
    _, strokes, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    outlines = _outlines(strokes, stats, scale)
    if len(outlines) <= MAX_OUTLINES:
        for number, box, pen in outlines:
            window = _window(pixels, scale, box, strokes, number, painted, ground)
            found.append(_solid(window, 0, box, scale, ground, pen))
    return [s for s in found if s is not None], rests


def _solid(
    window: Window,
    number: int,
    box: tuple[int, int, int, int],
    scale: int,
    ground: Array,
    pen: float = 0.0,
) -> Solid | None:
    """The shape in a window, fitted; None if it cannot be."""
    covered = _covered_by_pen(window, ground) if pen else _covered(window, ground)
    if covered is None:
        return None
    beside_others = cv2.dilate(window.others.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    model = fit(np.where(beside_others, window.mine, covered), pen)
    if model is None or model.error > MAX_ERROR**2 or model.pen < 0:
        return None
    shift = window.corner + 0.5
    if model.sides:
        middle = model.values - [0, model.pen / 2]
        return Solid(number, (corners(middle) + shift) * scale - 0.5, None, model.pen * scale, box)
    a, b = np.abs(model.values[2:4])
    circle = None
    if min(a, b) > MIN_AXIS_RATIO * max(a, b):
        x, y = (model.values[:2] + shift) * scale - 0.5
        circle = (float(x), float(y), float(a + b - model.pen) / 2 * scale)
    return Solid(number, np.zeros((0, 2)), circle, model.pen * scale, box)


def _covered(window: Window, ground: Array) -> Array | None:
    """Coverage (h, w) of each pixel by a filled shape; None if its ground is not even, or it has dents."""
    mine = window.mine
    core = mine >= min(0.99, float(mine.max()))
    deep = cv2.erode(core.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    covered = _share(window, np.median(window.pixels[deep if deep.any() else core], axis=0), ground)
    if covered is None:
        return None
    outlines, _ = cv2.findContours((mine > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    full = np.zeros(mine.shape, np.uint8)
    cv2.drawContours(full, outlines, -1, 1, cv2.FILLED)  # with the writing on it
    covered[cv2.erode(full, _SQUARE) > 0] = 1
    return covered if _hull_area(covered) * MIN_HULL_SHARE <= covered.sum() else None


def _covered_by_pen(window: Window, ground: Array) -> Array | None:
    """Coverage (h, w) of each pixel by an outline; None if the ground around and within is not even."""
    contrast = np.linalg.norm(window.pixels - ground, axis=2) * (window.mine > 0)
    return _share(window, window.pixels[np.unravel_index(contrast.argmax(), contrast.shape)], ground)


def _share(window: Window, color: Array, ground: Array) -> Array | None:
    """Share (h, w) of a colour in each pixel, the rest being the ground's; None if the ground is not even."""
    beside = ~window.others & (cv2.dilate(window.mine, _SQUARE) == 0)
    axis = color - ground
    away = np.linalg.norm(window.pixels[beside] - ground, axis=1)
    if len(away) == 0 or (away < MAX_GROUND_SPREAD).mean() < 0.9 or axis @ axis < MAX_GROUND_SPREAD**2:
        return None
    covered = np.clip((window.pixels - ground) @ axis / (axis @ axis), 0, 1)
    covered[beside] = 0
    return np.asarray(covered)


def _outlines(strokes: Array, stats: Array, scale: int) -> list[tuple[int, tuple[int, int, int, int], float]]:
    """The strokes that go around one small place, without dents or branches: number, box, and width in pixels of the
    image."""
    found = []
    for i in range(1, len(stats)):
        x, y, w, h, area = stats[i].tolist()
        if max(w, h) > MAX_SIZE * scale or min(w, h) < MAX_SPECK * scale:
            continue
        part = np.pad((strokes[y : y + h, x : x + w] == i).astype(np.uint8), 1)
        outlines, nesting = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        if len(outlines) != 2 or nesting is None:
            continue
        outer, inner = sorted(outlines, key=cv2.contourArea, reverse=True)
        around, within = cv2.arcLength(outer, True), cv2.arcLength(inner, True)
        aside = np.linalg.norm(outer[:, 0].mean(0) - inner[:, 0].mean(0))
        even = aside < 0.06 * max(w, h) + 0.5 * scale  # in letters the hole is not in the middle
        if even and cv2.contourArea(outer) > 0.85 * cv2.contourArea(cv2.convexHull(outer)):
            found.append(
                (i, (x, y, x + w, y + h), max(2 * area / (around + within + 4) / scale - SOFT_EDGE, 1.0))
            )
    return found


def boxes(areas: Array) -> list[tuple[int, tuple[int, int, int, int]]]:
    """Number and box (left, top, right, bottom) of each area but the background."""
    ys, xs = np.nonzero(areas > 1)
    if not len(xs):
        return []
    numbers = areas[ys, xs]
    order = np.argsort(numbers, kind="stable")
    known, starts = np.unique(numbers[order], return_index=True)
    found = []
    for number, members in zip(known.tolist(), np.split(order, starts[1:]), strict=True):
        x, y = xs[members], ys[members]
        found.append((number, (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)))
    return found


def _window(
    pixels: Array,
    scale: int,
    box: tuple[int, int, int, int],
    labels: Array,
    number: int,
    painted: Array,
    ground: Array,
) -> Window:
    left, top = box[0] // scale - SURROUNDINGS, box[1] // scale - SURROUNDINGS
    right, bottom = (box[2] - 1) // scale + 1 + SURROUNDINGS, (box[3] - 1) // scale + 1 + SURROUNDINGS
    fine = (left * scale, top * scale, right * scale, bottom * scale)
    here, all_ = _cut(labels, *fine, 0) == number, _cut(painted, *fine, False)
    return Window(
        np.array([left, top]),
        _cut(pixels, left, top, right, bottom, ground).astype(np.float64),
        _reduced(here, scale),
        _reduced(all_ & ~here, scale) > 0,
    )


def _cut(array: Array, left: int, top: int, right: int, bottom: int, fill: Any) -> Array:
    """A part of an array, filled with `fill` beyond its edges."""
    height, width = array.shape[:2]
    out = np.empty((bottom - top, right - left, *array.shape[2:]), array.dtype)
    out[:] = fill
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    out[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return out


def _reduced(mask: Array, scale: int) -> Array:
    """(H, W) share of each pixel of the image that a mask in working pixels covers."""
    height, width = mask.shape
    blocks = mask.astype(np.float32).reshape(height // scale, scale, width // scale, scale)
    return np.asarray(blocks.mean((1, 3)))


def _hull_area(covered: Array) -> float:
    """The area of the convex hull of the pixels that are covered by half, to their centres and a half beyond."""
    y, x = np.nonzero(covered > 0.5)
    if len(x) < 3:
        return 0.0
    hull = cv2.convexHull(np.stack([x, y], 1).astype(np.int32))
    return float(cv2.contourArea(hull) + cv2.arcLength(hull, True) / 2)

"""Filled shapes: areas of flat colour whose outline, whatever is written or drawn on them, is a polygon."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .solids import boxes
from .strokes import Drawing

Array = NDArray[Any]
MIN_IOU = 0.955
"""Least intersection over union of an area and the polygon fitted to it."""

RIM_WIDTH = 0.25
"""Pixels, along the whole outline of a small triangle, by which it and the fitted polygon may differ."""

MAX_TIP = 1.6
"""Pixels of the image across the tip of a drawn corner, as antialiasing leaves it."""

MIN_COLOR_DISTANCE = 25.0
"""Least distance of two colours, in RGB levels, for one to be painted on the other."""

TOLERANCES = (0.012, 0.02, 0.03)
"""Tolerances of the simplified outline, as shares of its length, tried from fine to coarse."""


@dataclass(frozen=True, eq=False)
class Filled:
    """A filled area that is a polygon.

    Attributes:
        points: (N, 2) corners in working pixels, in order.
        pixels: (h, w) bool, the area without its holes.
        window: Rows and columns of the drawing that `pixels` covers.
    """

    points: Array
    window: tuple[slice, slice]
    pixels: Array

    @cached_property
    def size(self) -> int:
        return int(np.count_nonzero(self.pixels))

    def share_within(self, other: Filled) -> float:
        """The share of its pixels that are also the other's; 0 if it reaches beyond the other's window."""
        (rows, columns), (around, across) = self.window, other.window
        if rows.start < around.start or rows.stop > around.stop:
            return 0.0
        if columns.start < across.start or columns.stop > across.stop:
            return 0.0
        y, x = rows.start - around.start, columns.start - across.start
        height, width = self.pixels.shape
        return float(other.pixels[y : y + height, x : x + width][self.pixels].mean())


def filled(drawing: Drawing, max_sides: int) -> list[Filled]:
    """The areas that are polygons.

    Not the background, not discs, nothing that reaches from one edge of the image to the opposite one. At an edge only
    shapes of three or four sides count: a disc that the edge cuts is no polygon, but much like one of more sides.
    """
    height, width = drawing.size
    found: list[Filled] = []
    ground = _color(drawing.rgb[drawing.areas == 1])
    small = {s.number: s for s in drawing.solids}
    for number, (left, top, right, bottom) in boxes(drawing.areas):
        if number in small and not len(small[number].points):
            continue
        window = slice(top, bottom), slice(left, right)
        area = drawing.areas[window] == number
        if (
            number not in small
            and np.linalg.norm(_color(drawing.rgb[window][area]) - ground) < MIN_COLOR_DISTANCE
        ):
            continue  # the paper within an outline
        corner = np.array([left, top])
        contours, _ = cv2.findContours(area.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for contour in contours:
            points = small[number].points if number in small else None
            x, y, w, h = cv2.boundingRect(contour)
            x, y = x + left, y + top
            at_edges = x <= 1, x + w >= width - 1, y <= 1, y + h >= height - 1
            if points is None and min(w, h) >= 8 and not all(at_edges[:2]) and not all(at_edges[2:]):
                most = 4 if any(at_edges) else max_sides
                points = _fitted(contour + corner, most, max(3.0, MAX_TIP * drawing.scale))
            if points is not None and not (any(at_edges) and len(points) > 4):
                pixels = np.zeros(area.shape, np.uint8)
                cv2.drawContours(pixels, [contour], -1, 1, cv2.FILLED)
                found.append(Filled(points, window, pixels > 0))
    return [a for a in found if not any(_shows_through(a, b, drawing) for b in found if b is not a)]


def _shows_through(area: Filled, other: Filled, drawing: Drawing) -> bool:
    """True if an area is the other's ground, seen through what is drawn on it, as in the holes of letters."""
    if area.size >= other.size or area.share_within(other) < 0.99:
        return False
    number = np.bincount(drawing.areas[other.window][other.pixels]).argmax()
    ground = _color(drawing.rgb[drawing.areas == number])
    return bool(np.linalg.norm(_color(drawing.rgb[area.window][area.pixels]) - ground) < MIN_COLOR_DISTANCE)


def _color(pixels: Array) -> Array:
    """The middle colour (3,) of pixels (N, 3); black if there are none."""
    return np.median(pixels, axis=0) if len(pixels) else np.zeros(3)


def _fitted(contour: Array, max_sides: int, blunt: float) -> Array | None:
    """The polygon that fits an outline; None if none fits, or a circle fits as well.

    Args:
        blunt: Distance in pixels up to which two corners are the blunt tip of one, if that fits.
    """
    length = cv2.arcLength(contour, True)
    if cv2.contourArea(contour) < 40 or _is_disc(contour):
        return None
    for tolerance in TOLERANCES:
        rough = cv2.approxPolyDP(contour, max(tolerance * length, 1.5), True)[:, 0].astype(float)
        for corners in (_pointed(rough, blunt), rough):
            if not 3 <= len(corners) <= max_sides:
                continue
            points = _sharpened(corners, contour[:, 0].astype(float))
            if points is not None and _overlap(points, contour) >= _least_overlap(points, contour):
                return points
    return None


def _pointed(corners: Array, blunt: float) -> Array:
    """Corners (N, 2) with one, in the middle, for each two that are close."""
    found: list[Array] = []
    for corner in corners:
        if found and np.linalg.norm(found[-1] - corner) <= blunt:
            found[-1] = (found[-1] + corner) / 2
        else:
            found.append(corner)
    if len(found) > 3 and np.linalg.norm(found[-1] - found[0]) <= blunt:
        found[0] = (found[0] + found.pop()) / 2
    return np.array(found)


def _least_overlap(points: Array, contour: Array) -> float:
    """FIT; of a small triangle, whose pixels are mostly rim, less. Nothing else of three sides looks like one."""
    if len(points) > 3:
        return MIN_IOU
    return min(MIN_IOU, 1 - RIM_WIDTH * cv2.arcLength(contour, True) / cv2.contourArea(contour))


def _is_disc(contour: Array) -> bool:
    """True if an outline fills its circle, or keeps one distance from its middle to within half a pixel."""
    area = cv2.contourArea(contour)
    _, radius = cv2.minEnclosingCircle(contour)
    length = cv2.arcLength(contour, True)
    if 4 * np.pi * area / length**2 > 0.895 and area / (np.pi * radius**2) > 0.955:
        return True
    moments = cv2.moments(contour)
    middle = np.array([moments["m10"], moments["m01"]]) / max(moments["m00"], 1e-6)
    distances = np.linalg.norm(contour[:, 0] - middle, axis=1)
    return bool(distances.std() < 0.4 + 0.004 * distances.mean())


def _sharpened(rough: Array, outline: Array) -> Array | None:
    """Corners where straight lines fitted to the middle of each side meet: corners themselves are soft."""
    start = [int(np.linalg.norm(outline - corner, axis=1).argmin()) for corner in rough]
    lines = []
    for a, b in zip(start, [*start[1:], start[0]], strict=True):
        side = outline[a : b + 1] if b >= a else np.concatenate([outline[a:], outline[: b + 1]])
        trim = max(1, len(side) // 6)
        middle = side[trim:-trim] if len(side) > 2 * trim + 2 else side
        if len(middle) < 2:
            return None
        vx, vy, x, y = cv2.fitLine(middle.astype(np.float32), cv2.DIST_HUBER, 0, 0.01, 0.01)[:, 0]
        lines.append((float(vx), float(vy), float(x), float(y)))
    corners = []
    for (ux, uy, ax, ay), (vx, vy, bx, by) in zip([lines[-1], *lines[:-1]], lines, strict=True):
        cross = ux * vy - uy * vx
        if abs(cross) < 0.12:
            return None
        step = ((bx - ax) * vy - (by - ay) * vx) / cross
        corners.append((ax + step * ux, ay + step * uy))
    return np.array(corners)


def _overlap(points: Array, contour: Array) -> float:
    """Intersection over union of two outlines."""
    low = np.floor(np.minimum(points.min(0), contour[:, 0].min(0))) - 1
    high = np.ceil(np.maximum(points.max(0), contour[:, 0].max(0))) + 2
    size = (high - low).astype(int)
    if (size > 4000).any():
        return 0.0
    masks = []
    for outline in (points - low, contour[:, 0] - low):
        mask = np.zeros((size[1], size[0]), np.uint8)
        cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
        masks.append(mask > 0)
    return float((masks[0] & masks[1]).sum() / max((masks[0] | masks[1]).sum(), 1))

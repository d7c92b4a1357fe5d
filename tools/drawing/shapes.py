"""Shapes of a drawing as values: circles, polygons and lines, with their colours."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values import Circle, Line, Point, Polygon
from visprog.values.colors import accepts, name_of
from visprog.values.image import Image

from .circles import Round, circles
from .filled import Filled, filled
from .islands import MAX_ISLANDS
from .lines import drawn_lines
from .lines import sides as sides_of
from .panels import MAX_SPREAD, panels
from .polygons import MAX_SIDES, kinds_of, polygons
from .strokes import Drawing

Array = NDArray[Any]
MIN_RING_RATIO = 2.4
"""Least radius of a ring, in widths of its stroke: a smaller one is a letter, or the bend of one."""

MIN_GROUND_SHARE = 0.5
"""Least share of a panel that its ground fills, to be an area of that colour."""

FRAME_MARGIN = 6
"""Pixels from the edges of an image within which an outline that runs along all of them is its frame."""


@lru_cache(maxsize=2 * MAX_ISLANDS)
def _circles_of(drawing: Drawing) -> list[Round]:
    none = np.zeros(0, np.intp)
    found = [c for c in circles(drawing) if not (c.width and _is_known(c.box, drawing))]
    small = [(s.circle, s.pen) for s in drawing.solids if s.circle is not None]
    return found + [Round(*circle, pen, none) for circle, pen in small]


def circles_in(drawing: Drawing, color: tuple[str, str] | None) -> list[Circle]:
    """The circles of an island; of one colour, if it is given."""
    found = []
    for c in _circles_of(drawing):
        if c.radius < MIN_RING_RATIO * c.width and len(c.members):
            continue
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles)], 1)
        rgb = _paint(drawing, np.array([c.x, c.y]), ring * c.radius, c.width)
        if color is None or accepts(rgb[None], color)[0]:
            radius = float((c.radius + c.width / 2) / drawing.scale)
            found.append(Circle(drawing.place(c.x, c.y), radius, name_of(rgb), drawing.image.root))
    return found


def lines_in(drawing: Drawing, color: tuple[str, str] | None) -> list[Line]:
    """The drawn lines of an island; of one colour, if it is given."""
    return [
        Line(tuple(drawing.place(x, y) for x, y in points), name, drawing.image.root)
        for points, name in drawn_lines(drawing, _circles_of(drawing), color)
    ]


def _is_known(points: Array, drawing: Drawing) -> bool:
    """True if an outline is that of a small shape, which is fitted to its pixels."""
    return any(s.pen and s.holds(points) for s in drawing.solids)


def polygons_in(drawing: Drawing, kind: str, color: tuple[str, str] | None) -> list[Polygon]:
    """The polygons of an island that are of a kind; of one colour, if it is given."""
    areas = filled(drawing, MAX_SIDES)
    outlines = [(a.points, 0.0) for a in areas]
    sides = sides_of(drawing, _circles_of(drawing))
    for outline in polygons(sides):
        width = max(sides[s].width for s in outline.sides)
        thinnest = min(cv2.minAreaRect(outline.points.astype(np.float32))[1])
        if thinnest <= 1.5 * width or (width == 0 and _is_ground(outline.points, drawing)):
            continue
        known = any(_belongs(outline.points, width, a) for a in areas)
        by_pen = all(sides[s].width > 0 for s in outline.sides)
        known = known or (by_pen and _is_known(outline.points, drawing))
        if not known and (by_pen or not _is_made_of(outline.points, areas, drawing)):
            outlines.append((outline.points, width))
    outlines += [(s.points, s.pen) for s in drawing.solids if s.pen and len(s.points)]
    found = []
    for points, width in outlines:
        if kind not in kinds_of(points):
            continue
        middle = points.mean(0)
        rgb = _paint(drawing, middle, _along(points, 12) - middle, width)
        if color is None or accepts(rgb[None], color)[0]:
            corners = tuple(drawing.place(x, y) for x, y in points)
            found.append(Polygon(corners, name_of(rgb), drawing.image.root))
    return found


def panel_grounds(image: Image, color: tuple[str, str]) -> list[Polygon]:
    """The panels of an image whose ground is of a colour, as areas.

    If they fill most of the image, they are its background, and no polygons.
    """
    areas = panels(image.pixels)
    found = []
    for box in areas if len(areas) > 1 else ():
        left, top, right, bottom = (int(v) for v in (box.left, box.top, box.right, box.bottom))
        inside = image.pixels[top:bottom, left:right].astype(np.int16)
        rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        ground = np.median(rim, axis=0)
        flat = (np.abs(inside - ground) <= MAX_SPREAD).all(2).mean() > MIN_GROUND_SHARE
        name = name_of(ground)
        if flat and name == color[0] and accepts(ground[None], color)[0]:
            box = image.to_root(box)
            corners = (
                (box.left, box.top),
                (box.right, box.top),
                (box.right, box.bottom),
                (box.left, box.bottom),
            )
            found.append(Polygon(tuple(Point(x, y) for x, y in corners), name, image.root))
    return found


def polygon_kinds(polygon: Polygon) -> set[str]:
    """All kinds that a polygon is."""
    return kinds_of(np.array([(p.x, p.y) for p in polygon.points]))


def _is_ground(points: Array, drawing: Drawing) -> bool:
    """True if an outline holds mostly the background: what lies between areas, not a shape."""
    inside = np.zeros(drawing.size, np.uint8)
    cv2.fillPoly(inside, [np.rint(points).astype(np.int32)], 1)
    return bool((drawing.areas[inside > 0] == 1).mean() > 0.5)


def _belongs(points: Array, width: float, area: Filled) -> bool:
    """True if an outline is the rim of a filled area once more, or a letter or a scrap on it."""
    rim = area.points.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(rim, (float(x), float(y)), True) for x, y in points])
    reach = 5 + width
    if (inside > -reach).mean() < 0.75:
        return False
    on_rim = (np.abs(inside) < reach).mean()
    return bool(on_rim > 0.3 or np.linalg.norm(np.ptp(points, axis=0)) < 12 * width)


def _is_made_of(points: Array, areas: list[Filled], drawing: Drawing) -> bool:
    """True if an outline goes around several filled areas that fill it, as the blocks of a stack do."""
    if not areas:
        return False
    inside = np.zeros(drawing.size, np.uint8)
    cv2.fillPoly(inside, [np.rint(points).astype(np.int32)], 1)
    within = [a for a in areas if inside[a.window][a.pixels].mean() > 0.9]
    filling = np.zeros(drawing.size, bool)
    for area in within:
        filling[area.window] |= area.pixels
    return len(within) > 1 and bool(filling[inside > 0].mean() > 0.8)


def _paint(drawing: Drawing, middle: Array, rim: Array, width: float) -> Array:
    """The colour (3,) of a shape: of its inside if that differs from what lies around it, else of its outline."""
    inset = width + 3
    size = np.maximum(np.linalg.norm(rim, axis=1, keepdims=True), 1e-6)
    inner = np.median(drawing.sample(middle + rim * np.maximum(1 - inset / size, 0.3)), axis=0)
    outer = np.median(drawing.sample(middle + rim * (1 + inset / size)), axis=0)
    if np.linalg.norm(inner - outer) > 40 or width == 0:
        return np.asarray(inner)
    line = drawing.sample(middle + rim)
    contrast = np.linalg.norm(line - outer, axis=1)
    return np.asarray(np.median(line[contrast >= np.median(contrast)], axis=0))


def _along(points: Array, each: int) -> Array:
    """Points (N * each, 2) along the sides of an outline, without its corners."""
    share = (np.arange(each) + 0.5) / each
    following = np.roll(points, -1, 0)
    return np.asarray((points[:, None] + (following - points)[:, None] * share[None, :, None]).reshape(-1, 2))


def is_frame(polygon: Polygon, image: Image) -> bool:
    """True if an outline runs around the whole image."""
    outer, box = image.box, polygon.box
    gaps = (box.left - outer.left, box.top - outer.top, outer.right - box.right, outer.bottom - box.bottom)
    return max(gaps) < FRAME_MARGIN

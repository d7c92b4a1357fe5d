"""Shapes in drawings: lines, circles, polygons, the grid of a table, panels. Classical geometry, nothing learned.

The picture is taken apart in `drawing.py`; each tool below fits its own kind of shape (`circles.py`,
`lines.py`, `polygons.py`, `grid.py`, `panels.py`). Places are in the frame of the root image.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.registry import tool
from visprog.registry.sees import Sees
from visprog.values import Circle, Grid, Line, Point, Polygon, Region
from visprog.values.colors import accepts, name_of, parse
from visprog.values.image import Image

from .color import COLOR
from .drawing import circles as _circles
from .drawing import filled as _filled
from .drawing import grid as _grid
from .drawing import lines as _lines
from .drawing import panels as _panels
from .drawing import polygons as _polygons
from .drawing import strokes as _drawing
from .drawing.islands import MOST
from .drawing.lettering import without_letters

Array = NDArray[Any]
THICK = 2.4
"""A ring, fitted to curves, whose radius is fewer times the width of its stroke is a letter, or the bend of one."""

MOSTLY = 0.5
"""Least share of a panel that its ground fills, to be seen as an area of that colour."""

RIM = 6
"""Pixels from the edges of an image within which an outline that runs along all of them is its frame."""

LIMITS = "drawings, diagrams and other clean pictures; photographs and textures are refused"
IN_COLOR = Sees(phrases={"color": COLOR})


@tool(limits=LIMITS, sees=IN_COLOR)
def find_circles(image: Image, color: str | None = None) -> list[Circle]:
    """Circles in a drawing, outlined or filled, also where they cross or hide parts of each other.

    From left to right; of one colour only, where `color` is given.

    The radius reaches to the outer edge of what is drawn: half the pen beyond the middle of an outline.

    Raises:
        Refused: an unknown colour name, or an image that is a photograph or has a texture.
    """
    wanted = None if color is None else parse(color)
    drawings = _drawing.read(image)
    found = [c for drawing in drawings for c in _circles_in(drawing, wanted)]
    return sorted(without_letters(found, drawings), key=lambda c: (c.center.x, c.center.y))


@tool(limits=LIMITS, sees=Sees(phrases={"kind": _polygons.KIND, "color": COLOR}))
def find_polygons(image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
    """Polygons in a drawing, outlined or filled, also nested or crossing.

    From left to right; of one kind and one colour only, where these are given.

    Args:
        kind: "triangle", "square", "rectangle" (squares are rectangles too), "diamond", "rhombus",
            "parallelogram", "trapezoid", "quadrilateral", "pentagon", "hexagon", "heptagon", "octagon",
            "star", or "polygon" for all.

    Raises:
        Refused: an unknown kind or colour name, or an image that is a photograph or has a texture.
    """
    name = _polygons.parse_kind(kind)
    wanted = None if color is None else parse(color)
    drawings = _drawing.read(image)
    found = [p for drawing in drawings for p in _polygons_in(drawing, name, wanted)]
    found = without_letters([p for p in found if not _frames(p, image)], drawings)
    if not found and wanted is not None:
        found = [p for p in _grounds(image, wanted) if name in _kinds(p)]
    return sorted(found, key=lambda p: (p.center.x, p.center.y))


@tool(limits=LIMITS, sees=IN_COLOR)
def find_lines(image: Image, color: str | None = None) -> list[Line]:
    """Drawn lines, straight or bent, as polylines with a point at each bend; of one colour, if given.

    A line goes on beneath others that cross it.

    Raises:
        Refused: an unknown colour name, or an image that is a photograph or has a texture.
    """
    wanted = None if color is None else parse(color)
    return [
        Line(tuple(drawing.place(x, y) for x, y in points), name, image.root)
        for drawing in _drawing.read(image)
        for points, name in _lines.drawn(drawing, _circles_of(drawing), wanted)
    ]


@tool(limits=LIMITS)
def find_grid(image: Image) -> Grid:
    """The ruled table in an image: how many rows and columns it has, whatever is written in its cells.

    Raises:
        ToolError: there is no grid.
    """
    return _grid.grid(image)


@tool(limits="panels that straight bars or gutters of one flat colour keep apart")
def find_panels(image: Image) -> list[Region]:
    """The panels of an image that is laid out as several: boxes side by side, sub-figures, frames of a comic.

    Row by row, from left to right; the whole image where nothing parts it. crop(image, panel) is one of them as
    a picture.
    """
    return [Region(image.to_root(box), "panel", 1.0, image.root) for box in _panels.panels(image.pixels)]


@lru_cache(maxsize=2 * MOST)
def _circles_of(drawing: _drawing.Drawing) -> list[_circles.Round]:
    none = np.zeros(0, np.intp)
    found = [c for c in _circles.circles(drawing) if not (c.width and _is_known(c.box, drawing))]
    small = [(s.circle, s.pen) for s in drawing.solids if s.circle is not None]
    return found + [_circles.Round(*circle, pen, none) for circle, pen in small]


def _circles_in(drawing: _drawing.Drawing, wanted: tuple[str, str] | None) -> list[Circle]:
    """The circles of an island, of one colour only, if wanted."""
    found = []
    for c in _circles_of(drawing):
        if c.radius < THICK * c.width and len(c.members):
            continue
        angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
        ring = np.stack([np.cos(angles), np.sin(angles)], 1)
        rgb = _paint(drawing, np.array([c.x, c.y]), ring * c.radius, c.width)
        if wanted is None or accepts(rgb[None], wanted)[0]:
            radius = float((c.radius + c.width / 2) / drawing.scale)
            found.append(Circle(drawing.place(c.x, c.y), radius, name_of(rgb), drawing.image.root))
    return found


def _is_known(points: Array, drawing: _drawing.Drawing) -> bool:
    """True if an outline is that of a small shape, which is fitted to its pixels."""
    return any(s.pen and s.holds(points) for s in drawing.solids)


def _polygons_in(drawing: _drawing.Drawing, name: str, wanted: tuple[str, str] | None) -> list[Polygon]:
    """The polygons of an island that are of a kind, and of one colour only, if wanted."""
    areas = _filled.filled(drawing, _polygons.MOST_SIDES)
    outlines = [(a.points, 0.0) for a in areas]
    sides = _lines.sides(drawing, _circles_of(drawing))
    for outline in _polygons.polygons(sides):
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
        if name not in _polygons.kinds_of(points):
            continue
        middle = points.mean(0)
        rgb = _paint(drawing, middle, _along(points, 12) - middle, width)
        if wanted is None or accepts(rgb[None], wanted)[0]:
            corners = tuple(drawing.place(x, y) for x, y in points)
            found.append(Polygon(corners, name_of(rgb), drawing.image.root))
    return found


def _grounds(image: Image, wanted: tuple[str, str]) -> list[Polygon]:
    """The panels whose ground is of one colour, as areas: where they fill most of a picture, they are drawn as its
    background."""
    areas = _panels.panels(image.pixels)
    found = []
    for box in areas if len(areas) > 1 else ():
        left, top, right, bottom = (int(v) for v in (box.left, box.top, box.right, box.bottom))
        inside = image.pixels[top:bottom, left:right].astype(np.int16)
        rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
        ground = np.median(rim, axis=0)
        flat = (np.abs(inside - ground) <= _panels.ALIKE).all(2).mean() > MOSTLY
        name = name_of(ground)
        if flat and name == wanted[0] and accepts(ground[None], wanted)[0]:
            box = image.to_root(box)
            corners = [
                (box.left, box.top),
                (box.right, box.top),
                (box.right, box.bottom),
                (box.left, box.bottom),
            ]
            found.append(Polygon(tuple(Point(x, y) for x, y in corners), name, image.root))
    return found


def _kinds(polygon: Polygon) -> set[str]:
    return _polygons.kinds_of(np.array([(p.x, p.y) for p in polygon.points]))


def _is_ground(points: Array, drawing: _drawing.Drawing) -> bool:
    """True if an outline holds mostly the background: what lies between areas, not a thing."""
    inside = np.zeros(drawing.size, np.uint8)
    cv2.fillPoly(inside, [np.rint(points).astype(np.int32)], 1)
    return bool((drawing.areas[inside > 0] == 1).mean() > 0.5)


def _belongs(points: Array, width: float, area: _filled.Filled) -> bool:
    """True if an outline is the rim of a filled area once more, or a letter or a scrap on it."""
    rim = area.points.astype(np.float32)
    inside = np.array([cv2.pointPolygonTest(rim, (float(x), float(y)), True) for x, y in points])
    reach = 5 + width
    if (inside > -reach).mean() < 0.75:
        return False
    on_rim = (np.abs(inside) < reach).mean()
    return bool(on_rim > 0.3 or np.linalg.norm(np.ptp(points, axis=0)) < 12 * width)


def _is_made_of(points: Array, areas: list[_filled.Filled], drawing: _drawing.Drawing) -> bool:
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


def _paint(drawing: _drawing.Drawing, middle: Array, rim: Array, width: float) -> Array:
    """The colour (3,) of a shape: of its inside where that differs from what lies around it, else of its
    outline."""
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


def _frames(polygon: Polygon, image: Image) -> bool:
    """True if an outline runs around the whole image."""
    outer, box = image.box, polygon.box
    gaps = (box.left - outer.left, box.top - outer.top, outer.right - box.right, outer.bottom - box.bottom)
    return max(gaps) < RIM

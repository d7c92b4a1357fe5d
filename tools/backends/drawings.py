"""Shapes in drawings that a phrase names, found by `find_circles`, `find_lines`, `find_polygons`, `find_panels`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TypeAlias, TypeVar

import numpy as np

from visprog.errors import Refused
from visprog.values import Box, Circle, Line, Located, Polygon, Region
from visprog.values.colors import parse as parse_color
from visprog.values.image import Image

from ..color import has_color
from ..drawing.polygons import kinds_of
from ..drawing.strokes import MAX_ISLAND_SIDE
from ..imaging.flatness import is_drawing
from ..shapes import find_circles, find_lines, find_panels, find_polygons
from ..words.drawn import POLYGONS, Drawn

T = TypeVar("T", bound=Located)
Shape: TypeAlias = Circle | Line | Polygon
ENDS = ("top", "bottom")
"""Places that name a block of a tower."""

LABELS = (
    "triangle", "square", "rectangle", "star", "pentagon", "hexagon", "heptagon", "octagon", "quadrilateral",
)  # fmt: skip
"""Labels of a polygon whose kind the phrase does not name, the first that fits."""

SIZE_RATIO = 1.25
"""Least ratio between the sides of a shape and the next smaller one, if they are of different sizes."""

SAME_IOU = 0.8
"""Intersection over union from which two boxes are the same part of a drawing."""

MIN_OFFSET = 0.25
"""Distance, in pixels, from the middle of an image from which a shape lies in a half of it."""

MAX_GAP = 0.15
"""Widest gap between a block and what it stands on, as a share of its height; never less than 2 pixels."""


def find_drawn(image: Image, wanted: Drawn) -> list[Region]:
    """All shapes that a phrase names in a drawing, from left to right. A crop is seen as a part of its drawing.

    Sizes are relative: the sides of all drawn shapes of the whole drawing (of towers or panels, for these) are parted
    at the widest steps of at least 1.25 times, at two steps into small, medium and large, at one into small and large.

    A place is the half of the image that a shape's centre lies in; of panels and towers, which stand in rows, the
    first, the last, or the middle one; where all shapes are blocks in towers, the top and bottom block of each.

    Raises:
        Refused: The noun may mean a real object, and the image is no drawing; or all shapes are of one size.
    """
    if not wanted.is_shape and not is_drawing(image):
        raise Refused(
            f"'{wanted.noun}' is known by its outline in drawings alone, and this image is none: name the kind of "
            f"object; what is seen in photographs depends on the backend set under [tools.detect] in visprog.toml"
        )
    found = _panels(image, wanted.color) if wanted.kind in ("panel", "box") else []
    if found or wanted.kind == "panel":
        return _in_row(_of_size(found, found, wanted), wanted.places)
    whole = image if max(image.root.size) > MAX_ISLAND_SIDE else image.root
    if wanted.kind == "tower":
        towers = _towers(whole)
        found = [
            t
            for t, blocks in towers
            if wanted.count in (0, len(blocks))
            and (not wanted.color or all(_is_of(b, wanted.color) for b in blocks))
        ]
        found = _of_size(found, [t for t, _ in towers], wanted)
        return _in_row([t for t in found if image.box.contains(t.center)], wanted.places)
    shapes = _shapes(whole, wanted.kind, wanted.color)
    shapes = _of_size(shapes, _shapes(whole, "thing") if wanted.size else shapes, wanted)
    inside = [s for s in shapes if image.box.contains(s.box.center)]
    ends = _ends(whole, wanted)
    if ends is not None:
        inside = [s for s in inside if any(s.box.iou(end) > SAME_IOU for end in ends)]
    halves = [place for place in wanted.places if ends is None or place not in ENDS]
    placed = [s for s in inside if all(_lies(s.box, place, image.box) for place in halves)]
    return [Region(s.box, _label(s, wanted), 1.0, image.root) for s in placed]


def _shapes(image: Image, kind: str, color: str = "") -> list[Shape]:
    """Shapes of one kind, "thing" for all, from left to right."""
    found: list[Shape] = []
    if kind == "line":
        found += find_lines(image, color or None)
    if kind in ("thing", "circle"):
        found += find_circles(image, color or None)
    if kind in POLYGONS | {"thing", "block", "box"}:
        polygon = {"thing": "polygon", "block": "rectangle", "box": "rectangle"}.get(kind, kind)
        found += find_polygons(image, polygon, color or None)
    return sorted(found, key=lambda s: (s.box.center.x, s.box.center.y))


def _label(shape: Shape, wanted: Drawn) -> str:
    name = wanted.kind if wanted.kind in POLYGONS | {"line"} else "circle"
    if isinstance(shape, Polygon) and wanted.kind not in POLYGONS:
        kinds = kinds_of(np.array([(p.x, p.y) for p in shape.points]))
        name = next((kind for kind in LABELS if kind in kinds), "polygon")
    return f"{shape.color} {name}" if shape.color else name


def _is_of(shape: Polygon, color: str) -> bool:
    return shape.color == parse_color(color)[0]


# -- sizes and places --------------------------------------------------------------------------------------------------


def _of_size(found: Sequence[T], among: Sequence[Located], wanted: Drawn) -> list[T]:
    """The ones of a size, relative to others."""
    if not wanted.size or not found:
        return list(found)
    borders = _borders([_side(s) for s in among])
    if not borders:
        raise Refused(
            f"none is {wanted.size} here: all {len(among)} shapes are of about one size. Leave the size out of "
            f"'{wanted.size} {wanted.noun}', or measure: .width, .height, .area"
        )
    least = {"small": 0.0, "large": borders[-1]}.get(wanted.size, borders[0])
    most = {"small": borders[0], "large": float("inf")}.get(wanted.size, borders[-1])
    return [s for s in found if least <= _side(s) < most]


def _borders(sides: Sequence[float]) -> list[float]:
    """Sides between two sizes: at most two, at the widest steps of the sides in order, the smaller first."""
    ordered = sorted(max(side, 1.0) for side in sides)
    steps = [(b / a, (a * b) ** 0.5) for a, b in pairwise(ordered) if b / a >= SIZE_RATIO]
    return sorted(border for _, border in sorted(steps, reverse=True)[:2])


def _side(shape: Located) -> float:
    return max(shape.box.width, shape.box.height)


def _lies(box: Box, place: str, within: Box) -> bool:
    """Whether the centre of a box lies in a half of another, plainly: in the middle it lies in neither."""
    x, y = box.center.x - within.center.x, box.center.y - within.center.y
    return {"left": -x, "right": x, "top": -y, "bottom": y}[place] > MIN_OFFSET


def _in_row(found: list[Region], places: Sequence[str]) -> list[Region]:
    """The ones at a place, of regions that stand in a row or column."""
    for place in places:
        if place == "middle":
            found = found[len(found) // 2 : len(found) // 2 + 1] if len(found) % 2 else []
        elif found:
            first = min(found, key=partial(_rank, place))
            slack = min(first.width, first.height) / 2
            found = [r for r in found if _rank(place, r) <= _rank(place, first) + slack]
    return found


def _rank(place: str, shape: Located) -> float:
    """Distance from the side that a place names, up to a constant."""
    x, y = shape.box.center.x, shape.box.center.y
    return {"left": x, "right": -x, "top": y, "bottom": -y}[place]


# -- panels and towers -------------------------------------------------------------------------------------------------


def _panels(image: Image, color: str) -> list[Region]:
    """The panels of an image, or the image itself as one of its root's; none if it is not laid out so."""
    around = find_panels(image.root) if image.parent is not None else []
    if len(around) > 1 and any(image.box.iou(p) > SAME_IOU for p in around):
        found = [Region(image.box, "panel", 1.0, image.root)]
    else:
        found = find_panels(image)
        found = found if len(found) > 1 else []
    return [p for p in found if not color or has_color(p, color)]


def _towers(image: Image) -> list[tuple[Region, list[Polygon]]]:
    """Blocks that stand on one another, each with the blocks; also a single block that stands on the ground, the lower
    edge of its panel."""
    blocks = [s for s in _shapes(image, "block") if isinstance(s, Polygon)]
    groups: list[list[Polygon]] = []
    for block in blocks:
        touched = [
            g for g in groups if any(_stands_on(block.box, b.box) or _stands_on(b.box, block.box) for b in g)
        ]
        groups = [g for g in groups if g not in touched] + [[block, *(b for g in touched for b in g)]]
    panels = [p.box for p in find_panels(image) if all(p.iou(b) < SAME_IOU for b in blocks)]
    found = []
    for group in groups:
        box = group[0].box
        for block in group[1:]:
            box = box.union(block.box)
        if len(group) > 1 or any(
            p.contains(box.center) and abs(box.bottom - p.bottom) <= _gap(box) for p in panels
        ):
            found.append((Region(box, "tower", 1.0, image.root), group))
    return sorted(found, key=lambda t: t[0].box.center.x)


def _ends(image: Image, wanted: Drawn) -> list[Box] | None:
    """The top or bottom blocks of all towers; None if none are wanted, or other shapes are there too."""
    wanted_ends = [place for place in wanted.places if place in ENDS]
    if wanted.kind != "block" or len(wanted_ends) != 1:
        return None
    towers = [blocks for _, blocks in _towers(image)]
    if not towers or sum(map(len, towers)) < len(_shapes(image, "thing")):
        return None
    return [min((b.box for b in blocks), key=partial(_rank, wanted_ends[0])) for blocks in towers]


def _stands_on(upper: Box, lower: Box) -> bool:
    shared = min(upper.right, lower.right) - max(upper.left, lower.left)
    return shared >= 0.5 * min(upper.width, lower.width) and abs(upper.bottom - lower.top) <= _gap(upper)


def _gap(block: Box) -> float:
    return max(2.0, MAX_GAP * min(block.width, block.height))

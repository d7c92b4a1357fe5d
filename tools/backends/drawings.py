"""Things in drawings by the words that people have for them: "small black triangle", "block", "tower", "left box".

A phrase is any of a size, a form, a colour and a place, in any order, and a noun; the place may also follow ("on the
left"), and of towers what they are made of ("tower of three blocks").
Shapes are found by `find_circles` and `find_polygons`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from typing import TypeAlias, TypeVar

import numpy as np

from visprog.errors import Refused
from visprog.values import Box, Circle, Line, Located, Polygon, Region
from visprog.values.colors import NAMES, SYNONYMS
from visprog.values.colors import parse as parse_color
from visprog.values.image import Image

from ..drawing.strokes import LONGEST
from ..imaging.flatness import is_drawing
from ..words.phrase import TONES, Phrase, read_phrase, read_yaml, singular

T = TypeVar("T", bound=Located)
Shape: TypeAlias = Circle | Line | Polygon
SHAPES = frozenset(("circle", "disc", "disk", "ring", "shape", "geometric shape", "geometric figure"))
"""Nouns, next to those of polygons and lines, that mean a shape in any image."""

ENDS = ("top", "bottom")
"""Places that name a block of a tower."""

IN_ROWS = frozenset(("box", "panel", "tower"))
"""Kinds that stand side by side or one below another, of which one can be the middle one."""

POLYGONS = frozenset(
    ("polygon", "triangle", "square", "rectangle", "diamond", "rhombus", "parallelogram", "trapezoid",
     "quadrilateral", "pentagon", "hexagon", "heptagon", "octagon", "star")
)  # fmt: skip
LIKELY = (
    "triangle",
    "square",
    "rectangle",
    "star",
    "pentagon",
    "hexagon",
    "heptagon",
    "octagon",
    "quadrilateral",
)
"""Names for the label of a polygon that was not asked for by name, the first that fits."""

OTHER_SIZE = 1.25
"""How many times longer a shape is than the next smaller one, to be of another size."""

SAME = 0.8
"""Intersection over union from which two boxes are the same part of a drawing."""

PLAINLY = 0.25
"""Pixels from the middle of an image from which on a shape is in a half of it."""

TOUCHING = 0.15
"""Widest gap between a block and what it stands on, as a share of its height; never less than 2 pixels."""


@dataclass(frozen=True)
class Drawn:
    """What is asked for.

    Attributes:
        kind: what is found: circle, line, a kind of polygon, thing, block, box, panel or tower.
        noun: as it was said, in the singular.
        color, size: "" for any; the size is small, medium or large.
        places: left, right, top, bottom, middle: all of them hold.
        count: of the blocks in a tower; 0 for any.
    """

    kind: str
    noun: str
    color: str = ""
    size: str = ""
    places: tuple[str, ...] = ()
    count: int = 0

    @property
    def is_shape(self) -> bool:
        """Whether the noun means a shape in any image; a ball, a box or a square object may be a real one."""
        return read_yaml("drawn")["nouns"][self.noun] in POLYGONS | {"line"} or self.noun in SHAPES


def read_drawn(phrase: Phrase) -> Drawn | None:
    """A phrase as what it names in a drawing; None if it names nothing drawn."""
    table = read_yaml("drawn")
    sizes, places, nouns, forms = table["sizes"], table["places"], table["nouns"], table["forms"]
    text = re.sub(r"[- ](?:sized?|shaped)\b", "", phrase.whole)
    found_places: list[str] = []
    if after := re.fullmatch(table["after"], text):
        text = singular(after["thing"])
        found_places += [places[w] for w in re.split(r"[\s-]+", after["place"]) if w in places]
    if made := re.fullmatch(table["made"], text):
        return _made_of(made, tuple(found_places))
    words = text.split()
    size, form, count, colors = "", "", 0, list[str]()
    while words and " ".join(words) not in nouns:
        word, *words = words
        if word in sizes and not size:
            size = sizes[word]
        elif not form and (word in forms or nouns.get(word) in POLYGONS | {"circle"}):
            form = forms.get(word) or nouns[word]
        elif not count and (per := re.fullmatch(table["per"], word)) and _number(per["count"]):
            count = _number(per["count"])
        elif all(part in places for part in word.split("-")):
            found_places += [places[part] for part in word.split("-")]
        elif word in TONES or word in NAMES or word in SYNONYMS:
            colors.append(word)
        elif word not in table["fillers"]:
            return None
    if not words or (colors and all(word in TONES for word in colors)):
        return None
    noun = " ".join(words)
    kind = _formed(nouns[noun], form)
    if not kind or (size and kind == "line") or (count and kind != "tower"):
        return None
    if "middle" in found_places and kind not in IN_ROWS:
        return None
    return Drawn(kind, noun, " ".join(colors), size, tuple(found_places), count)


def _made_of(made: re.Match[str], places: tuple[str, ...]) -> Drawn | None:
    """A tower of so many blocks, or of blocks of one colour; None if something else is said of it.

    What a tower is made of holds for all of it, what it is "with" may be a part.
    """
    tower, blocks = (read_drawn(read_phrase(made[part])) for part in ("tower", "blocks"))
    if tower is None or tower.kind != "tower" or blocks is None:
        return None
    count = _number(made["blocks"].split()[0])
    of_all = made["how"] != "with"
    if blocks != Drawn("block", blocks.noun, blocks.color if of_all else "") or not (of_all or count):
        return None
    if (tower.color and blocks.color) or (tower.count and count):
        return None
    return replace(
        tower, color=tower.color or blocks.color, places=tower.places + places, count=tower.count or count
    )


def _number(word: str) -> int:
    """What a number word or numeral says; 0 if it is none."""
    return int(word) if word.isdecimal() else int(read_yaml("drawn")["numbers"].get(word, 0))


def _formed(kind: str, form: str) -> str:
    """The kind of what has a form: a round thing is a circle; "" if there is no such kind."""
    if not form or kind == form or (kind == "block" and form == "rectangle"):
        return kind
    return form if kind == "thing" or (kind == "block" and form == "square") else ""


def find_drawn(image: Image, asked: Drawn) -> list[Region]:
    """All that a phrase names in a drawing, from left to right. A crop is seen as a part of its drawing.

    Sizes are relative: the sides of all drawn shapes of the whole drawing (of towers or panels, for these) are parted
    at the widest steps of at least 1.25 times, at two steps into small, medium and large, at one into small and large.

    A place is the half of the image that a shape's centre lies in; of panels and towers, which stand in rows, the
    first, the last, or the middle one; where all shapes are blocks in towers, the top and bottom block of each.

    Raises:
        Refused: the noun may mean a real thing, and the image is no drawing; or all shapes are of one size.
    """
    if not asked.is_shape and not is_drawing(image):
        raise Refused(
            f"'{asked.noun}' can be told from its outline in drawings alone, and this image is none: name the kind of "
            f"object; what is seen in photographs depends on the backend set under [tools.detect] in visprog.toml"
        )
    found = _panels(image, asked.color) if asked.kind in ("panel", "box") else []
    if found or asked.kind == "panel":
        return _in_row(_of_size(found, found, asked), asked.places)
    whole = image if max(image.root.size) > LONGEST else image.root
    if asked.kind == "tower":
        towers = _towers(whole)
        found = [
            t
            for t, blocks in towers
            if asked.count in (0, len(blocks))
            and (not asked.color or all(_is_of(b, asked.color) for b in blocks))
        ]
        found = _of_size(found, [t for t, _ in towers], asked)
        return _in_row([t for t in found if image.box.contains(t.center)], asked.places)
    shapes = _shapes(whole, asked.kind, asked.color)
    shapes = _of_size(shapes, _shapes(whole, "thing") if asked.size else shapes, asked)
    inside = [s for s in shapes if image.box.contains(s.box.center)]
    ends = _ends(whole, asked)
    if ends is not None:
        inside = [s for s in inside if any(s.box.iou(end) > SAME for end in ends)]
    halves = [place for place in asked.places if ends is None or place not in ENDS]
    placed = [s for s in inside if all(_lies(s.box, place, image.box) for place in halves)]
    return [Region(s.box, _label(s, asked), 1.0, image.root) for s in placed]


def _shapes(image: Image, kind: str, color: str = "") -> list[Shape]:
    """Shapes of one kind, "thing" for all, from left to right."""
    from ..shapes import find_circles, find_lines, find_polygons

    found: list[Shape] = []
    if kind == "line":
        found += find_lines(image, color or None)
    if kind in ("thing", "circle"):
        found += find_circles(image, color or None)
    if kind in POLYGONS | {"thing", "block", "box"}:
        polygon = {"thing": "polygon", "block": "rectangle", "box": "rectangle"}.get(kind, kind)
        found += find_polygons(image, polygon, color or None)
    return sorted(found, key=lambda s: (s.box.center.x, s.box.center.y))


def _label(shape: Shape, asked: Drawn) -> str:
    name = asked.kind if asked.kind in POLYGONS | {"line"} else "circle"
    if isinstance(shape, Polygon) and asked.kind not in POLYGONS:
        from ..drawing.polygons import kinds_of

        kinds = kinds_of(np.array([(p.x, p.y) for p in shape.points]))
        name = next((kind for kind in LIKELY if kind in kinds), "polygon")
    return f"{shape.color} {name}" if shape.color else name


def _is_of(shape: Polygon, color: str) -> bool:
    return shape.color == parse_color(color)[0]


# -- sizes and places --------------------------------------------------------------------------------------------------


def _of_size(found: Sequence[T], among: Sequence[Located], asked: Drawn) -> list[T]:
    """Those of a size, as it stands among others."""
    if not asked.size or not found:
        return list(found)
    borders = _borders([_side(s) for s in among])
    if not borders:
        raise Refused(
            f"none is {asked.size} here: all {len(among)} shapes are of about one size. Leave the size out of "
            f"'{asked.size} {asked.noun}', or measure: .width, .height, .area"
        )
    least = {"small": 0.0, "large": borders[-1]}.get(asked.size, borders[0])
    most = {"small": borders[0], "large": float("inf")}.get(asked.size, borders[-1])
    return [s for s in found if least <= _side(s) < most]


def _borders(sides: Sequence[float]) -> list[float]:
    """Between sizes: at most two, at the widest steps of the sides in order, the smaller first."""
    ordered = sorted(max(side, 1.0) for side in sides)
    steps = [(b / a, (a * b) ** 0.5) for a, b in pairwise(ordered) if b / a >= OTHER_SIZE]
    return sorted(border for _, border in sorted(steps, reverse=True)[:2])


def _side(shape: Located) -> float:
    return max(shape.box.width, shape.box.height)


def _lies(box: Box, place: str, within: Box) -> bool:
    """Whether the centre of a box lies in a half of another, plainly: in the middle it lies in neither."""
    x, y = box.center.x - within.center.x, box.center.y - within.center.y
    return {"left": -x, "right": x, "top": -y, "bottom": y}[place] > PLAINLY


def _in_row(found: list[Region], places: Sequence[str]) -> list[Region]:
    """The ones at a place, of things that stand in a row or column."""
    for place in places:
        if place == "middle":
            found = found[len(found) // 2 : len(found) // 2 + 1] if len(found) % 2 else []
        elif found:
            first = min(found, key=partial(_rank, place))
            slack = min(first.width, first.height) / 2
            found = [r for r in found if _rank(place, r) <= _rank(place, first) + slack]
    return found


def _rank(place: str, thing: Located) -> float:
    """How far a thing is from the side that a place names, up to a constant."""
    x, y = thing.box.center.x, thing.box.center.y
    return {"left": x, "right": -x, "top": y, "bottom": -y}[place]


# -- panels and towers -------------------------------------------------------------------------------------------------


def _panels(image: Image, color: str) -> list[Region]:
    """The panels of an image, or the image itself as one of its root's; none if it is not laid out so."""
    from ..color import has_color
    from ..shapes import find_panels

    around = find_panels(image.root) if image.parent is not None else []
    if len(around) > 1 and any(image.box.iou(p) > SAME for p in around):
        found = [Region(image.box, "panel", 1.0, image.root)]
    else:
        found = find_panels(image)
        found = found if len(found) > 1 else []
    return [p for p in found if not color or has_color(p, color)]


def _towers(image: Image) -> list[tuple[Region, list[Polygon]]]:
    """Blocks that stand on one another, each with the blocks; also a single block that stands on the ground, the lower
    edge of its panel."""
    from ..shapes import find_panels

    blocks = [s for s in _shapes(image, "block") if isinstance(s, Polygon)]
    groups: list[list[Polygon]] = []
    for block in blocks:
        touched = [
            g for g in groups if any(_stands_on(block.box, b.box) or _stands_on(b.box, block.box) for b in g)
        ]
        groups = [g for g in groups if g not in touched] + [[block, *(b for g in touched for b in g)]]
    panels = [p.box for p in find_panels(image) if all(p.iou(b) < SAME for b in blocks)]
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


def _ends(image: Image, asked: Drawn) -> list[Box] | None:
    """The top or bottom blocks of all towers; None where no such are asked for, or other shapes are there too."""
    asked_ends = [place for place in asked.places if place in ENDS]
    if asked.kind != "block" or len(asked_ends) != 1:
        return None
    towers = [blocks for _, blocks in _towers(image)]
    if not towers or sum(map(len, towers)) < len(_shapes(image, "thing")):
        return None
    return [min((b.box for b in blocks), key=partial(_rank, asked_ends[0])) for blocks in towers]


def _stands_on(upper: Box, lower: Box) -> bool:
    shared = min(upper.right, lower.right) - max(upper.left, lower.left)
    return shared >= 0.5 * min(upper.width, lower.width) and abs(upper.bottom - lower.top) <= _gap(upper)


def _gap(block: Box) -> float:
    return max(2.0, TOUCHING * min(block.width, block.height))

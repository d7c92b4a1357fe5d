"""Tools that answer from a scene of plain shapes that is described to the pixel, instead of from its picture."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ToolError
from ..values import Box, Circle, Point, Polygon, Region
from ..values.image import Image

_NOUNS: Mapping[str, str] = {
    **dict.fromkeys(("square", "block", "brick", "cube"), "square"),
    **dict.fromkeys(("circle", "disc", "disk", "ball", "dot"), "circle"),
    **dict.fromkeys(("triangle", "pyramid"), "triangle"),
    **dict.fromkeys(("item", "object", "thing", "shape", "element", "figure", "piece"), "thing"),
    **dict.fromkeys(("box", "panel", "frame"), "panel"),
    **dict.fromkeys(("tower", "stack"), "tower"),
}
_POLYGONS: Mapping[str, tuple[str, ...]] = {
    "square": ("square", "rectangle", "quadrilateral", "parallelogram", "rhombus", "polygon", "shape"),
    "triangle": ("triangle", "polygon", "shape"),
}
_COLORS = "black white grey red orange yellow green cyan blue purple pink brown beige".split()
_SIZES = ("small", "medium", "big", "large")
_GROUND = "grey"


@dataclass(frozen=True)
class Thing:
    """One shape of a scene.

    Attributes:
        box: its place, in pixels of the picture.
        shape: square, triangle (point up) or circle.
        color: as a basic name.
        size: small, medium or large; empty where sizes have no names.
    """

    box: Box
    shape: str
    color: str
    size: str = ""


class ShapesOracle:
    """The answers that perfect tools would give about a scene.

    Args:
        things: what there is to see.
        panels: the parts that the picture is laid out in; the ground of each is grey.
    """

    def __init__(self, things: Sequence[Thing], panels: Sequence[Box]) -> None:
        self.things = tuple(things)
        self.panels = tuple(panels)

    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """By name, with the arguments of the tools that they stand for."""
        return {
            "detect": self.detect,
            "find_panels": self.find_panels,
            "find_polygons": self.find_polygons,
            "find_circles": self.find_circles,
            "dominant_color": self.dominant_color,
            "has_color": self.has_color,
            "classify": self.classify,
            "verify": self.verify,
        }

    def detect(self, image: Image, what: str) -> list[Region]:
        """Shapes, panels and towers (all that stands in one panel) that a noun phrase names.

        Raises:
            ToolError: the phrase names none of these.
        """
        words = _words(what)
        noun = next((_NOUNS[w] for w in reversed(words) if w in _NOUNS), "")
        color = next((w for w in words if w in _COLORS), "")
        size = {"big": "large"}.get(s := next((w for w in words if w in _SIZES), ""), s)
        if noun == "panel" or (noun == "square" and color == _GROUND):
            return self.find_panels(image)
        if not noun:
            raise ToolError(f"the scene is described in other words than '{what}': {', '.join(_NOUNS)}")
        if noun == "tower":
            return self._towers(image)
        return [
            Region(t.box, f"{t.color} {t.shape}", 1.0, image.root)
            for t in self._seen(image)
            if noun in (t.shape, "thing") and color in ("", t.color) and size in ("", t.size)
        ]

    def find_panels(self, image: Image) -> list[Region]:
        """The panels, or the whole image where it lies in one of them."""
        inside = [p for p in self.panels if image.box.contains(p.center)]
        found = inside if len(inside) > 1 else [image.box]
        return [Region(box, "panel", 1.0, image.root) for box in found]

    def find_polygons(self, image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
        """Squares and triangles, each under every name that fits."""
        word = _words(kind)[-1] if _words(kind) else kind
        return [
            Polygon(_corners(t), t.color, image.root)
            for t in self._seen(image)
            if word in _POLYGONS.get(t.shape, ()) and (color is None or color.lower() == t.color)
        ]

    def find_circles(self, image: Image, color: str | None = None) -> list[Circle]:
        """The circles, of one colour where it is given."""
        return [
            Circle(t.box.center, t.box.width / 2, t.color, image.root)
            for t in self._seen(image)
            if t.shape == "circle" and (color is None or color.lower() == t.color)
        ]

    def dominant_color(self, image: Any) -> str:
        """The colour of the shape that is meant; that of the ground for a panel."""
        thing = self._meant(image)
        return thing.color if thing else _GROUND

    def has_color(self, image: Any, color: str) -> bool:
        """Whether that is its colour."""
        return self.dominant_color(image) in _words(color)

    def classify(self, image: Any, options: list[str]) -> str:
        """The option that names the shape's colour, size or kind.

        Raises:
            ToolError: none of them does.
        """
        for option in options:
            if self._fits(image, option):
                return option
        raise ToolError(f"none of {', '.join(options)} describes what is there")

    def verify(self, image: Any, statement: str) -> bool:
        """Whether all that is said of colour, size and kind is so.

        Raises:
            ToolError: it says something else, or nothing of these.
        """
        return self._fits(image, statement)

    def _fits(self, place: Any, text: str) -> bool:
        known = (*_COLORS, *_SIZES, *_NOUNS)
        said = [
            w for w in _words(text) if w not in ("a", "an", "the", "is", "it", "this", "that", "in", "color")
        ]
        if not said or not set(said) <= set(known):
            raise ToolError(f"the scene does not say whether '{text}' is so")
        thing = self._meant(place)
        if thing is None:
            return all(_NOUNS.get(w, w) in ("panel", _GROUND) for w in said)
        large = "big" if thing.size == "large" else thing.size
        true = {thing.color, thing.size, large, thing.shape, "thing"}
        return all(_NOUNS.get(w, w) in true for w in said)

    def _seen(self, image: Image) -> list[Thing]:
        """What lies in the image, or in the part of it that was cut out, from left to right."""
        inside = [t for t in self.things if image.box.contains(t.box.center)]
        return sorted(inside, key=lambda t: (t.box.center.x, t.box.center.y))

    def _towers(self, image: Image) -> list[Region]:
        found = []
        for panel in self.panels:
            boxes = [t.box for t in self._seen(image) if panel.contains(t.box.center) and t.shape == "square"]
            if boxes:
                around = Box(
                    min(b.left for b in boxes),
                    min(b.top for b in boxes),
                    max(b.right for b in boxes),
                    max(b.bottom for b in boxes),
                )
                found.append(Region(around, "tower", 1.0, image.root))
        return found

    def _meant(self, place: Any) -> Thing | None:
        """The shape that a region or a crop lies on; None for a panel or an empty place."""
        fits = [(t.box.iou(place.box), t) for t in self.things]
        share, thing = max(fits, key=lambda f: f[0], default=(0.0, None))
        return thing if share > 0.3 else None


def _words(text: str) -> list[str]:
    """Words in lower case, British and in the singular."""
    found = []
    for word in re.findall(r"[a-z]+", text.lower()):
        word = {"gray": "grey", "boxes": "box"}.get(word, word)
        singular = word.removesuffix("s")
        found.append(singular if singular in _NOUNS or singular in ("rectangle", "polygon") else word)
    return found


def _corners(thing: Thing) -> tuple[Point, ...]:
    box = thing.box
    base = (Point(box.right, box.bottom), Point(box.left, box.bottom))
    if thing.shape == "triangle":
        return (Point(box.center.x, box.top), *base)
    return (Point(box.left, box.top), Point(box.right, box.top), *base)

"""Tools that answer from the exact description of a scene of plain shapes, instead of from its pixels."""

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
class DrawnObject:
    """One shape of a scene.

    Attributes:
        box: Bounding box, in pixels of the image.
        shape: Square, triangle (point up) or circle.
        color: Basic name of the colour.
        size: Small, medium or large; empty if sizes have no names.
    """

    box: Box
    shape: str
    color: str
    size: str = ""


class ShapesOracle:
    """The answers of perfect tools about a scene.

    Args:
        objects: Objects of the scene.
        panels: Parts that the image is divided into; each has a grey background.
    """

    def __init__(self, objects: Sequence[DrawnObject], panels: Sequence[Box]) -> None:
        self.objects = tuple(objects)
        self.panels = tuple(panels)

    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """The tools by name, with the arguments of the real tools."""
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

    def detect(self, image: Image, what: str, tiles: int = 1) -> list[Region]:
        """Shapes, panels and towers (all squares in one panel) that a noun phrase names.

        Raises:
            ToolError: The phrase names none of these.
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
        """The panels, or the whole image if it lies in one of them."""
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
        """The circles, of one colour if it is given."""
        return [
            Circle(t.box.center, t.box.width / 2, t.color, image.root)
            for t in self._seen(image)
            if t.shape == "circle" and (color is None or color.lower() == t.color)
        ]

    def dominant_color(self, image: Any) -> str:
        """The colour of the shape at a region; that of the background for a panel."""
        obj = self._meant(image)
        return obj.color if obj else _GROUND

    def has_color(self, image: Any, color: str) -> bool:
        """Whether the shape at a region has a colour."""
        return self.dominant_color(image) in _words(color)

    def classify(self, image: Any, options: list[str]) -> str:
        """The option that names the colour, size or form of the shape.

        Raises:
            ToolError: None of them does.
        """
        for option in options:
            if self._fits(image, option):
                return option
        raise ToolError(f"none of {', '.join(options)} describes the object")

    def verify(self, image: Any, statement: str) -> bool:
        """Whether a statement about colour, size and form is true.

        Raises:
            ToolError: It is about anything else.
        """
        return self._fits(image, statement)

    def _fits(self, place: Any, text: str) -> bool:
        known = (*_COLORS, *_SIZES, *_NOUNS)
        words = [
            w for w in _words(text) if w not in ("a", "an", "the", "is", "it", "this", "that", "in", "color")
        ]
        if not words or not set(words) <= set(known):
            raise ToolError(f"the scene does not tell whether '{text}' is true")
        obj = self._meant(place)
        if obj is None:
            return all(_NOUNS.get(w, w) in ("panel", _GROUND) for w in words)
        large = "big" if obj.size == "large" else obj.size
        true = {obj.color, obj.size, large, obj.shape, "thing"}
        return all(_NOUNS.get(w, w) in true for w in words)

    def _seen(self, image: Image) -> list[DrawnObject]:
        """The objects in an image or a crop, from left to right."""
        inside = [t for t in self.objects if image.box.contains(t.box.center)]
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

    def _meant(self, place: Any) -> DrawnObject | None:
        """The shape at a region or a crop; None for a panel or an empty place."""
        fits = [(t.box.iou(place.box), t) for t in self.objects]
        share, obj = max(fits, key=lambda f: f[0], default=(0.0, None))
        return obj if share > 0.3 else None


def _words(text: str) -> list[str]:
    """Words in lower case, British and in the singular."""
    found = []
    for word in re.findall(r"[a-z]+", text.lower()):
        word = {"gray": "grey", "boxes": "box"}.get(word, word)
        singular = word.removesuffix("s")
        found.append(singular if singular in _NOUNS or singular in ("rectangle", "polygon") else word)
    return found


def _corners(obj: DrawnObject) -> tuple[Point, ...]:
    box = obj.box
    base = (Point(box.right, box.bottom), Point(box.left, box.bottom))
    if obj.shape == "triangle":
        return (Point(box.center.x, box.top), *base)
    return (Point(box.left, box.top), Point(box.right, box.top), *base)

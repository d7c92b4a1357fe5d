"""Tools that answer from what is known of a generated scene."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...errors import ToolError
from ...values import Box, Circle, Mask, Point, Polygon, Region
from ...values.image import Image

if TYPE_CHECKING:
    from visprog.scenes import Scene

_POLYGONS = ("square", "triangle", "rectangle", "diamond", "star")


class SceneTruth:
    """What perfect tools would answer about a scene, asked in its own words."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """By name, with the arguments of the tools that they stand for."""
        return {
            "detect": self.detect,
            "segment": self.segment,
            "classify": self.classify,
            "verify": self.verify,
            "dominant_color": self.dominant_color,
            "has_color": self.has_color,
            "find_circles": self.find_circles,
            "find_polygons": self.find_polygons,
        }

    def detect(self, image: Image, what: str) -> list[Region]:
        """The things that a phrase fits, with their masks.

        Raises:
            ToolError: the phrase is not in the words of scenes.
        """
        try:
            found = self.scene.find(what)
        except ValueError as error:
            raise ToolError(str(error)) from None
        return [self._region(i, what, image) for i in found]

    def segment(self, image: Image, region: Region) -> Region:
        """The region with the mask of the thing that it lies on."""
        return self._region(self._thing_at(region), region.label, image)

    def dominant_color(self, image: Any) -> str:
        """The colour of the thing that a region lies on."""
        return str(self.scene.objects[self._thing_at(image)].color)

    def has_color(self, image: Any, color: str) -> bool:
        """Whether the thing that a region lies on is of a colour."""
        return self.dominant_color(image) == color

    def find_circles(self, image: Image, color: str | None = None) -> list[Circle]:
        """The circles, from left to right."""
        return [
            Circle(box.center, box.width / 2, thing.color, image.root)
            for thing, box in self._drawn(color)
            if thing.shape == "circle"
        ]

    def find_polygons(self, image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
        """The things of a kind, from left to right, each as its bounding box. A square is a rectangle too."""
        name = kind.lower().removesuffix("s")
        names = {"polygon": _POLYGONS, "rectangle": ("rectangle", "square")}.get(name, (name,))
        return [
            Polygon(_corners(box), thing.color, image.root)
            for thing, box in self._drawn(color)
            if thing.shape in names and thing.shape in _POLYGONS
        ]

    def classify(self, image: Image | Region, options: list[str]) -> str:
        """The first of the options that names the thing's shape, colour, size or texture, or fits it as a phrase.

        Raises:
            ToolError: none does.
        """
        thing = self._thing_at(image)
        found = next((option for option in options if self._fits(thing, option)), None)
        if found is None:
            raise ToolError(f"none of {', '.join(options)} fits the {self._name(thing)}")
        return found

    def verify(self, image: Image | Region, statement: str) -> bool:
        """Whether a phrase fits the thing that a region lies on."""
        return self._fits(self._thing_at(image), statement)

    def _drawn(self, color: str | None) -> list[tuple[Any, Box]]:
        """The things of a colour, or all, with their boxes, from left to right."""
        boxes = [Box(*map(float, box)) for box in self.scene.boxes]
        found = [(t, b) for t, b in zip(self.scene.objects, boxes, strict=True) if color in (None, t.color)]
        return sorted(found, key=lambda pair: pair[1].left)

    def _fits(self, thing: int, text: str) -> bool:
        known = self.scene.objects[thing]
        if text in (known.shape, known.color, known.size, known.texture):
            return True
        try:
            return thing in self.scene.find(text)
        except ValueError:
            return False

    def _region(self, thing: int, label: str, image: Image) -> Region:
        left, top, right, bottom = (float(v) for v in self.scene.boxes[thing])
        mask = Mask.tight(self.scene.masks[thing])
        return Region(Box(left, top, right, bottom), label, 1.0, image.root, mask)

    def _thing_at(self, place: Any) -> int:
        """The thing whose box a region, a box or a crop covers best."""
        overlaps = [Box(*map(float, b)).iou(place.box) for b in self.scene.boxes]
        return max(range(len(overlaps)), key=overlaps.__getitem__)

    def _name(self, thing: int) -> str:
        known = self.scene.objects[thing]
        return f"{known.color} {known.shape}"


def _corners(box: Box) -> tuple[Point, ...]:
    return (
        Point(box.left, box.top),
        Point(box.right, box.top),
        Point(box.right, box.bottom),
        Point(box.left, box.bottom),
    )

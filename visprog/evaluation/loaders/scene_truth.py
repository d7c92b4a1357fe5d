"""Tools that answer from the ground truth of a generated scene."""

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
    """The answers of perfect tools about a scene, asked with the words of scenes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def tools(self) -> Mapping[str, Callable[..., Any]]:
        """The tools by name, with the arguments of the real tools."""
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
        """The objects that a phrase describes, with their masks.

        Raises:
            ToolError: The phrase does not use the words of scenes.
        """
        try:
            found = self.scene.find(what)
        except ValueError as error:
            raise ToolError(str(error)) from None
        return [self._region(i, what, image) for i in found]

    def segment(self, image: Image, region: Region) -> Region:
        """The region with the mask of the object at it."""
        return self._region(self._object_at(region), region.label, image)

    def dominant_color(self, image: Any) -> str:
        """The colour of the object at a region."""
        return str(self.scene.objects[self._object_at(image)].color)

    def has_color(self, image: Any, color: str) -> bool:
        """Whether the object at a region has a colour."""
        return self.dominant_color(image) == color

    def find_circles(self, image: Image, color: str | None = None) -> list[Circle]:
        """The circles, from left to right."""
        return [
            Circle(box.center, box.width / 2, known.color, image.root)
            for known, box in self._drawn(color)
            if known.shape == "circle"
        ]

    def find_polygons(self, image: Image, kind: str = "polygon", color: str | None = None) -> list[Polygon]:
        """The polygons of a form, from left to right, each as its bounding box. A square is a rectangle too."""
        name = kind.lower().removesuffix("s")
        names = {"polygon": _POLYGONS, "rectangle": ("rectangle", "square")}.get(name, (name,))
        return [
            Polygon(_corners(box), known.color, image.root)
            for known, box in self._drawn(color)
            if known.shape in names and known.shape in _POLYGONS
        ]

    def classify(self, image: Image | Region, options: list[str]) -> str:
        """The first option that names the shape, colour, size or texture of the object, or describes it as a phrase.

        Raises:
            ToolError: None does.
        """
        index = self._object_at(image)
        found = next((option for option in options if self._fits(index, option)), None)
        if found is None:
            raise ToolError(f"none of {', '.join(options)} fits the {self._name(index)}")
        return found

    def verify(self, image: Image | Region, statement: str) -> bool:
        """Whether a phrase describes the object at a region."""
        return self._fits(self._object_at(image), statement)

    def _drawn(self, color: str | None) -> list[tuple[Any, Box]]:
        """The objects of a colour, or all, with their boxes, from left to right."""
        boxes = [Box(*map(float, box)) for box in self.scene.boxes]
        found = [(t, b) for t, b in zip(self.scene.objects, boxes, strict=True) if color in (None, t.color)]
        return sorted(found, key=lambda pair: pair[1].left)

    def _fits(self, index: int, text: str) -> bool:
        known = self.scene.objects[index]
        if text in (known.shape, known.color, known.size, known.texture):
            return True
        try:
            return index in self.scene.find(text)
        except ValueError:
            return False

    def _region(self, index: int, label: str, image: Image) -> Region:
        left, top, right, bottom = (float(v) for v in self.scene.boxes[index])
        mask = Mask.tight(self.scene.masks[index])
        return Region(Box(left, top, right, bottom), label, 1.0, image.root, mask)

    def _object_at(self, place: Any) -> int:
        """Index of the object whose box a region, a box or a crop covers best."""
        overlaps = [Box(*map(float, b)).iou(place.box) for b in self.scene.boxes]
        return max(range(len(overlaps)), key=overlaps.__getitem__)

    def _name(self, index: int) -> str:
        known = self.scene.objects[index]
        return f"{known.color} {known.shape}"


def _corners(box: Box) -> tuple[Point, ...]:
    return (
        Point(box.left, box.top),
        Point(box.right, box.top),
        Point(box.right, box.bottom),
        Point(box.left, box.bottom),
    )

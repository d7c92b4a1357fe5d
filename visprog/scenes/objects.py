"""What scenes are made of: the vocabulary, one object, and the combinations kept out of training."""

from __future__ import annotations

from dataclasses import dataclass

from .shapes import SHAPES, outline

COLORS = (
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
    "grey",
)
SIZES = ("small", "medium", "large")
TEXTURES = ("solid", "striped", "dotted", "checkered")
DIRECTIONS = {"left of": ("x", -1), "right of": ("x", 1), "above": ("y", -1), "below": ("y", 1)}
RELATIONS = (*DIRECTIONS, "inside")
OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

RADIUS = {"small": (0.075, 0.09), "medium": (0.115, 0.135), "large": (0.17, 0.205)}
"""Size → range of radii, in widths of the image. The gaps keep the three apart for every shape."""

MIN_OFFSET = 0.12
"""By how much two centres must differ, in widths of the image, for a relation to be asserted."""

HELD_OUT: frozenset[tuple[str, str]] = frozenset(
    [(c, s) for i, c in enumerate(COLORS) for j, s in enumerate(SHAPES) if (3 * i + j) % 8 == 5]
    + [(t, s) for i, t in enumerate(TEXTURES[1:]) for j, s in enumerate(SHAPES) if (2 * i + j) % 6 == 1]
)
"""(colour or texture, shape) that only the split "held_out" shows or names; one in eight, one in six."""


@dataclass(frozen=True, slots=True)
class SceneObject:
    """One object of a scene, in units of the image's width.

    Attributes:
        shape, color, size, texture: words of the vocabulary.
        x, y: centre of its bounding box.
        radius: its size, the same for shapes that look equally large.
        angle: turn in degrees, clockwise; a multiple of 5.
        shade: which shade of its colour (see `colors.palette`).
        phase: where its texture begins, 0 to 1.
    """

    shape: str
    color: str
    size: str
    texture: str
    x: float
    y: float
    radius: float
    angle: int
    shade: int
    phase: float

    @property
    def name(self) -> str:
        """All that can be said of it: "small red striped circle"."""
        words = (self.size, self.color, "" if self.texture == "solid" else self.texture, self.shape)
        return " ".join(word for word in words if word)

    @property
    def held_out(self) -> bool:
        """True for a combination that training never shows."""
        return is_held_out(self.shape, self.color, self.texture)

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Bounding box (left, top, right, bottom) of its whole outline, in widths of the image."""
        form = outline(self.shape, self.angle)
        w, h = form.half_width * self.radius, form.half_height * self.radius
        return self.x - w, self.y - h, self.x + w, self.y + h

    @property
    def reach(self) -> float:
        """Radius of the circle around (x, y) that encloses it."""
        return outline(self.shape, self.angle).reach * self.radius


def is_held_out(shape: str | None, color: str | None = None, texture: str | None = None) -> bool:
    """True if a shape with this colour or texture is kept out of training."""
    return (color, shape) in HELD_OUT or (texture, shape) in HELD_OUT


def offset(a: SceneObject, direction: str, b: SceneObject) -> float:
    """How far the centre of `a` lies in one of DIRECTIONS from that of `b`, in widths of the image."""
    axis, sign = DIRECTIONS[direction]
    return sign * ((a.x - b.x) if axis == "x" else (a.y - b.y))


def lies_inside(a: SceneObject, b: SceneObject) -> bool:
    """True if the box of `a` lies in that of `b`."""
    inner, outer = a.extent, b.extent
    return inner[0] > outer[0] and inner[1] > outer[1] and inner[2] < outer[2] and inner[3] < outer[3]

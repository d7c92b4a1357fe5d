"""Points, boxes and shapes, and how they relate. Standard library only: this file also runs in the sandbox.

Units are pixels in the frame of the root image. Boxes are half open, ``[left, right) x [top, bottom)``,
so two boxes that share an edge do not overlap, and a box of zero width has no area.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Protocol, Self, TypeAlias, TypeVar

    from numpy import uint8
    from numpy.typing import NDArray

    T = TypeVar("T")

    class ImageLike(Protocol):
        """An image, as far as what lies in it knows it: `image.Image`, which is made of what is in this file.

        The images that it gives are of that class.
        """

        @property
        def name(self) -> str: ...
        @property
        def digest(self) -> str: ...
        @property
        def pixels(self) -> NDArray[uint8]: ...
        @property
        def size(self) -> tuple[int, int]: ...
        @property
        def width(self) -> int: ...
        @property
        def height(self) -> int: ...
        @property
        def parent(self) -> Any: ...
        @property
        def root(self) -> Any: ...
        @property
        def origin(self) -> Point: ...
        @property
        def box(self) -> Box: ...
        def crop(self, region: Located) -> Any: ...
        def to_root(self, value: T) -> T: ...
        def to_local(self, region: Located) -> Box: ...
        def __hash__(self) -> int: ...

    Image: TypeAlias = ImageLike

NOTEBOOK: list[Callable[[Any], str | None]] = []
"""What draws a value on its image, for notebooks. `codec` puts it here: the sandbox cannot import that."""


@dataclass(frozen=True, slots=True)
class Point:
    """A position, in pixels."""

    x: float
    y: float

    def __post_init__(self) -> None:
        _finite(self, "x", "y")

    def __repr__(self) -> str:
        return f"Point({self.x:g}, {self.y:g})"

    @property
    def box(self) -> Box:
        return Box(self.x, self.y, self.x, self.y)

    def distance(self, other: Point | Located) -> float:
        """Distance in pixels to another point, or to the nearest part of a located object."""
        if isinstance(other, Point):
            return math.hypot(self.x - other.x, self.y - other.y)
        return other.distance(self)

    def shift(self, dx: float, dy: float) -> Point:
        """Moved by (dx, dy) pixels."""
        return Point(self.x + dx, self.y + dy)


class Located:
    """Anything that has a place in the image: a `box`, and with it relations to everything else.

    Relations compare centres (`left_of`, `above`, …) or extents (`inside`, `overlaps`, `touches`).
    """

    __slots__ = ()

    @property
    def box(self) -> Box:
        raise TypeError(f"{type(self).__name__} has no box")

    @property
    def left(self) -> float:
        return self.box.left

    @property
    def top(self) -> float:
        return self.box.top

    @property
    def right(self) -> float:
        return self.box.right

    @property
    def bottom(self) -> float:
        return self.box.bottom

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """Square pixels of the box."""
        return self.width * self.height

    @property
    def center(self) -> Point:
        return Point((self.left + self.right) / 2, (self.top + self.bottom) / 2)

    def left_of(self, other: Point | Located) -> bool:
        return self.center.x < _center(other).x

    def right_of(self, other: Point | Located) -> bool:
        return self.center.x > _center(other).x

    def above(self, other: Point | Located) -> bool:
        return self.center.y < _center(other).y

    def below(self, other: Point | Located) -> bool:
        return self.center.y > _center(other).y

    def inside(self, other: Located, tolerance: float = 0.1) -> bool:
        """True if this box is the smaller, and at most the share `tolerance` of it lies outside the other."""
        a, b = self.box, other.box
        if a.area >= b.area:
            return False
        if a.area == 0:
            return b.left <= a.left and a.right <= b.right and b.top <= a.top and a.bottom <= b.bottom
        shared = a.intersection(b)
        return shared is not None and shared.area >= (1 - tolerance) * a.area

    def contains(self, other: Point | Located) -> bool:
        """True if the other lies inside this (a point: half open, the right and bottom edges are outside)."""
        if isinstance(other, Point):
            return self.left <= other.x < self.right and self.top <= other.y < self.bottom
        return other.inside(self)

    def overlaps(self, other: Located) -> bool:
        """True if the two share an area."""
        if isinstance(other, Circle) and not isinstance(self, Circle):
            return other.overlaps(self)
        return self.box.intersection(other.box) is not None

    def iou(self, other: Located) -> float:
        """Intersection over union of the two boxes, 0 to 1."""
        a, b = self.box, other.box
        shared = a.intersection(b)
        return 0.0 if shared is None else shared.area / (a.area + b.area - shared.area)

    def touches(self, other: Located, tolerance: float = 1.0) -> bool:
        """True if the two overlap or the gap between them is at most `tolerance` pixels."""
        return self.distance(other) <= tolerance

    def distance(self, other: Point | Located) -> float:
        """The gap in pixels between the nearest edges; 0 if they overlap."""
        if isinstance(other, Circle) and not isinstance(self, Circle):
            return other.distance(self)
        a, b = self.box, other.box
        return math.hypot(
            max(b.left - a.right, a.left - b.right, 0.0), max(b.top - a.bottom, a.top - b.bottom, 0.0)
        )

    def shift(self, dx: float, dy: float) -> Self:
        """Moved by (dx, dy) pixels, with every place that it is made of."""
        parts: Any = self  # a dataclass
        return type(self)(**{f.name: _shifted(getattr(self, f.name), dx, dy) for f in fields(parts)})

    def _repr_html_(self) -> str | None:
        return NOTEBOOK[0](self) if NOTEBOOK else None


@dataclass(frozen=True, slots=True)
class Box(Located):
    """An axis-aligned rectangle ``[left, right) x [top, bottom)`` in pixels.

    Raises:
        ValueError: an edge is not a finite number, or left > right, or top > bottom.
    """

    left: float = field()  # fields here, properties in Located
    top: float = field()
    right: float = field()
    bottom: float = field()

    def __post_init__(self) -> None:
        _finite(self, "left", "top", "right", "bottom")
        if self.left > self.right or self.top > self.bottom:
            raise ValueError(f"a box needs left <= right and top <= bottom, not {self}")

    @property
    def box(self) -> Box:
        return self

    def __repr__(self) -> str:
        return f"Box({self.left:g}, {self.top:g}, {self.right:g}, {self.bottom:g})"

    def intersection(self, other: Located) -> Box | None:
        """The shared rectangle, or None if no area is shared."""
        o = other.box
        left, top = max(self.left, o.left), max(self.top, o.top)
        right, bottom = min(self.right, o.right), min(self.bottom, o.bottom)
        return Box(left, top, right, bottom) if left < right and top < bottom else None

    def union(self, other: Located) -> Box:
        """The smallest box around both."""
        o = other.box
        return Box(
            min(self.left, o.left), min(self.top, o.top), max(self.right, o.right), max(self.bottom, o.bottom)
        )

    def clip(self, other: Located) -> Box:
        """This box cut to the other; of zero size, on the nearest edge, if nothing is shared."""
        o = other.box
        left, right = (min(max(v, o.left), o.right) for v in (self.left, self.right))
        top, bottom = (min(max(v, o.top), o.bottom) for v in (self.top, self.bottom))
        return Box(left, top, right, bottom)

    def expand(self, margin: float) -> Box:
        """Grown on each side by `margin` pixels (shrunk if negative, at most to its centre)."""
        x, y = self.center.x, self.center.y
        return Box(
            min(self.left - margin, x), min(self.top - margin, y),
            max(self.right + margin, x), max(self.bottom + margin, y),
        )  # fmt: skip

    def shift(self, dx: float, dy: float) -> Box:
        """Moved by (dx, dy) pixels."""
        return Box(self.left + dx, self.top + dy, self.right + dx, self.bottom + dy)


@dataclass(frozen=True, slots=True)
class Circle(Located):
    """A circle, with the exact geometry of circles rather than of their boxes."""

    center: Point = field()  # a field here, a property in Located
    radius: float
    color: str | None = None
    image: Image | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _finite(self, "radius")
        object.__setattr__(self, "center", _point(self.center))
        if self.radius < 0:
            raise ValueError(f"a circle needs a radius of at least 0, not {self.radius}")

    def __repr__(self) -> str:
        place = f"({self.center.x:g}, {self.center.y:g})"
        return f"Circle({place}, radius={self.radius:g}{_colored(self.color)})"

    @property
    def box(self) -> Box:
        x, y, r = self.center.x, self.center.y, self.radius
        return Box(x - r, y - r, x + r, y + r)

    @property
    def area(self) -> float:
        return math.pi * self.radius**2

    def distance(self, other: Point | Located) -> float:
        """The gap in pixels between the two outlines; 0 if the discs meet."""
        if isinstance(other, Circle):
            return max(self.center.distance(other.center) - self.radius - other.radius, 0.0)
        return max(self.center.box.distance(other.box) - self.radius, 0.0)

    def overlaps(self, other: Located) -> bool:
        if isinstance(other, Circle):
            return self.center.distance(other.center) < self.radius + other.radius
        return self.center.box.distance(other.box) < self.radius

    def inside(self, other: Located, tolerance: float = 0.1) -> bool:
        if isinstance(other, Circle):
            slack = 2 * tolerance * self.radius
            return self.radius < other.radius and (
                self.center.distance(other.center) + self.radius <= other.radius + slack
            )
        return Located.inside(self, other, tolerance)


@dataclass(frozen=True, slots=True)
class Line(Located):
    """A polyline: two or more points joined by straight segments."""

    points: tuple[Point, ...]
    color: str | None = None
    image: Image | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(map(_point, self.points)))
        if len(self.points) < 2:
            raise ValueError("a line needs at least two points")

    @property
    def box(self) -> Box:
        return _box_around(self.points)

    def __repr__(self) -> str:
        return f"Line({_corners(self.points)}{_colored(self.color)})"

    @property
    def length(self) -> float:
        """Pixels along the line."""
        return sum(a.distance(b) for a, b in pairwise(self.points))

    def crossings(self, other: Line, tolerance: float = 1.0) -> list[Point]:
        """The points at which the two lines cross or touch; points closer than `tolerance` pixels are one."""
        found: list[Point] = []
        for a, b in pairwise(self.points):
            for c, d in pairwise(other.points):
                point = _crossing(a, b, c, d, tolerance)
                if point is not None and all(point.distance(f) > tolerance for f in found):
                    found.append(point)
        return found


@dataclass(frozen=True, slots=True)
class Polygon(Located):
    """A closed outline of three or more corners."""

    points: tuple[Point, ...]
    color: str | None = None
    image: Image | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", tuple(map(_point, self.points)))
        if len(self.points) < 3:
            raise ValueError("a polygon needs at least three points")

    @property
    def box(self) -> Box:
        return _box_around(self.points)

    def __repr__(self) -> str:
        return f"Polygon({_corners(self.points)}{_colored(self.color)})"

    @property
    def sides(self) -> int:
        return len(self.points)

    @property
    def area(self) -> float:
        """Square pixels inside the outline (the shoelace formula)."""
        pairs = pairwise((*self.points, self.points[0]))
        return abs(sum(a.x * b.y - b.x * a.y for a, b in pairs)) / 2


@dataclass(frozen=True, slots=True)
class Grid(Located):
    """A table: number of rows and columns, and its box."""

    rows: int
    columns: int
    box: Box = field()  # a field here, a property in Located

    def __post_init__(self) -> None:
        _finite(self, "rows", "columns")

    @property
    def cells(self) -> int:
        return self.rows * self.columns


def _shifted(value: Any, dx: float, dy: float) -> Any:
    """A place, or a tuple of places, moved; anything else unchanged."""
    if isinstance(value, tuple):
        return tuple(_shifted(each, dx, dy) for each in value)
    return value.shift(dx, dy) if isinstance(value, Point | Located) else value


def _finite(value: object, *names: str) -> None:
    """Make the named fields plain Python numbers: NumPy's scalars and tensors of one element are accepted."""
    for name in names:
        given = getattr(value, name)
        if type(given) is float and math.isfinite(given):  # as nearly always
            continue
        number = _number(given)
        if number is None:
            raise ValueError(f"{type(value).__name__}.{name} must be a finite number, not {given!r:.80}")
        if number is not given:
            object.__setattr__(value, name, number)


def _number(value: Any) -> int | float | None:
    if not isinstance(value, int | float) and hasattr(value, "item"):
        try:
            value = value.item()
        except (ValueError, RuntimeError):  # of several elements
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        finite = math.isfinite(value)
    except OverflowError:  # an int that no float can hold
        return None
    number = int(value) if isinstance(value, int) else float(value)
    return (value if type(value) in (int, float) else number) if finite else None


def _point(value: Any) -> Point:
    """A point, or the pair of numbers that stands for one."""
    if isinstance(value, Point):
        return value
    try:
        x, y = value
    except (TypeError, ValueError):
        raise ValueError(f"a point is a Point or a pair (x, y), not {value!r}") from None
    return Point(x, y)


def _colored(color: str | None) -> str:
    return f", color={color[:20]!r}" if color else ""


def _corners(points: tuple[Point, ...]) -> str:
    """The points, the first three of many."""
    shown = ", ".join(f"({p.x:g}, {p.y:g})" for p in points[: 4 if len(points) == 4 else 3])
    return shown if len(points) <= 4 else f"{shown}, … {len(points)} points"


def _center(value: Point | Located) -> Point:
    return value if isinstance(value, Point) else value.center


def _box_around(points: tuple[Point, ...]) -> Box:
    xs, ys = [p.x for p in points], [p.y for p in points]
    return Box(min(xs), min(ys), max(xs), max(ys))


def _crossing(a: Point, b: Point, c: Point, d: Point, tolerance: float) -> Point | None:
    """Where segment ab meets cd, reaching `tolerance` pixels past the ends; None where it does not."""
    ux, uy, vx, vy = b.x - a.x, b.y - a.y, d.x - c.x, d.y - c.y
    cross = ux * vy - uy * vx
    u, v = math.hypot(ux, uy), math.hypot(vx, vy)
    if u == 0 or v == 0 or abs(cross) <= 1e-9 * u * v:  # parallel: at most an end touches
        ends = [(p, q) for p in (a, b) for q in (c, d) if p.distance(q) <= tolerance]
        return ends[0][0] if ends else None
    s = ((c.x - a.x) * vy - (c.y - a.y) * vx) / cross
    t = ((c.x - a.x) * uy - (c.y - a.y) * ux) / cross
    slack_s, slack_t = tolerance / u, tolerance / v
    if -slack_s <= s <= 1 + slack_s and -slack_t <= t <= 1 + slack_t:
        return Point(a.x + s * ux, a.y + s * uy)
    return None

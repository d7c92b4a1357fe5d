"""Choosing and ordering what was found, and numbers in texts. Pure functions, standard library only: they run inside
the sandbox.

Most take the list that a tool returned. Where there is nothing to choose from they raise `NothingFound`,
here and by name, rather than an IndexError three lines later.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from .geometry import Line, Located, Point, _center
from .track import Track

if TYPE_CHECKING:
    from .depth import Depth

T = TypeVar("T")
Found = TypeVar("Found", bound=Located | Point | Track)
"""What a finder gives."""
Placed = TypeVar("Placed", bound=Located | Point)
"""What has a place in an image."""
Extended = TypeVar("Extended", bound=Located)
"""What has a size, too."""

_NUMBER = re.compile(r"[^\W\d_]\d[\w.,]*|((?:(?<!\w)[-−][$€£¥]?)?(?:(?<![\w.])[.])?\d+(?:[.,'’]\d+)*)")
"""A number as people write it, of which a date has several, or a code that begins with a letter, which is none."""

_SIGNS = "-−$€£¥"

MAX_DIGITS = 300
"""Number of characters of a written number, at most."""


class NothingFound(ValueError):
    """A choice was asked for among no objects at all, or past the end of them."""


def best(regions: Sequence[Found]) -> Found:
    """The one that its finder is most sure of (the first, where scores are equal)."""
    return max(_some(regions, "best"), key=lambda r: float(getattr(r, "score", 1.0)))


def largest(regions: Sequence[Extended]) -> Extended:
    """The one with the greatest area."""
    return max(_some(regions, "largest"), key=lambda r: r.area)


def smallest(regions: Sequence[Extended]) -> Extended:
    """The one with the least area."""
    return min(_some(regions, "smallest"), key=lambda r: r.area)


def tallest(regions: Sequence[Extended]) -> Extended:
    """The one with the greatest height."""
    return max(_some(regions, "tallest"), key=lambda r: r.height)


def widest(regions: Sequence[Extended]) -> Extended:
    """The one with the greatest width."""
    return max(_some(regions, "widest"), key=lambda r: r.width)


def leftmost(regions: Sequence[Placed]) -> Placed:
    """The one whose centre lies furthest to the left."""
    return min(_some(regions, "leftmost"), key=lambda r: _center(r).x)


def rightmost(regions: Sequence[Placed]) -> Placed:
    """The one whose centre lies furthest to the right."""
    return max(_some(regions, "rightmost"), key=lambda r: _center(r).x)


def topmost(regions: Sequence[Placed]) -> Placed:
    """The one whose centre lies highest."""
    return min(_some(regions, "topmost"), key=lambda r: _center(r).y)


def bottommost(regions: Sequence[Placed]) -> Placed:
    """The one whose centre lies lowest."""
    return max(_some(regions, "bottommost"), key=lambda r: _center(r).y)


def middle(regions: Sequence[Placed]) -> Placed:
    """The middle one from left to right (of an even number, the left of the two)."""
    ordered = left_to_right(_some(regions, "middle"))
    return ordered[(len(ordered) - 1) // 2]


def nearest(regions: Sequence[Placed], to: Point | Located) -> Placed:
    """The one closest to `to`, by the gap between edges, then between centres; never `to` itself."""
    others = [r for r in regions if r is not to and r != to]
    return min(_some(others, "nearest"), key=lambda r: (r.distance(to), _centers(r, to)))


def farthest(regions: Sequence[Placed], to: Point | Located) -> Placed:
    """The one farthest from `to`, by the gap between edges, then between centres; never `to` itself."""
    others = [r for r in regions if r is not to and r != to]
    return max(_some(others, "farthest"), key=lambda r: (r.distance(to), _centers(r, to)))


def nearest_to_camera(regions: Sequence[Placed], depth: Depth) -> Placed:
    """The one that is the least far from the camera: nearest_to_camera(cars, depth(image))."""
    return min(_some(regions, "nearest_to_camera"), key=lambda r: depth.at(r))


def left_to_right(regions: Sequence[Placed]) -> list[Placed]:
    """Ordered by the x of their centres."""
    return sorted(regions, key=lambda r: _center(r).x)


def top_to_bottom(regions: Sequence[Placed]) -> list[Placed]:
    """Ordered by the y of their centres."""
    return sorted(regions, key=lambda r: _center(r).y)


def by_size(regions: Sequence[Extended]) -> list[Extended]:
    """Ordered by area, the largest first."""
    return sorted(regions, key=lambda r: -r.area)


def nth(items: Sequence[T], n: int) -> T:
    """The n-th of any list, counted from 1; negative counts from the end."""
    if isinstance(n, bool) or not isinstance(n, int) or n == 0:
        raise ValueError("nth counts from 1, or from -1 backwards")
    if abs(n) > len(items):
        raise NothingFound(f"nth was asked for number {n} of {len(items)} found")
    return items[n - 1 if n > 0 else n]


def distance(a: Point | Located, b: Point | Located) -> float:
    """The gap in pixels between the nearest edges; 0 where they overlap."""
    return a.distance(b)


def intersections(a: Sequence[Line], b: Sequence[Line]) -> list[Point]:
    """The points where lines of `a` meet lines of `b`; of one list twice, where its lines meet each other."""
    found: list[Point] = []
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            if one is other or (a is b and j <= i):
                continue
            for point in one.crossings(other):
                if all(point.distance(f) > 1.0 for f in found):
                    found.append(point)
    return found


def numbers_in(text: str) -> list[float]:
    """The numbers in a text, as people write them: [2.0, 1234.5] for "2 x 1.234,50 €"."""
    written = [found for found in _NUMBER.findall(text) if 0 < len(found) <= MAX_DIGITS]
    # "1.234" and "1,234" say nothing of themselves: other numbers of the text may.
    commas = any(_decimal_point(number) == "," for number in written)
    return [value for number in written for value in _values(number, commas=commas)]


FUNCTIONS = (
    best,
    largest,
    smallest,
    tallest,
    widest,
    leftmost,
    rightmost,
    topmost,
    bottommost,
    middle,
    nearest,
    farthest,
    nearest_to_camera,
    left_to_right,
    top_to_bottom,
    by_size,
    nth,
    distance,
    intersections,
    numbers_in,
)
"""What programs may call, in the order in which planners see it."""


def _some(regions: Sequence[T], name: str) -> Sequence[T]:
    if not regions:
        raise NothingFound(f"{name} was given an empty list: nothing was found to choose from")
    return regions


def _centers(a: Point | Located, b: Point | Located) -> float:
    return _center(a).distance(_center(b))


def _decimal_point(number: str) -> str:
    """The sign before the decimals of a number as it is written; "" if it has none, or may have none."""
    marks = [c for c in number if c in ".,"]
    *_, decimals = re.split(r"[.,]", number)
    several = len(set(marks)) == 2 and marks.count(marks[-1]) == 1
    single = len(marks) == 1 and (len(decimals) != 3 or number.lstrip(_SIGNS).startswith("0"))
    return marks[-1] if several or single else ""


def _values(number: str, *, commas: bool) -> list[float]:
    """What is written: one number, or the parts of a date or a list.

    Args:
        commas: Whether other numbers of the text have a decimal comma.
    """
    sign = -1.0 if number[0] in "-−" else 1.0
    number = number.lstrip(_SIGNS)
    if number.startswith("."):
        return [sign * float(number)] if number.count(".") == 1 and number[1:].isdigit() else []
    point = _decimal_point(number)
    if not point and [c for c in number if c in ".,"] == ["," if commas else "."]:
        point = "," if commas else "."
    whole, decimals = number.rsplit(point, 1) if point else (number, "")
    first, *groups = re.split(r"[.,'’]", whole)
    thousands = all(len(group) == 3 for group in groups)
    lakhs = all(len(group) == 2 for group in groups[:-1]) and len(groups[-1:] and groups[-1]) == 3
    if groups and (len(first) > 3 or not (thousands or lakhs)):
        return [float(part) for part in re.split(r"[.,'’]", number)]
    return [sign * float(f"{first}{''.join(groups)}.{decimals or 0}")]

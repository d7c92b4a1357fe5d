"""Where labels stand: beside their objects, within the image, and never on one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

Rectangle: TypeAlias = tuple[float, float, float, float]
"""Left, top, right, bottom."""

GAP = 4.0
"""Pixels between an object and its label."""


def layout(
    objects: Sequence[Rectangle], sizes: Sequence[tuple[float, float]], canvas: tuple[float, float]
) -> list[Rectangle | None]:
    """Places for the labels of the first `len(sizes)` objects, greedily, in order.

    A label stands above, below or beside its object, if there is room, where it covers least of all objects; within
    its own object otherwise. It gets no place (None) if it fits nowhere without covering another label.

    Args:
        objects: their boxes, in pixels of the canvas; all are obstacles.
        sizes: (width, height) of each label; one of width 0 is no label.
        canvas: (width, height).
    """
    taken: list[Rectangle] = []
    places: list[Rectangle | None] = []
    for item, (width, height) in zip(objects, sizes, strict=False):
        best: Rectangle | None = None
        least = float("inf")
        for place in _candidates(item, width, height, canvas) if width else ():
            if any(_overlap(place, other) for other in taken):
                continue
            cost = sum(_overlap(place, other) / min(_area(other), width * height) for other in objects)
            if cost < least - 1e-6:
                best, least = place, cost
            if not cost:
                break
        if best:
            taken.append(best)
        places.append(best)
    return places


def _candidates(
    item: Rectangle, width: float, height: float, canvas: tuple[float, float]
) -> Iterator[Rectangle]:
    """Places around an object, the usual ones first, then the corners within it."""
    left, top, right, bottom = item
    above, below = top - GAP - height, bottom + GAP
    before, after = left - GAP - width, right + GAP
    for x, y in (
        (left, above), (right - width, above), (left, below), (right - width, below),
        (after, top), (before, top), (after, bottom - height), (before, bottom - height),
        (left + GAP, top + GAP), (right - width - GAP, top + GAP),
        (left + GAP, bottom - height - GAP), (right - width - GAP, bottom - height - GAP),
    ):  # fmt: skip
        # Sliding along the edge of the image keeps a label beside its object; sliding across does not.
        if y in (above, below):
            x = max(min(x, canvas[0] - width), 0.0)
        elif x in (before, after):
            y = max(min(y, canvas[1] - height), 0.0)
        if 0 <= x <= canvas[0] - width and 0 <= y <= canvas[1] - height:
            yield x, y, x + width, y + height


def _area(box: Rectangle) -> float:
    return max((box[2] - box[0]) * (box[3] - box[1]), 1.0)


def _overlap(a: Rectangle, b: Rectangle) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0

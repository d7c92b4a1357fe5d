"""Polygons: closed chains of straight sides, each drawn all along, found where outlines cross or lie close
too."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.registry.sees import Parsed

from ..words.meaning import near
from ..words.phrase import singular
from .lines import Corner, Side, corners

Array = NDArray[Any]
MAX_SIDES = 12
"""Number of sides of a polygon, at most."""

NUMBER = {3: "triangle", 4: "quadrilateral", 5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}
KINDS = (
    "polygon", "triangle", "square", "rectangle", "diamond", "rhombus", "parallelogram", "trapezoid",
    "quadrilateral", "pentagon", "hexagon", "heptagon", "octagon", "star",
)  # fmt: skip
SYNONYMS = {"shape": "polygon", "oblong": "rectangle", "trapezium": "trapezoid", "box": "rectangle",
            "rhombi": "rhombus", "rhombuse": "rhombus", "lozenge": "diamond", "boxe": "rectangle"}  # fmt: skip


def parse_kind(kind: str) -> str:
    """The one of `KINDS` that a text names, singular or plural, in any case.

    Raises:
        Refused: The kind is not known; the message lists those that are.
    """
    word = re.sub(r"[^a-z]+", " ", kind.lower()).strip().removeprefix("regular ")
    for each in (word, word.removesuffix("s")):
        name = SYNONYMS.get(each, each)
        if name in KINDS:
            return name
    hint = "; for circles call find_circles" if word.startswith(("circle", "disc", "ellipse", "oval")) else ""
    raise Refused(f"'{kind}' is not a kind of polygon that can be found: use one of {', '.join(KINDS)}{hint}")


KIND = Parsed(parse_kind, lambda kind: near(singular(kind), KINDS))
"""The texts that name a kind of polygon."""


@dataclass(frozen=True, eq=False)
class Outline:
    """Corners (N, 2) in working pixels, in order, and the numbers of the sides between them."""

    points: Array
    sides: tuple[int, ...]


def polygons(found: list[Side]) -> list[Outline]:
    """All polygons that sides form.

    First those with a proper corner everywhere, then those that lean on the side of another and explain sides that the
    first do not.
    """
    meetings = corners(found)
    proper: dict[tuple[int, int], list[Corner]] = defaultdict(list)
    for corner in meetings:
        if corner.other_end is not None:
            proper[corner.side, corner.end].append(corner)
    candidates = _cycles(found, proper)
    candidates.sort(key=lambda c: c[0])
    accepted: list[Outline] = []
    used: set[int] = set()
    for _, outline in candidates:
        if sum(s in used for s in outline.sides) <= 0.4 * len(outline.sides):
            accepted.append(outline)
            used.update(outline.sides)
    accepted += _leaning(found, meetings, used)
    return [o for o in (_simplified(o) for o in accepted) if o is not None]


def _cycles(found: list[Side], proper: dict[tuple[int, int], list[Corner]]) -> list[tuple[float, Outline]]:
    """Closed walks over proper corners: (cost, outline), each once."""
    cycles: dict[tuple[int, ...], tuple[float, Outline]] = {}
    budget = 200_000

    def walk(path: list[int], points: list[tuple[float, float]], at: tuple[int, int], cost: float) -> None:
        nonlocal budget
        budget -= 1
        if budget < 0:
            return
        for corner in proper.get(at, ()):
            into = corner.other
            end = int(corner.other_end or 0)
            if into == path[0]:
                if end == 0 and len(path) >= 3:
                    _keep(path, [*points, (corner.x, corner.y)], cost + corner.gap)
            elif into > path[0] and into not in path and len(path) < MAX_SIDES:
                walk([*path, into], [*points, (corner.x, corner.y)], (into, 1 - end), cost + corner.gap)

    def _keep(path: list[int], points: list[tuple[float, float]], cost: float) -> None:
        key = tuple(sorted(path))
        mean = cost / len(path) + len(path)  # of two polygons that nearly touch, rather two than one of both
        if key not in cycles or mean < cycles[key][0]:
            # the corner between path[k] and path[k+1] is points[k]; the last closes to the first
            outline = Outline(np.array(points), tuple(path))
            if _agrees(outline, found):
                cycles[key] = (mean, outline)

    for start in range(len(found)):
        walk([start], [], (start, 1), 0.0)
    return list(cycles.values())


def _agrees(outline: Outline, found: list[Side]) -> bool:
    """True if every side is used along most of its length, in its own direction."""
    n = len(outline.sides)
    for k, number in enumerate(outline.sides):
        a, b = outline.points[k - 1], outline.points[k]
        side = found[number]
        drawn = float((b - a) @ side.direction)
        if drawn * (1 if drawn > 0 else -1) < 0.6 * (side.length - sum(side.loose)) or n < 3:
            return False
    if _area(outline.points) < 20:
        return False
    return not _crosses_itself(outline.points) or abs(_turns(outline.points).sum()) > np.radians(700)


def _crosses_itself(points: Array) -> bool:
    n = len(points)
    following = np.roll(points, -1, 0)
    for i in range(n):
        for j in range(i + 2, n - (i == 0)):
            a, b, c, d = points[i], following[i], points[j], following[j]
            if (
                _cross(b - a, c - a) * _cross(b - a, d - a) < 0
                and _cross(d - c, a - c) * _cross(d - c, b - c) < 0
            ):
                return True
    return False


def _leaning(found: list[Side], meetings: list[Corner], used: set[int]) -> list[Outline]:
    """Convex polygons with a corner on the middle of another side, from sides not used so far."""
    nodes: dict[int, list[tuple[float, int, float, float, float]]] = defaultdict(list)
    for corner in meetings:
        place = np.array([corner.x, corner.y])
        for me, other in ((corner.side, corner.other), (corner.other, corner.side)):
            along = float((place - found[me].ends[0]) @ found[me].direction)
            nodes[me].append((along, other, corner.x, corner.y, corner.gap))
    best: list[tuple[float, Outline]] = []
    budget = 20_000

    def walk(path: list[int], points: list[Array], forward: float, turn: float) -> None:
        nonlocal budget
        budget -= 1
        if budget < 0:
            return
        side = found[path[-1]]
        here = float((points[-1] - side.ends[0]) @ side.direction)
        for along, other, x, y, _ in nodes[path[-1]]:
            if (along - here) * forward < 4:
                continue
            place = np.array([x, y])
            if other == path[0] and len(path) >= 3:
                for sense in (-1.0, 1.0):
                    if np.sign(_cross(side.direction * forward, found[other].direction * sense)) == turn:
                        first = float((points[0] - place) @ found[other].direction) * sense
                        if first > 4:
                            outline = Outline(np.array([*points, place]), tuple([*path[1:], path[0]]))
                            best.append((_area(outline.points), outline))
            elif other not in path and len(path) < 6:
                for sense in (-1.0, 1.0):
                    bend = np.sign(_cross(side.direction * forward, found[other].direction * sense))
                    if bend == turn:
                        walk([*path, other], [*points, place], sense, turn)

    for start in range(len(found)):
        if start in used or found[start].length < 8:
            continue
        for _, other, x, y, _ in nodes[start]:
            for sense in (-1.0, 1.0):
                turn = float(np.sign(_cross(found[start].direction, found[other].direction * sense)))
                walk([start, other], [np.array([x, y])], sense, turn)
    accepted = []
    explained = set(used)
    for area, outline in sorted(best, key=lambda item: item[0]):
        fresh = sum(s not in explained for s in outline.sides)
        if area > 60 and fresh >= 0.5 * len(outline.sides):
            accepted.append(outline)
            explained.update(outline.sides)
    return accepted


def _cross(a: Array, b: Array) -> float:
    return float(a[0] * b[1] - a[1] * b[0])


def _area(points: Array) -> float:
    x, y = points[:, 0], points[:, 1]
    return abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))) / 2


def _simplified(outline: Outline) -> Outline | None:
    """An outline without corners that hardly bend; None for a curve in many short sides."""
    points = outline.points
    turns = _turns(points)
    points = points[np.abs(turns) > np.radians(14)]
    if len(points) < 3:
        return None
    turns = np.abs(_turns(points))
    if len(points) > 9 and turns.max() < np.radians(50):
        return None
    return Outline(points, outline.sides)


def _turns(points: Array) -> Array:
    """The angle by which the outline turns at each corner, in radians, signed."""
    into = points - np.roll(points, 1, 0)
    out = np.roll(points, -1, 0) - points
    return np.asarray(np.arctan2(into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0], (into * out).sum(1)))


def kinds_of(points: Array) -> set[str]:
    """All kinds that a polygon is: a square is a rectangle, a parallelogram and a quadrilateral too."""
    kinds = {"polygon"}
    n = len(points)
    turns = _turns(points)
    lengths = np.linalg.norm(np.roll(points, -1, 0) - points, axis=1)
    around = abs(turns.sum())
    if n >= 5 and (around > np.radians(540) or _spiked(turns)):
        return kinds | {"star"}
    if n in NUMBER:
        kinds.add(NUMBER[n])
    if n != 4:
        return kinds
    bend = np.abs(turns)
    slack = np.radians(8) + 2.0 / max(float(lengths.min()), 6.0)
    even = float(lengths.min() / lengths.max()) > 0.86
    right = bool((np.abs(bend - np.pi / 2) < slack).all())
    pairs = [abs(bend[0] + bend[1] - np.pi) < slack, abs(bend[1] + bend[2] - np.pi) < slack]
    if all(pairs):
        kinds.add("parallelogram")
    if sum(pairs) == 1:
        kinds.add("trapezoid")
    if right:
        kinds.add("rectangle")
    if right and even:
        kinds.add("square")
    if even and all(pairs):
        kinds.add("rhombus")
        edge = points[1] - points[0]
        tilt = np.degrees(np.arctan2(edge[1], edge[0])) % 90
        if not right or 25 < tilt < 65:  # a square that stands on its corner is called a diamond
            kinds.add("diamond")
    return kinds


def _spiked(turns: Array) -> bool:
    """True if convex and concave corners take turns, as in a star."""
    signs = np.sign(turns)
    return len(turns) >= 6 and len(turns) % 2 == 0 and bool((signs == -np.roll(signs, 1)).all())

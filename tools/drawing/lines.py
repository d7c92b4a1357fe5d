"""Straight sides: fitted to pieces of the curves of a drawing, then followed as far as the drawing goes on.

Polygons are made of sides that meet at corners (`polygons.py`), polylines of sides that follow each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values.colors import accepts, name_of

from .circles import Round
from .strokes import Curve, Drawing, stroke_curves

Array = NDArray[Any]
COLOR_BONUS = 8.0
"""Pixels by which two ends of one colour may lie farther apart than two of different colours, and still be paired
first."""


MAX_PEN_WIDTH = 40.0
"""Working pixels, above any pen's width, beyond which two sides are not on each other's ink."""


@dataclass(frozen=True, eq=False)
class Side:
    """A straight piece in working pixels.

    Attributes:
        ends: (2, 2), as far as there is ink.
        width: of the stroke; 0 for the edge of an area.
        color: the name of the stroke's colour.
        loose: Length, at each end, that lies on the ink of other sides: the side may end anywhere within.
    """

    ends: Array
    width: float
    color: str | None = None
    loose: tuple[float, float] = (0.0, 0.0)

    @cached_property
    def length(self) -> float:
        return float(np.hypot(*(self.ends[1] - self.ends[0])))

    @cached_property
    def direction(self) -> Array:
        return np.asarray((self.ends[1] - self.ends[0]) / max(self.length, 1e-9))


@dataclass(frozen=True)
class Corner:
    """Where two sides meet.

    Attributes:
        side, end: of the first: its number, and which of its ends (0 or 1).
        other, other_end: of the second; end is None where the first ends against its middle.
        x, y: the corner, at which the two straight lines cross.
        gap: Distance of the ends from there, in pixels; more if the two are of different colours.
    """

    side: int
    end: int
    other: int
    other_end: int | None
    x: float
    y: float
    gap: float


def sides(drawing: Drawing, rounds: list[Round]) -> list[Side]:
    """Maximal straight sides of all strokes and of the outlines of areas, circles left out."""
    strokes = [c for c in drawing.curves if c.width > 0]
    edges = [c for c in drawing.curves if c.width == 0]
    straight = stroke_sides(strokes, drawing.ink, drawing.strength, rounds)
    return [replace(s, color=_color(drawing, s)) for s in straight] + edge_sides(edges, rounds)


def _on_circle(piece: Array, width: float, rounds: list[Round]) -> bool:
    """True if a piece is part of a circle's outline."""
    for c in rounds:
        off = np.abs(np.hypot(piece[:, 0] - c.x, piece[:, 1] - c.y) - c.radius)
        if (off < max(2.0, 0.03 * c.radius, 0.6 * max(width, c.width) + 1.5)).mean() > 0.9:
            return True
    return False


def edge_sides(curves: list[Curve], rounds: list[Round]) -> list[Side]:
    """Straight sides of the outlines of areas, each extended to its meeting with the next."""
    found = []
    for curve in curves:
        least = min(10.0, 0.03 * len(curve.points))  # the rounding of a corner is no side
        ends = []
        for piece, _ in _pieces(curve, 1.7):
            if len(piece) >= least and not _on_circle(piece, 0.0, rounds):
                middle, direction = _line(piece)
                if direction @ (piece[-1] - piece[0]) < 0:
                    direction = -direction
                along = (piece - middle) @ direction
                trim = 4.0 if len(piece) > 24 else len(piece) / 6
                ends.append(np.outer([along.min() - trim, along.max() + trim], direction) + middle)
        for k in range(0 if curve.closed else 1, len(ends)):
            corner = _meeting(ends[k - 1], ends[k])
            if corner is not None:
                ends[k - 1][1] = ends[k][0] = corner
        found += [Side(e, 0.0) for e in ends if np.hypot(*(e[1] - e[0])) >= 4]
    return _merged(found)


def _meeting(one: Array, next_: Array) -> Array | None:
    """Where one side, lengthened a little, meets the beginning of the next; None if not nearby."""
    u, v = one[1] - one[0], next_[1] - next_[0]
    cross = u[0] * v[1] - u[1] * v[0]
    size = np.hypot(*u) * np.hypot(*v)
    if abs(cross) < 0.1 * size:
        return None
    offset = next_[0] - one[0]
    corner = one[0] + (offset[0] * v[1] - offset[1] * v[0]) / cross * u
    near = min(18.0, 0.4 * min(np.hypot(*u), np.hypot(*v)) + 4)
    if np.hypot(*(corner - one[1])) < near and np.hypot(*(corner - next_[0])) < near:
        return np.asarray(corner)
    return None


def stroke_sides(
    curves: list[Curve], ink: Array, strength: Array, rounds: list[Round], bridge: Array | None = None
) -> list[Side]:
    """Maximal straight sides of strokes, from the longest straight pieces on.

    Args:
        curves: centre lines.
        ink: (H, W) bool, where a side may go on.
        strength: (H, W) float, how much ink a pixel holds, 0 to 1.
        rounds: circles, whose outlines are left out.
        bridge: (H, W) bool, what may hide a stretch of a side, which must come out again beyond.
    """
    if not curves:
        return []
    width = float(np.median(np.concatenate([np.full(len(c.points), c.width) for c in curves])))
    pieces = [p for c in curves for p in _pieces(c)] + _rims(ink, width)
    pieces.sort(key=lambda p: -len(p[0]))
    grown: list[Side] = []
    for piece, thickness in pieces:
        if (grown and _explained(piece, grown)) or _on_circle(piece, thickness, rounds):
            continue
        side = _grow(piece, thickness, ink, strength, bridge)
        if side is not None and side.length >= max(4.0, 1.5 * thickness):
            grown.append(side)
    found: list[Side] = []
    for side in _merged(grown):  # a side that only runs over the ink of others is none
        if not found or _unexplained(side, found) > 0.3:
            found.append(side)
    return _loosened(found)


def _unexplained(side: Side, found: list[Side]) -> float:
    """The share of a side that does not lie on the ink of other sides."""
    points = side.ends[0] + np.linspace(0.02, 0.98, 50)[:, None] * (side.ends[1] - side.ends[0])
    return float(1 - _on_any(points, found, 0.5).any(1).mean())


def _on_any(points: Array, found: list[Side], share: float) -> Array:
    """(N, M) bool: which points lie on which sides, within that share of their width and a little."""
    starts = np.array([s.ends[0] for s in found])
    directions = np.array([s.direction for s in found])
    lengths = np.array([s.length for s in found])
    slack = np.array([1.0 + share * s.width for s in found])
    offset = points[:, None] - starts[None]
    along = (offset * directions[None]).sum(2)
    across = np.abs(offset[..., 0] * directions[None, :, 1] - offset[..., 1] * directions[None, :, 0])
    return np.asarray((across < slack) & (along > -2) & (along < lengths + 2))


def _rims(ink: Array, width: float) -> list[tuple[Array, float]]:
    """Straight pieces of the rims of ink, moved to the middle of the stroke. Unlike centre lines, rims are
    not bent near a junction."""
    height, wide = ink.shape
    outlines, _ = cv2.findContours(ink.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in outlines:
        points = outline[:, 0].astype(np.float64)
        if len(points) < 8:
            continue
        for piece, _ in _pieces(Curve(points, points, True, 0.0), 1.1):
            if len(piece) < max(4, width):
                continue
            _, direction = _line(piece)
            normal = np.array([-direction[1], direction[0]])
            depths = []
            for sign in (1.0, -1.0):
                steps = np.arange(0, 3 * width + 3, 0.5)
                at = piece[:: max(1, len(piece) // 8), None] + sign * steps[None, :, None] * normal
                x = np.clip(np.rint(at[..., 0]).astype(int), 0, wide - 1)
                y = np.clip(np.rint(at[..., 1]).astype(int), 0, height - 1)
                on = ink[y, x]
                on[:, -1] = False
                depths.append(float(np.median(steps[on.argmin(1)])))
            inward = 1.0 if depths[0] > depths[1] else -1.0
            depth = min(max(depths), 1.5 * width)
            found.append((piece + inward * normal * (depth - 0.5) / 2, max(depth, 1.0)))
    return found


def _pieces(curve: Curve, slack: float = 0.0) -> list[tuple[Array, float]]:
    """The straight pieces of a chain: (points, width) each. D. Douglas and T. Peucker, 1973."""
    points = curve.points
    n = len(points)
    slack = slack or 1.3 + 0.08 * curve.width
    if curve.closed:  # start at a corner: the point farthest from the middle
        first = int(np.argmax(((points - points.mean(0)) ** 2).sum(1)))
        points = np.roll(points, -first, 0)
        points = np.concatenate([points, points[:1]])
        n += 1
    cuts, stack = {0, n - 1}, [(0, n - 1)]
    while stack:
        a, b = stack.pop()
        if b - a < 4:
            continue
        chord = points[b] - points[a]
        length = np.linalg.norm(chord)
        offset = points[a : b + 1] - points[a]
        if length < 1e-6:
            away = np.linalg.norm(offset, axis=1)
        else:
            away = np.abs(offset[:, 0] * chord[1] - offset[:, 1] * chord[0]) / length
        k = int(away.argmax())
        if away[k] > slack and 0 < k < b - a:
            cuts.add(a + k)
            stack += [(a, a + k), (a + k, b)]
    marks = sorted(cuts)
    least = max(5, curve.width)
    found = []
    for a, b in pairwise(marks):
        if b - a >= least:
            trim = min((b - a) // 6, 4)
            found.append((points[a + trim : b + 1 - trim], curve.width))
    return found


def _line(points: Array) -> tuple[Array, Array]:
    """(middle, unit direction) of the straight line nearest to points."""
    middle = points.mean(0)
    _, _, rows = np.linalg.svd(points - middle, full_matrices=False)
    return middle, rows[0]


def _explained(piece: Array, found: list[Side]) -> bool:
    return bool((_on_any(piece, found, 0.2).mean(0) > 0.7).any())


def _grow(piece: Array, width: float, ink: Array, strength: Array, bridge: Array | None) -> Side | None:
    """The side through a piece: follow it while there is ink, fit again to the middle of the stroke, and so
    on."""
    middle, direction = _line(piece)
    low, high = _follow(middle, direction, width / 2, ink, bridge)  # it may lie off the middle
    for _ in range(3):
        if high - low < 3:
            return None
        centres, clean = _centres(middle, direction, low, high, width, strength)
        if clean.sum() < 4:
            break
        middle, again = _line(centres[clean])
        direction = again if again @ direction > 0 else -again
        low, high = _follow(middle, direction, width, ink, bridge)
    if high - low < 3:
        return None
    return Side(np.stack([middle + low * direction, middle + high * direction]), width)


def _centres(
    middle: Array, direction: Array, low: float, high: float, width: float, strength: Array
) -> tuple[Array, Array]:
    """The middle of the stroke (N, 2) at each pixel along a line, and whether (N,) it stands alone there: one stroke,
    with nothing beside it."""
    normal = np.array([-direction[1], direction[0]])
    steps = np.arange(low, high + 0.5)
    reach = width / 2 + 2.5
    across = np.arange(-reach, reach + 0.25, 0.5)
    at = middle + steps[:, None, None] * direction + across[None, :, None] * normal
    profile = cv2.remap(
        strength, at[..., 0].astype(np.float32), at[..., 1].astype(np.float32), cv2.INTER_LINEAR
    )
    mass = profile.sum(1)
    shift = (profile * across).sum(1) / np.maximum(mass, 1e-6)
    peak = profile.max(1)
    clean = (peak > 0.4) & (profile[:, 0] < 0.35 * peak) & (profile[:, -1] < 0.35 * peak)
    clean &= mass * 0.5 < 1.5 * max(float(np.median(mass[clean])) * 0.5, 0.5) if clean.any() else clean
    clean &= np.abs(shift) < width / 2 + 1.5
    return middle + steps[:, None] * direction + shift[:, None] * normal, clean


def _follow(
    middle: Array, direction: Array, width: float, ink: Array, bridge: Array | None
) -> tuple[float, float]:
    """Lengths along which a line through `middle` stays on ink, backward and forward.

    Gaps of two pixels are crossed, and longer ones if `bridge` hides the ink.
    """
    height, wide = ink.shape
    normal = np.array([-direction[1], direction[0]])
    breadth = max(0.36 * width - 0.5, 0.0)  # the stroke must go on in its breadth, or it is another that does
    ends = []
    for sign in (-1.0, 1.0):
        toward = sign * direction
        room = np.where(toward > 0, np.array([wide, height]) - middle, -middle) / np.where(
            toward == 0, 1e-9, toward
        )
        reach = max(4, int(2 * np.abs(room).min()) + 2)  # in half pixels, to the edge of the image
        steps = np.arange(reach) * 0.5
        on = np.ones(reach, bool)
        over = np.ones(reach, bool)
        for aside in (-breadth, 0.0, breadth):
            x = np.rint(middle[0] + steps * toward[0] + aside * normal[0]).astype(int)
            y = np.rint(middle[1] + steps * toward[1] + aside * normal[1]).astype(int)
            x, y = np.clip(x, 0, wide - 1), np.clip(y, 0, height - 1)  # the frame may cut a stroke lengthwise
            on &= ink[y, x]
            if bridge is not None:
                over &= ink[y, x] | bridge[y, x]
        end = _first_gap(on if bridge is None else over, 6)
        last = np.flatnonzero(on[:end])
        ends.append(sign * float(steps[last[-1]] if len(last) else 0.0))
    return ends[0], ends[1]


def _first_gap(on: Array, size: int) -> int:
    """Index of the first run of `size` or more False; the length of the array if there is none."""
    runs = np.flatnonzero(np.diff(np.r_[0, (~on).astype(int), 0]))
    for begin, end in zip(runs[::2], runs[1::2], strict=True):
        if end - begin >= size:
            return int(begin)
    return len(on)


def _merged(found: list[Side]) -> list[Side]:
    """One side for each run of collinear, overlapping ones."""
    done: list[Side] = []
    starts, directions = np.empty((len(found), 2)), np.empty((len(found), 2))
    lengths, slack = np.empty(len(found)), np.empty(len(found))
    for side in sorted(found, key=lambda s: -s.length):
        n = len(done)
        along = np.abs(directions[:n] @ side.direction) >= 0.995
        offset = side.ends[:, None] - starts[None, :n]
        normals = np.stack([-directions[:n, 1], directions[:n, 0]], 1)
        near = np.abs((offset * normals).sum(2)).max(0) <= np.maximum(slack[:n], 1.6 + 0.25 * side.width)
        reach = np.sort((offset * directions[:n]).sum(2), axis=0)
        touching = (reach[1] >= -2) & (reach[0] <= lengths[:n] + 2)
        same = np.flatnonzero(along & near & touching)
        if len(same):
            i = int(same[0])
            base, direction = starts[i].copy(), directions[i]
            low, high = min(0.0, float(reach[0, i])), max(float(lengths[i]), float(reach[1, i]))
            done[i] = replace(done[i], ends=np.stack([base + low * direction, base + high * direction]))
        else:
            i = n
            done.append(side)
            slack[i] = 1.6 + 0.25 * side.width
        starts[i], directions[i], lengths[i] = done[i].ends[0], done[i].direction, done[i].length
    return done


def corners(found: list[Side], bend: float = 0.17) -> list[Corner]:
    """Corners at which a side ends at the end of another, or against its middle.

    Args:
        found: The sides.
        bend: Least sine of the angle between them; by default of ten degrees.
    """
    if not found:
        return []
    starts = np.array([s.ends[0] for s in found])
    directions = np.array([s.direction for s in found])
    lengths = np.array([s.length for s in found])
    widths = np.array([s.width for s in found])
    loose = np.array([s.loose for s in found])
    numbers = {name: k for k, name in enumerate({s.color for s in found})}
    colors = np.array([numbers[s.color] for s in found])
    meetings = []
    for i, a in enumerate(found):
        foreign = np.where(colors == colors[i], 0.0, COLOR_BONUS)
        sine = a.direction[0] * directions[:, 1] - a.direction[1] * directions[:, 0]
        cross = np.where(np.abs(sine) < bend, np.nan, sine)
        offset = starts - a.ends[0]
        t = (offset[:, 0] * directions[:, 1] - offset[:, 1] * directions[:, 0]) / cross
        s = (offset[:, 0] * a.direction[1] - offset[:, 1] * a.direction[0]) / cross
        # the corners of areas are rounded by their reading
        limit = np.where((widths == 0) & (a.width == 0), 10.0, 3.0)
        limit += (1.2 + 0.5 / np.abs(cross)) * np.maximum(a.width, widths) + 1.5 / np.abs(cross)
        mine, theirs = np.minimum(limit, 0.35 * a.length + 2), np.minimum(limit, 0.35 * lengths + 2)
        mine_at = [_apart(t, 0.0, a.loose[0]), _apart(t, a.length - a.loose[1], a.length)]
        theirs_at = [_apart(s, 0.0, loose[:, 0]), _apart(s, lengths - loose[:, 1], lengths)]
        nearer = (theirs_at[1] < theirs_at[0]).astype(int)
        apart = np.minimum(*theirs_at)
        for end in (0, 1):
            gap = mine_at[end]
            for j in np.flatnonzero((gap <= mine) & ((apart <= theirs) | ((s > 0) & (s < lengths)))):
                x, y = (float(v) for v in a.ends[0] + t[j] * a.direction)
                if apart[j] <= theirs[j]:
                    cost = float(gap[j] + apart[j] + foreign[j])
                    meetings.append(Corner(i, end, int(j), int(nearer[j]), x, y, cost))
                else:
                    meetings.append(Corner(i, end, int(j), None, x, y, float(gap[j] + foreign[j])))
    return meetings


def _apart(place: Array, low: Any, high: Any) -> Array:
    """Distance of places from the range low to high; within it, a little of the distance from its middle."""
    outside = np.maximum(np.maximum(low - place, place - high), 0.0)
    return np.asarray(outside + 0.1 * np.minimum(np.abs(place - (low + high) / 2), (high - low) / 2))


def _loosened(found: list[Side]) -> list[Side]:
    """The sides, with the loose lengths of their ends."""
    done = []
    directions = np.array([s.direction for s in found]).reshape(-1, 2)
    middles = np.array([s.ends.mean(0) for s in found]).reshape(-1, 2)
    lengths = np.array([s.length for s in found])
    for side in found:
        near = np.hypot(*(middles - side.ends.mean(0)).T) < (lengths + side.length) / 2 + MAX_PEN_WIDTH
        near &= np.abs(directions @ side.direction) < 0.98
        others = [found[i] for i in np.flatnonzero(near)]
        if not others:
            done.append(side)
            continue
        steps = np.arange(0, side.length)
        points = side.ends[0] + steps[:, None] * side.direction
        free = np.flatnonzero(~_on_any(points, others, 0.5).any(1))
        most = 0.4 * side.length
        low, high = (free[0], len(steps) - 1 - free[-1]) if len(free) else (most, most)
        done.append(replace(side, loose=(float(min(low, most)), float(min(high, most)))))
    return done


def drawn_lines(
    drawing: Drawing, rounds: list[Round], wanted: tuple[str, str] | None
) -> list[tuple[list[Array], str]]:
    """The polylines of the strokes, with their colours.

    If a colour is wanted, only those of this colour, followed beneath others.
    """
    ink, strength, bridge = drawing.ink, drawing.strength, None
    curves = [c for c in drawing.curves if c.width > 0]
    if wanted is not None:
        ys, xs = np.nonzero(ink)
        ink = np.zeros_like(ink)
        ink[ys, xs] = accepts(_pure(drawing)[ys, xs], wanted)
        ink = drawing.ink & (
            cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0
        )
        bridge = drawing.ink & ~ink
        strength = strength * cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) * ~bridge
        curves = stroke_curves(ink)
    found = stroke_sides(curves, ink, strength, rounds, bridge)
    found = [replace(s, color=wanted[0] if wanted else _color(drawing, s)) for s in found]
    return polylines(found)


def _pure(drawing: Drawing) -> Array:
    """(H, W, 3) colour of the strongest ink next to each pixel, so that soft rims have that of their line."""
    best, colors = drawing.strength.copy(), drawing.rgb.copy()
    for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        moved = np.roll(drawing.strength, (dy, dx), (0, 1))
        better = moved > best
        best[better] = moved[better]
        colors[better] = np.roll(drawing.rgb, (dy, dx), (0, 1))[better]
    return colors


def _color(drawing: Drawing, side: Side) -> str:
    points = side.ends[0] + np.linspace(0.05, 0.95, 41)[:, None] * (side.ends[1] - side.ends[0])
    height, width = drawing.size
    x = np.clip(np.rint(points[:, 0]).astype(int), 0, width - 1)
    y = np.clip(np.rint(points[:, 1]).astype(int), 0, height - 1)
    strong = drawing.strength[y, x]
    return name_of(np.median(drawing.rgb[y, x][strong >= np.median(strong)], axis=0))


def polylines(found: list[Side]) -> list[tuple[list[Array], str]]:
    """Sides of one colour joined end to end where exactly two meet: points and colour of each polyline.

    The first point of a closed one comes again as its last.
    """
    partners: dict[tuple[int, int], list[Corner]] = {}
    for corner in corners(found, bend=0.03):
        if corner.other_end is not None and found[corner.side].color == found[corner.other].color:
            partners.setdefault((corner.side, corner.end), []).append(corner)
    joint = {}
    for key, meetings in partners.items():
        if len(meetings) == 1:
            other = (meetings[0].other, int(meetings[0].other_end or 0))
            back = partners.get(other, [])
            if len(back) == 1 and (back[0].side, back[0].other, back[0].other_end) == (other[0], *key):
                joint[key] = (other, np.array([meetings[0].x, meetings[0].y]))
    lines, used = [], set()
    free = [(i, e) for i in range(len(found)) for e in (0, 1) if (i, e) not in joint]
    for start in (*free, *((i, 0) for i in range(len(found)))):
        if start[0] in used:
            continue
        at: tuple[int, int] = start
        points = [joint[at][1] if at in joint else found[at[0]].ends[at[1]]]
        while at[0] not in used:
            used.add(at[0])
            far = (at[0], 1 - at[1])
            if far not in joint:
                points.append(found[far[0]].ends[far[1]])
                break
            at, place = joint[far]
            points.append(place)
        lines.append((points, str(found[start[0]].color)))
    return lines

"""Circles: fitted to arcs of the curves of a drawing, then verified all around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .strokes import Drawing

Array = NDArray[Any]
MIN_VISIBLE_SHARE = 0.55
"""Least share of a circle's outline that is visible; the rest must be hidden behind another shape."""


@dataclass(frozen=True, eq=False)
class Round:
    """A circle in working pixels.

    Attributes:
        x: Centre, to the right.
        y: Centre, down.
        radius: Radius of the centre line, or of the edge of an area.
        width: Width of the stroke; 0 for the edge of an area.
        members: Indices of its points among those of all curves, in order.
    """

    x: float
    y: float
    radius: float
    width: float
    members: Array

    @property
    def box(self) -> Array:
        """(2, 2): its top-left and bottom-right corners."""
        return np.array([[-1, -1], [1, 1]]) * self.radius + [self.x, self.y]


@dataclass(frozen=True, eq=False)
class _Points:
    places: Array
    tangents: Array
    widths: Array


def circles(drawing: Drawing) -> list[Round]:
    """All circles in a drawing, whole ones and those partly hidden or crossed."""
    curves = drawing.curves
    if not curves:
        return []
    points = _Points(
        np.concatenate([c.points for c in curves]),
        np.concatenate([c.tangents for c in curves]),
        np.concatenate([np.full(len(c.points), c.width) for c in curves]),
    )
    refined: list[tuple[float, Round]] = []
    explained = np.zeros(len(points.places), bool)
    for x, y, r, window in _candidates(drawing):
        if explained[window].mean() > 0.8 or any(
            abs(x - c.x) + abs(y - c.y) + abs(r - c.radius) < max(2.0, 0.04 * r) for _, c in refined
        ):
            continue
        circle = _refine(points, x, y, r)
        if circle is None or any(_same(circle, c) for _, c in refined):
            continue
        seen = _visible_share(drawing, points, circle, circle.members)
        if seen is not None:
            refined.append((seen, circle))
            explained[circle.members] |= seen > 0.85
    refined.sort(key=lambda item: -item[0] * min(1.0, 0.5 + item[1].radius / 100))
    used = np.zeros(len(points.places), bool)
    accepted: list[Round] = []
    for _, circle in refined:
        fresh = circle.members[~used[circle.members]]
        if len(fresh) < 0.5 * len(circle.members) or any(_same(circle, c) for c in accepted):
            continue
        accepted.append(circle)
        used[circle.members] = True
    return accepted


def fit(places: Array) -> tuple[float, float, float]:
    """The circle (x, y, radius) through points, by least squares on the algebraic distance, normalised by the
    gradient: G. Taubin, "Estimation of planar curves…", PAMI 13(11), 1991."""
    mean = places.mean(0)
    u = places - mean
    z = (u**2).sum(1)
    scale = z.mean()
    if scale <= 0:
        return float(mean[0]), float(mean[1]), 0.0
    z0 = (z - scale) / (2 * np.sqrt(scale))
    _, _, rows = np.linalg.svd(np.column_stack([z0, u]), full_matrices=False)
    a0, b, c = rows[2]
    a = a0 / (2 * np.sqrt(scale))
    if abs(a) < 1e-9:
        return float(mean[0]), float(mean[1]), 1e9
    d = -scale * a
    centre = np.array([-b, -c]) / (2 * a)
    radius = np.sqrt(max(b * b + c * c - 4 * a * d, 0.0)) / (2 * abs(a))
    return float(centre[0] + mean[0]), float(centre[1] + mean[1]), float(radius)


def _candidates(drawing: Drawing) -> list[tuple[float, float, float, slice]]:
    """Circles (x, y, radius) through windows of each curve, with the window as a slice of all points.

    Circles through the longest arcs come first.
    """
    height, width = drawing.size
    least = max(3.0, 0.006 * max(height, width))
    found = []
    offset = 0
    for curve in drawing.curves:
        n = len(curve.points)
        length = n
        for _ in range(4):
            if length < 12:
                break
            for start in range(0, n - length + 1, max(1, length // 2)):
                window = curve.points[start : start + length]
                x, y, r = fit(window)
                if not least <= r <= 0.8 * max(height, width):
                    continue
                off = np.hypot(window[:, 0] - x, window[:, 1] - y) - r
                if np.sqrt((off**2).mean()) < _slack(r) and length / r > 0.6:
                    found.append((length / r, x, y, r, slice(offset + start, offset + start + length)))
            length //= 2
        offset += n
    found.sort(key=lambda c: -c[0])
    return [c[1:] for c in found[:600]]


def _slack(radius: float) -> float:
    """Greatest root mean square distance of points from a circle, in pixels.

    A hexagon deviates by 4 % of its radius, an octagon by 2.3 %.
    """
    return 0.45 + 0.008 * radius


def _on(points: _Points, x: float, y: float, r: float, tolerance: float) -> Array:
    """Indices of the points that lie on a circle, where their curve runs along it."""
    dx, dy = points.places[:, 0] - x, points.places[:, 1] - y
    distance = np.hypot(dx, dy)
    along = np.abs(dx * points.tangents[:, 0] + dy * points.tangents[:, 1]) / np.maximum(distance, 1e-9)
    return np.flatnonzero((np.abs(distance - r) < tolerance) & (along < 0.35))


def _refine(points: _Points, x: float, y: float, r: float) -> Round | None:
    for tolerance in (max(2.2, 0.05 * r), max(1.6, 0.025 * r), max(1.3, 0.02 * r)):
        members = _on(points, x, y, r, tolerance)
        if len(members) < 10:
            return None
        x, y, r = fit(points.places[members])
    off = np.hypot(points.places[members, 0] - x, points.places[members, 1] - y) - r
    if np.sqrt((off**2).mean()) > _slack(r):
        return None
    return Round(x, y, r, float(np.median(points.widths[members])), members)


def _visible_share(drawing: Drawing, points: _Points, circle: Round, members: Array) -> float | None:
    """The visible share of the outline; None if it is too small, or if the rest is not hidden but absent."""
    bins = int(np.clip(2 * np.pi * circle.radius / 2.5, 12, 180))
    places = points.places[members]
    angles = np.arctan2(places[:, 1] - circle.y, places[:, 0] - circle.x)
    there = np.zeros(bins, bool)
    there[((angles / (2 * np.pi) + 0.5) * bins).astype(int) % bins] = True
    seen = float(there.mean())
    if seen < MIN_VISIBLE_SHARE:
        return None
    missing = ((np.flatnonzero(~there) + 0.5) / bins - 0.5) * 2 * np.pi
    if len(missing):
        height, width = drawing.size
        x = np.rint(circle.x + circle.radius * np.cos(missing)).astype(int)
        y = np.rint(circle.y + circle.radius * np.sin(missing)).astype(int)
        inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
        hidden = ~inside  # cut off by the frame of the image
        hidden[inside] = drawing.ink[y[inside], x[inside]] | (drawing.areas[y[inside], x[inside]] != 1)
        if (~hidden).sum() > 0.12 * bins:
            return None
    return seen


def _same(a: Round, b: Round) -> bool:
    apart = np.hypot(a.x - b.x, a.y - b.y) + abs(a.radius - b.radius)
    return bool(apart < max(3.0, 1.2 * max(a.width, b.width), 0.05 * max(a.radius, b.radius)))

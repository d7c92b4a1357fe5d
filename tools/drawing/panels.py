"""The panels of an image that is laid out as several: sub-figures, frames of a comic, boxes side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box

Array = NDArray[Any]
MAX_SPREAD = 12
"""Levels per channel by which a gutter's pixels may differ from its colour."""

MIN_GUTTER_SHARE = 0.9
"""Least share of the gutters' colour that lies in gutters: a colour that also fills the panels parts nothing."""

MIN_GUTTER, MIN_PANEL = 2, 12
"""Least number of pixels across a gutter, and across a panel."""


def panels(rgb: Array) -> list[Box]:
    """The panels of an image (H, W, 3), row by row; the whole image if nothing parts it.

    Of several colours that could be the gutters', the one that leaves the most to the panels.

    Bars of one flat colour that run from edge to edge part the image, their like then part the pieces (the
    recursive XY cut of Nagy and Seth, "Hierarchical representation of optically scanned documents", 1984).
    """
    height, width = rgb.shape[:2]
    most, found = 0.0, [Box(0, 0, width, height)]
    for color in _bar_colors(rgb):
        same = np.asarray((np.abs(rgb.astype(np.int16) - color) <= MAX_SPREAD).all(2))
        boxes = _cut(same, 0, 0)
        inside = sum(int(same[_inside(b)].sum()) for b in boxes)
        area = sum(b.area for b in boxes)
        if len(boxes) > 1 and inside <= (1 - MIN_GUTTER_SHARE) * same.sum() and area > most:
            most, found = area, boxes
    return found


def _inside(box: Box) -> tuple[slice, slice]:
    return slice(int(box.top), int(box.bottom)), slice(int(box.left), int(box.right))


def _bar_colors(rgb: Array) -> list[Array]:
    """The colours of the rows and columns that are of one colour from edge to edge."""
    found: list[Array] = []
    for lines in (rgb, rgb.transpose(1, 0, 2)):
        low, high = lines.min(1).astype(np.int16), lines.max(1).astype(np.int16)
        flat = (high - low).max(1) <= MAX_SPREAD
        for color in ((low + high) // 2)[flat]:
            if all(np.abs(color - other).max() > MAX_SPREAD for other in found):
                found.append(color)
    return found


def _cut(same: Array, left: int, top: int) -> list[Box]:
    """The pieces of an area (H, W) that is True where it has the colour of gutters; its corner is (left, top)."""
    rows, columns = (_pieces(np.asarray(same.all(axis))) for axis in (1, 0))
    if not rows or not columns:
        return []
    height, width = same.shape
    if len(rows) == len(columns) == 1 and rows[0] == (0, height) and columns[0] == (0, width):
        return [Box(left, top, left + width, top + height)]
    boxes = []
    for begin, end in rows:
        for start, stop in columns if len(rows) == 1 else [(0, width)]:
            boxes += _cut(same[begin:end, start:stop], left + start, top + begin)
    return boxes


def _pieces(bar: Array) -> list[tuple[int, int]]:
    """Spans between the bars of a line that is True in bars; thin bars and small pieces do not count."""
    edges = np.flatnonzero(np.diff(np.r_[False, bar, False].astype(np.int8)))
    length = len(bar)
    bars = [
        (int(a), int(b))
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        if b - a >= MIN_GUTTER or a == 0 or b == length
    ]
    ends = [0, *(v for bar_ in bars for v in bar_), length]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if b - a >= MIN_PANEL]

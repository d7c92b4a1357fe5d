"""Lettering in a drawing: rows of strokes of like height that are not shapes themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np

from visprog.values import Box, Located

from .strokes import Drawing

T = TypeVar("T", bound=Located)

MIN_LETTERS = 3
"""Number of marks in a row of letters, at least."""

MAX_SHAPE_SHARE = 0.5
"""Share of the marks in a row of letters that resemble a shape (an O, a D) as a whole, at most."""


def without_letters(
    shapes: Sequence[T], drawings: Sequence[Drawing], others: Callable[[], Sequence[Located]]
) -> list[T]:
    """The shapes (places in the frame of the root) that are not letters, or parts of letters, of a row of text.

    Args:
        others: Gives shapes of other kinds in the drawings: a row of them is no text.
    """
    rows = _rows([mark for drawing in drawings for mark in _marks(drawing)])
    lettering = []
    known: list[Located] = [*shapes, *others()] if rows and shapes else []
    for row in rows:
        alike = sum(any(mark.iou(s) > 0.6 for s in known) for mark in row)
        if alike <= MAX_SHAPE_SHARE * len(row):
            box = row[0]
            for mark in row[1:]:
                box = box.union(mark)
            lettering.append(box.expand(0.15 * box.height))
    return [s for s in shapes if not any(s.height < 1.3 * row.height and s.inside(row) for row in lettering)]


def _marks(drawing: Drawing) -> list[Box]:
    """Marks of ink as high as letters, in the frame of the root."""
    most = 0.25 * drawing.image.root.height
    count, _, stats, _ = cv2.connectedComponentsWithStats(drawing.ink.astype(np.uint8), connectivity=8)
    marks = []
    for x, y, w, h, _ in stats[1:count]:
        if h >= 6 and h / drawing.scale <= most and w <= 2.5 * h:
            start, end = drawing.place(x - 0.5, y - 0.5), drawing.place(x + w - 0.5, y + h - 0.5)
            marks.append(Box(start.x, start.y, end.x, end.y))
    return marks


def _rows(marks: list[Box]) -> list[list[Box]]:
    """Marks that stand in rows, from left to right."""
    rows: list[list[Box]] = []
    for mark in sorted(marks, key=lambda m: m.left):
        for row in rows:
            last = row[-1]
            level = abs(last.center.y - mark.center.y) < 0.35 * max(last.height, mark.height)
            like = 0.55 < mark.height / last.height < 1.8
            if level and like and mark.left - last.right < max(last.height, mark.height):
                row.append(mark)
                break
        else:
            rows.append([mark])
    return [row for row in rows if len(row) >= MIN_LETTERS]

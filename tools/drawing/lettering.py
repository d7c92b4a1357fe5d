"""Lettering in a drawing: rows of strokes of like height that are not shapes themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Located

from .strokes import Drawing

T = TypeVar("T", bound=Located)

MIN_LETTERS = 3
"""Number of marks in a row of letters, at least."""

MIN_HEIGHT = 6
"""Height of a letter, in pixels, at least."""

MAX_SHAPE_SHARE = 0.5
"""Share of the marks in a row of letters that resemble a shape (an O, a D) as a whole, at most."""


def without_letters(
    shapes: Sequence[T], drawings: Sequence[Drawing], others: Callable[[], Sequence[Located]]
) -> list[T]:
    """The shapes (places in the frame of the root) that are not letters, or parts of letters, of a row of text.

    Args:
        others: Gives shapes of other kinds in the drawings: a row of them is no text.
    """
    marks = [mark for drawing in drawings for mark in _marks(drawing)]
    sides = drawings[0].image.root.size if drawings else (0, 0)
    upright, turned = _letters(marks, sides[1]), _letters(list(map(_turned, marks)), sides[0])
    # What JPEG leaves of a letter lies in it or around it: rows are sought with it and without.
    rows = [row for letters in (upright, _outer(upright)) for row in _rows(letters)]
    rows += [list(map(_turned, row)) for letters in (turned, _outer(turned)) for row in _rows(letters)]
    lettering = []
    known: list[Located] = [*shapes, *others()] if rows and shapes else []
    for row in rows:
        alike = sum(any(_is_shape(mark, s) for s in known) for mark in row)
        if alike <= MAX_SHAPE_SHARE * len(row):
            box = row[0]
            for mark in row[1:]:
                box = box.union(mark)
            lettering.append(box.expand(0.15 * min(box.height, box.width)))
    return [
        s
        for s in shapes
        if not any(
            min(s.height, s.width) < 1.3 * min(row.height, row.width) and s.inside(row) for row in lettering
        )
    ]


def _is_shape(mark: Box, shape: Located) -> bool:
    """Whether a mark resembles a shape as a whole, or is what its outline encloses."""
    off = mark.center.distance(shape.center)
    return mark.iou(shape) > 0.6 or (
        off < 0.1 * shape.width and mark.inside(shape) and mark.width > 0.4 * shape.width
    )


def _marks(drawing: Drawing) -> list[Box]:
    """Marks of ink or of one colour, in the frame of the root."""
    count, _, stats, _ = cv2.connectedComponentsWithStats(drawing.ink.astype(np.uint8), connectivity=8)
    marks = []
    for x, y, w, h in [*stats[1:count, :4], *_extents(drawing.areas)]:
        if max(w, h) >= 6:
            start, end = drawing.place(x - 0.5, y - 0.5), drawing.place(x + w - 0.5, y + h - 0.5)
            marks.append(Box(start.x, start.y, end.x, end.y))
    return marks


def _letters(marks: list[Box], side: float) -> list[Box]:
    """Marks as high as letters are in an image of this height, and no wider."""
    return [m for m in marks if MIN_HEIGHT <= m.height <= 0.25 * side and m.width <= 2.5 * m.height]


def _outer(marks: list[Box]) -> list[Box]:
    """Marks without those inside others."""
    edges = np.array([(m.left, m.top, -m.right, -m.bottom) for m in marks]).reshape(-1, 4)
    area = np.array([m.area for m in marks])
    inner = [np.any((edges <= own + 1).all(1) & (area > size)) for own, size in zip(edges, area, strict=True)]
    return [m for m, is_inner in zip(marks, inner, strict=True) if not is_inner]


def _extents(areas: NDArray[np.int32]) -> NDArray[np.int64]:
    """Left, top, width and height (N, 4) of each area but the ground."""
    ys, xs = np.nonzero(areas > 1)
    _, numbers = np.unique(areas[ys, xs], return_inverse=True)
    low = np.full((numbers.max(initial=-1) + 1, 2), np.iinfo(np.int64).max)
    high = np.zeros_like(low)
    np.minimum.at(low, numbers, np.stack([xs, ys], 1))
    np.maximum.at(high, numbers, np.stack([xs, ys], 1))
    return np.concatenate([low, high + 1 - low], 1)


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


def _turned(box: Box) -> Box:
    """The box in the image with x and y exchanged."""
    return Box(box.top, box.left, box.bottom, box.right)

"""Lines of text that an engine read: their reading order, and the search in them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from visprog.values import Box


@dataclass(frozen=True, slots=True)
class Word:
    """A word and its place in the frame of the root."""

    text: str
    box: Box


@dataclass(frozen=True, slots=True)
class TextLine:
    """A line of text, and its words if the engine tells them apart."""

    text: str
    box: Box
    score: float
    words: tuple[Word, ...]


def without_parts(lines: list[TextLine]) -> list[TextLine]:
    """Lines without overlaps: of lines that lie in another, either these or the other, by letters times score."""
    kept: list[TextLine] = []
    for line in sorted(lines, key=lambda each: each.box.area):
        parts = [k for k in kept if k.box.inside(line.box, 0.25)]
        if sum(_content(part) for part in parts) <= _content(line):
            kept = [k for k in kept if k not in parts] + [line]
    return kept


def _content(line: TextLine) -> float:
    return line.score * len(_plain(line.text))


def rows_of(lines: list[TextLine]) -> list[list[TextLine]]:
    """Lines in rows from top to bottom: pieces whose heights overlap by half stand in one row, from left to right."""
    rows: list[list[TextLine]] = []
    for line in sorted(lines, key=lambda each: each.box.center.y):
        row = rows[-1] if rows else []
        if row and _same_row(row, line):
            row.append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda each: each.box.left) for row in rows]


def in_order(lines: list[TextLine]) -> list[TextLine]:
    """Lines in reading order."""
    return [line for row in rows_of(lines) for line in row]


def _same_row(row: list[TextLine], line: TextLine) -> bool:
    last = row[-1].box
    shared = min(last.bottom, line.box.bottom) - max(last.top, line.box.top)
    return shared > 0.5 * max(last.height, line.box.height) and all(
        min(piece.box.right, line.box.right) - max(piece.box.left, line.box.left)
        < 0.25 * min(piece.box.width, line.box.width)
        for piece in row
    )


def box_of(line: TextLine, text: str) -> Box | None:
    """The box of the words of a line that match a text, or of the line if its words cannot be separated.

    Capitals, spaces and punctuation are ignored.

    Returns:
        None if the line does not hold the text.
    """
    wanted = _plain(text)
    if not wanted:
        return line.box if text.strip() and text.strip() in line.text else None
    start = _plain(line.text).find(wanted)
    if start < 0:
        return None
    box, at = None, 0
    for word in line.words:
        end = at + len(_plain(word.text))
        if at < start + len(wanted) and end > start:
            box = word.box if box is None else box.union(word.box)
        at = end
    return line.box if box is None or at != len(_plain(line.text)) else box


def _plain(text: str) -> str:
    """Letters and digits alone, in lower case."""
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", text).casefold())

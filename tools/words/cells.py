"""Lines of text as the cells of a table, or as the labels and values of a form, by where they stand."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from visprog.values import Region

MIN_INSIDE = 0.15
"""Share of a line's width by which it must reach into a cell to stand in that, too."""

MIN_FULL = 0.6
"""Least share of the rows of an unruled table that have all cells but one."""

MAX_LABEL = 40
"""Number of characters of a label, at most."""

LABELLED = re.compile(
    r"\s*(?P<label>[^:：]*[^\W\d_][^:：]*?)\s*(?:(?<!\d)[:：]|[:：](?!\d))(?!//)\s*(?P<value>.*?)\s*"
)
"""A label, which has a letter, a colon that is not of a time of day or an address, and what follows."""

Row = list[Region]


def spread(
    lines: Sequence[Region], y: Sequence[float], x: Sequence[float]
) -> tuple[list[list[str]], set[tuple[int, int]]]:
    """Lines of text in the cells between edges of rows (y) and of columns (x), and the cells that a line runs over."""
    cells: list[list[list[Region]]] = [[[] for _ in x[1:]] for _ in y[1:]]
    across: set[tuple[int, int]] = set()
    for line in lines:
        row = bisect_right(y, line.center.y) - 1
        shares = [
            max(0.0, min(line.right, right) - max(line.left, left)) / max(line.width, 1e-9)
            for left, right in pairwise(x)
        ]
        columns = [i for i, share in enumerate(shares) if share >= MIN_INSIDE]
        if not 0 <= row < len(cells) or sum(shares) < 0.5 or not columns:
            continue
        if len(columns) > 1:
            across |= {(row, column) for column in columns}
        else:
            cells[row][columns[0]].append(line)
    texts = [[" ".join(r.label for r in in_rows(cell)) for cell in row] for row in cells]
    return texts, across


def rows_of(lines: Sequence[Region]) -> list[list[str]] | None:
    """The cells of an unruled table; None if the lines do not stand in clear columns.

    Lines that stand alone in a row above and below the table are not part of it.
    """
    rows = by_row(lines)
    while rows and len(rows[0]) < 2:
        rows = rows[1:]
    while rows and len(rows[-1]) < 2:
        rows = rows[:-1]
    if len(rows) < 2:
        return None
    columns = _columns([line for row in rows for line in row])
    if len(columns) < 2:
        return None
    table = []
    for row in rows:
        cells = [""] * len(columns)
        for line in row:
            column = next(i for i, (left, right) in enumerate(columns) if left <= line.center.x <= right)
            if cells[column]:
                return None  # two lines in one cell of one row: the columns are finer than they seem
            cells[column] = line.label
        table.append(cells)
    full = sum(sum(bool(cell) for cell in cells) >= max(2, len(columns) - 1) for cells in table)
    return table if full >= MIN_FULL * len(table) else None


def fields_of(lines: Sequence[Region]) -> dict[str, str]:
    """Values by their labels: those of lines such as "Name: Ada", and lines that stand right of a label or below it."""
    rows = by_row(lines)
    fields: dict[str, list[str]] = {}
    used: set[int] = set()
    for number, row in enumerate(rows):
        for place, line in enumerate(row):
            found = LABELLED.fullmatch(line.label)
            label = found["label"] if found else ""
            if found is None or id(line) in used or not 0 < len(label) <= MAX_LABEL:
                continue
            value = found["value"]
            if not value:
                beside = row[place + 1] if place + 1 < len(row) else _below(line, rows[number + 1 :])
                if beside is None or id(beside) in used or LABELLED.fullmatch(beside.label):
                    continue
                used.add(id(beside))
                value = beside.label
            fields.setdefault(label, []).append(value)
    return {label: "\n".join(values) for label, values in fields.items()}


def pairs_of(rows: Sequence[Sequence[str]]) -> dict[str, str]:
    """Values by their labels, of a table of two columns whose left one holds labels: words, each once."""
    pairs = [(row[0], row[1]) for row in rows if len(row) == 2 and row[0] and row[1]]
    labels = {label for label, _ in pairs}
    words = all(any(c.isalpha() for c in label) and len(label) <= MAX_LABEL for label in labels)
    return dict(pairs) if len(pairs) > 1 and len(labels) == len(pairs) and words else {}


def by_row(lines: Sequence[Region]) -> list[Row]:
    """Lines of text in rows from top to bottom, each from left to right: those whose heights overlap by half."""
    rows: list[Row] = []
    for line in sorted(lines, key=lambda each: each.center.y):
        last = rows[-1][-1] if rows else None
        shared = min(last.bottom, line.bottom) - max(last.top, line.top) if last is not None else 0.0
        if last is not None and shared > 0.5 * min(last.height, line.height):
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda each: each.left) for row in rows]


def in_rows(lines: Sequence[Region]) -> list[Region]:
    """Lines in reading order."""
    return [line for row in by_row(lines) for line in row]


def _columns(lines: Sequence[Region]) -> list[tuple[float, float]]:
    """Left and right of the columns that lines (N) stand in: of all that overlap, one."""
    columns: list[tuple[float, float]] = []
    for line in sorted(lines, key=lambda each: each.left):
        if columns and line.left < columns[-1][1]:
            columns[-1] = columns[-1][0], max(columns[-1][1], line.right)
        else:
            columns.append((line.left, line.right))
    return columns


def _below(label: Region, rows: Sequence[Row]) -> Region | None:
    """The line that begins right below a label, within a line's height; None if there is none."""
    for row in rows[:1]:
        for line in row:
            near = line.top - label.bottom < 1.5 * label.height
            if near and abs(line.left - label.left) < label.height:
                return line
    return None

"""Tables and forms: what is written in them, by row and column, or by label."""

from __future__ import annotations

import numpy as np

from visprog.errors import Refused, ToolError
from visprog.registry import tool
from visprog.values import Box, Region
from visprog.values.image import Image

from .drawing.grid import read_rules
from .text import find_text, read_text
from .words.cells import fields_of, pairs_of, rows_of, spread

MAX_CELLS = 400
"""Number of cells of a table that are read."""

MARGIN = 0.08
"""Width of the margin of a cell that its rules may reach into, as a share of its shorter side."""

MIN_INK = 60
"""Difference of levels in a cell below which nothing is written there."""


@tool(
    backends={
        "lines": "visprog.tools.backends.line_tables:LineTableReader",
        "vlm": "visprog.tools.backends.vlm_readers:VlmTableReader",
    },
    default="lines",
)
def read_table(image: Image) -> list[list[str]]:
    """The texts of the cells of a table, row by row, the headings first; "" for an empty cell. Each row has as many
    cells.

    Raises:
        Refused: there is no table, or its columns are not clear.
    """
    raise NotImplementedError  # a backend answers


@tool(limits='labels with a colon, such as "Name: Ada", or a column of labels beside one of values')
def read_fields(image: Image) -> dict[str, str]:
    """The labels of a form or receipt and what is written behind, or below, each of them: {"Name": "Ada"}.

    Raises:
        Refused: no label has a clear value.
    """
    lines = find_text(image)
    fields = fields_of(lines)
    if not fields:
        ruled = ruled_rows(image)
        rows = rows_of(lines) if ruled is None else ruled
        fields = pairs_of(rows) if rows is not None else {}
    if not fields:
        raise Refused("no label with a value was found in the image: use find_text or read_text")
    return fields


def ruled_rows(image: Image) -> list[list[str]] | None:
    """The cells of a ruled table; None if there is none.

    Raises:
        Refused: it has too many cells.
    """
    try:
        y, x = read_rules(image)
    except ToolError:
        return None
    if (len(y) - 1) * (len(x) - 1) > MAX_CELLS:
        raise Refused(
            f"the table has {len(y) - 1} rows and {len(x) - 1} columns, and at most {MAX_CELLS} cells are read: crop "
            "to a part of it"
        )
    found, across = spread(find_text(image), y, x)
    if not any(text for cells in found for text in cells):
        return None
    for row, cells in enumerate(found):
        for column, text in enumerate(cells):
            # A line of text that runs over rules is several, one a cell; a lone letter is found in its cell alone.
            if not text or (row, column) in across:
                cells[column] = _read_cell(image, Box(x[column], y[row], x[column + 1], y[row + 1]))
    return found


def _read_cell(image: Image, cell: Box) -> str:
    """The text of a cell, on one line; "" if nothing is written there."""
    inner = cell.expand(-max(2.0, MARGIN * min(cell.width, cell.height))).intersection(image.box)
    if inner is None or min(inner.width, inner.height) < 2 or np.ptp(image.root.crop(inner).pixels) < MIN_INK:
        return ""
    return " ".join(read_text(Region(inner, "cell", 1.0, image.root)).split("\n"))

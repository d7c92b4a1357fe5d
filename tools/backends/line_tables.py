"""`read_table` by where lines of text stand, and by the rules between them."""

from __future__ import annotations

from typing import Any

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.registry.sees import Sees
from visprog.values.image import Image

from ..documents import ruled_rows
from ..text import find_text
from ..words.cells import rows_of


class LineTableReader:
    """Ruled tables, and others whose columns are clear, by the lines of text that `find_text` finds.

    Args:
        model: Must be None: set the backends of find_text and read_text.
    """

    process = "native"
    sees = Sees("upright tables, whose columns are ruled or kept apart by a gap in every row")

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError("read_table: 'lines' has no model of its own: set that of [tools.find_text]")

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._read)

    def _read(self, image: Image) -> list[list[str]]:
        """Raises `Refused` if there is no table, or its columns are not clear."""
        ruled = ruled_rows(image)
        rows = ruled if ruled is not None else rows_of(find_text(image))
        if rows is None:
            raise Refused(
                "no table was read: its columns are neither ruled nor kept apart by a gap that runs through all rows: "
                "crop to the table, or use read_text"
            )
        return rows

"""Tables as models write them down: in HTML, in OTSL, or in Markdown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

MAX_CELLS = 10_000
"""Number of cells of a table, with those that spans make, at most."""

MAX_SPAN = 1000
"""Number of rows or columns that one cell spans, at most."""

CELL_TOKEN = re.compile("<(?P<name>fcel|ecel|lcel|ucel|xcel|nl)>")
"""Tokens of OTSL (Lysak et al., 2023), in which PaddleOCR-VL writes tables: a cell with a text follows, an empty one,
one that belongs to that on its left, above it, or both; and the end of a row."""

Rows = list[list[str]]


def written_tables(text: str) -> list[Rows]:
    """The tables in a text, each as rows of as many cells. The text of a cell that spans several stands in the first of
    them; the others are empty.

    Raises:
        ValueError: A table is too large, or its HTML cannot be read.
    """
    if CELL_TOKEN.search(text):
        tables = [_otsl(text)]
    elif re.search(r"<(?:table|tr|td|th)\b", text, re.IGNORECASE):
        parser = _Html()
        try:
            parser.feed(text)
            parser.close()
        except AssertionError as error:  # what html.parser raises for declarations that it does not know
            raise ValueError(f"HTML that cannot be read: {error}") from error
        tables = [_placed(rows) for rows in parser.tables]
    else:
        tables = _markdown(text)
    return [_squared(rows) for rows in tables if any(any(row) for row in rows)]


def _squared(rows: Rows) -> Rows:
    """Rows filled up to the longest of them.

    Raises:
        ValueError: They have too many cells.
    """
    width = max(len(row) for row in rows)
    if len(rows) * width > MAX_CELLS:
        raise ValueError(f"a table of {len(rows)} x {width} cells")
    return [row + [""] * (width - len(row)) for row in rows]


def _otsl(text: str) -> Rows:
    rows: Rows = [[]]
    tokens = list(CELL_TOKEN.finditer(text))
    ends = [*(token.start() for token in tokens[1:]), len(text)]
    for token, end in zip(tokens, ends, strict=True):
        if token["name"] == "nl":
            rows.append([])
        else:
            rows[-1].append(_line(text[token.end() : end]) if token["name"] == "fcel" else "")
    return [row for row in rows if row]


def _markdown(text: str) -> list[Rows]:
    """Runs of lines with bars, of which the second is a rule."""
    tables: list[Rows] = []
    run: list[str] = []
    for line in [*text.splitlines(), ""]:
        if "|" in line:
            run.append(line)
            continue
        if len(run) > 1 and all(re.fullmatch(":?-+:?", cell) for cell in _split(run[1])):
            tables.append([_split(row) for row in (run[0], *run[2:])])
        run = []
    return tables


def _split(line: str) -> list[str]:
    """The cells of a line of Markdown. A bar after a backslash is part of a text."""
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return [_line(cell.replace(r"\|", "|")) for cell in cells]


def _line(text: str) -> str:
    return " ".join(text.split())


Cell = tuple[str, int, int]
"""Its text, and the rows and columns that it spans."""


class _Html(HTMLParser):
    """The rows of the tables of a text. A table in a cell of another is part of its text."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[Cell]]] = []
        self._depth = 0
        self._texts: list[str] | None = None
        self._span = (1, 1)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self._depth += 1
            if self._depth == 1:
                self.tables.append([])
        if self._depth > 1:
            return
        if tag in ("tr", "td", "th"):
            self._end_cell()
            if not self.tables:  # the tag of the table was left out
                self.tables.append([])
            if tag == "tr" or not self.tables[-1]:
                self.tables[-1].append([])
            if tag != "tr":
                given = dict(attrs)
                self._span = _span(given.get("rowspan")), _span(given.get("colspan"))
                self._texts = []
        elif tag == "br" and self._texts is not None:
            self._texts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        inside = self._depth > 1
        if tag == "table":
            self._depth = max(self._depth - 1, 0)
        if not inside and tag in ("table", "tr", "td", "th"):
            self._end_cell()

    def handle_data(self, data: str) -> None:
        if self._texts is not None:
            self._texts.append(data)

    def close(self) -> None:
        super().close()
        self._end_cell()

    def _end_cell(self) -> None:
        if self._texts is not None:
            self.tables[-1][-1].append((_line("".join(self._texts)), *self._span))
            self._texts = None


def _span(value: str | None) -> int:
    """The rows or columns that a cell spans, of the attribute that says so."""
    return min(max(int(value), 1), MAX_SPAN) if value and re.fullmatch("[0-9]{1,6}", value.strip()) else 1


def _placed(rows: list[list[Cell]]) -> Rows:
    """Texts by row and column, with room for what cells above and before them span.

    Raises:
        ValueError: They have too many cells.
    """
    texts: dict[tuple[int, int], str] = {}
    for y, row in enumerate(rows):
        x = 0
        for text, height, width in row:
            while (y, x) in texts:
                x += 1
            for below in range(min(height, len(rows) - y)):
                texts |= {(y + below, x + right): "" for right in range(width)}
            texts[y, x] = text
            if len(texts) > MAX_CELLS:
                raise ValueError(f"a table of more than {MAX_CELLS} cells")
    width = 1 + max((x for _, x in texts), default=0)
    return [[texts.get((y, x), "") for x in range(width)] for y in range(len(rows))]

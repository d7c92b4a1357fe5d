"""Tables of images and captions: CSV, TSV, and JSON with a row a line."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from visprog.files.plain_text import numbered_lines, parse_json

from .samples import DataError

TABLES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")

IMAGE_COLUMNS = (
    "path", "image", "filepath", "file_path", "file", "filename", "file_name", "image_path", "image_file", "img",
)  # fmt: skip
CAPTION_COLUMNS = ("caption", "text", "title", "sentence", "captions")


Region = tuple[tuple[float, float, float, float], str]


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        where: its line, for messages.
        image: name of the image's file, as it is written.
        captions: at least one, or none if `problem` gives the reason why the row cannot be used.
        regions: boxes (left, top, right, bottom) in pixels with their phrases; only JSON Lines can have them.
    """

    where: str
    image: str
    captions: tuple[str, ...]
    problem: str = ""
    regions: tuple[Region, ...] = ()


def read_table(text: str, name: str) -> list[Row]:
    """The rows of a table, whose columns are found by their names, whatever their case, blanks and hyphens.

    Args:
        text: CSV with quotes as in RFC 4180, TSV, in which quotes are letters, or JSON with a mapping a line.
        name: of the file, whose ending gives the format.

    Raises:
        DataError: it has no rows, no such columns, or is broken as a whole.
    """
    if name.lower().endswith((".jsonl", ".ndjson")):
        rows = list(_json_rows(text, name))
    else:
        rows = list(_delimited_rows(text, name))
    if not rows:
        raise DataError(f"{name} has no rows")
    return rows


def _json_rows(text: str, name: str) -> Iterator[Row]:
    for number, line in numbered_lines(text):
        where = f"{name}, line {number}"
        try:
            row = parse_json(line)
        except ValueError as error:
            yield Row(where, "", (), f"it {error}")
            continue
        if not isinstance(row, Mapping):
            yield Row(where, "", (), "it is no mapping")
            continue
        keys = {_plain(str(key)): value for key, value in row.items()}
        image = next((keys[c] for c in IMAGE_COLUMNS if c in keys), None)
        caption = next((keys[c] for c in CAPTION_COLUMNS if c in keys), None)
        captions = [caption] if isinstance(caption, str) else caption
        if not isinstance(image, str) or not _are_texts(captions):
            columns = f"an image ({', '.join(IMAGE_COLUMNS)}) and a caption ({', '.join(CAPTION_COLUMNS)})"
            yield Row(where, "", (), f"it needs {columns}; it has {', '.join(keys) or 'nothing'}")
            continue
        try:
            regions = tuple(_region(raw) for raw in keys.get("regions", ()))
        except (TypeError, ValueError, KeyError):
            yield Row(
                where,
                "",
                (),
                'its regions are no list of {"box": [left, top, right, bottom], "phrase": text}',
            )
            continue
        yield Row(where, image, tuple(captions or ()), regions=regions)


def _region(raw: Any) -> Region:
    left, top, right, bottom = (float(edge) for edge in raw["box"])
    if not (0 <= left < right < math.inf and 0 <= top < bottom < math.inf and isinstance(raw["phrase"], str)):
        raise ValueError(raw)
    return (left, top, right, bottom), raw["phrase"]


def _delimited_rows(text: str, name: str) -> Iterator[Row]:
    rows = _split(text, name)
    header = next(rows, (0, []))[1]
    columns = [_plain(c) for c in header]
    image = next((columns.index(c) for c in IMAGE_COLUMNS if c in columns), None)
    caption = next((columns.index(c) for c in CAPTION_COLUMNS if c in columns), None)
    if image is None or caption is None:
        raise DataError(
            f"{name} needs a header with a column of paths ({', '.join(IMAGE_COLUMNS)}) and one of captions "
            f"({', '.join(CAPTION_COLUMNS)}); it has {', '.join(columns) or 'none'}"
        )
    twice = next((c for c in (columns[image], columns[caption]) if columns.count(c) > 1), None)
    if twice is not None:
        raise DataError(f"{name} has two columns '{twice}': give one of them another name")
    for number, row in rows:
        where = f"{name}, line {number}"
        if len(row) != len(columns):
            hint = ": put a caption that has commas in quotes" if name.lower().endswith(".csv") else ""
            yield Row(where, "", (), f"it has {len(row)} fields, and the header has {len(columns)}{hint}")
        else:
            yield Row(where, row[image].strip(), (row[caption],))


def _split(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not empty, each with the number of the line on which it ends."""
    if name.lower().endswith(".csv"):
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield reader.line_num, row
        except csv.Error as error:
            raise DataError(
                f"{name}, line {reader.line_num} is not CSV: {error}; write a quote within quotes twice"
            ) from None
    else:
        for number, line in numbered_lines(text):
            yield number, line.split("\t")


def _plain(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _are_texts(value: Any) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(v, str) for v in value)

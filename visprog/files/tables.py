"""Rows of results as CSV and Parquet, and back.

Text in a table is escaped (`text_files.escape`), so that every reader takes it. A CSV cell that a spreadsheet would
run as a formula has a single quote before it. Reading reverses both.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import MissingExtra, VisprogError
from .plain_text import parse_json
from .writing import dumps, escape, open_regular, unescape

COLUMNS = ("image", "question", "status", "value", "message", "program", "seconds", "calls")
TEXTS = ("image", "question", "status", "message", "program")
"""Columns that hold text whatever the answer is."""

_AT_ONCE = 1000
_JSON = {b"visprog": b"json"}
"""Marks a Parquet column of values that are of several types, or are no plain ones."""

_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"-(\d+(\.\d+)?(e[+-]?\d+)?|inf)", re.IGNORECASE)
_MAX_CELL = 2**31 - 1
_MAX_EXACT = 2**53
"""Bound of the integers that a float holds exactly."""


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a .csv or .parquet file that was written here.

    Raises:
        VisprogError: it cannot be read, or has other columns.
        MissingExtra: pyarrow is not installed.
    """
    parquet = path.suffix.lower() == ".parquet"
    if parquet:
        need_pyarrow()
    try:
        with open_regular(path, "rb") as file:
            yield from _read_parquet(file) if parquet else _read_csv(file)
    except (OSError, ValueError, KeyError, TypeError, NotImplementedError, csv.Error) as error:
        raise VisprogError(f"{path} holds no results that can be read: {error}") from None


def write_csv(file: BinaryIO, rows: Iterable[Mapping[str, Any]]) -> None:
    """Rows as CSV in UTF-8. Numbers stand as they are; values of other types than text are JSON."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    for row in rows:
        cells = {name: _cell(row[name]) for name in TEXTS}
        table.writerow({**row, **cells, "value": _cell(_native(row["value"]))})
    text.flush()
    text.detach()


def write_parquet(file: BinaryIO, rows: Callable[[], Iterable[Mapping[str, Any]]]) -> None:
    """Rows as Parquet. Values of one plain type have it, integers among floats are floats, others are JSON.

    Args:
        rows: called twice: the types of all values are known before the first row is written.
    """
    import pyarrow as pa
    import pyarrow.parquet

    kind = _common_type(_native(row["value"]) for row in rows())
    plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    types = {"value": plain.get(kind, pa.string()), "seconds": pa.float64(), "calls": pa.int64()}
    fields = [pa.field(name, types.get(name, pa.string())) for name in COLUMNS]
    if kind is object:
        fields[COLUMNS.index("value")] = pa.field("value", pa.string(), metadata=_JSON)
    schema = pa.schema(fields)
    with pyarrow.parquet.ParquetWriter(file, schema) as table:
        remaining = iter(rows())
        while part := [_parquet_row(row, kind) for row in islice(remaining, _AT_ONCE)]:
            table.write_table(pa.Table.from_pylist(part, schema))


def need_pyarrow() -> None:
    """Raises `MissingExtra` if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None


# -- CSV -----------------------------------------------------------------------------------------


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return value
    if not isinstance(value, str):
        return dumps(_each_text(escape, value))
    text = escape(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _text(cell: str) -> str:
    """What `_cell` made the cell of."""
    return unescape(cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell)


def _read_csv(file: BinaryIO) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_MAX_CELL)  # an answer may be long
    table = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
    _check_columns(table.fieldnames or ())
    for row in table:
        if None in row or None in row.values():
            raise ValueError(f"line {table.line_num} has not {len(COLUMNS)} cells")
        yield {
            **{name: _text(row[name]) for name in (*TEXTS, "value")},
            "seconds": float(row["seconds"]),
            "calls": int(row["calls"]),
        }


# -- Parquet -------------------------------------------------------------------------------------


def _read_parquet(file: BinaryIO) -> Iterator[dict[str, Any]]:
    import pyarrow.parquet

    with pyarrow.parquet.ParquetFile(file) as table:
        _check_columns(table.schema_arrow.names)
        as_json = table.schema_arrow.field("value").metadata == _JSON
        for batch in table.iter_batches(_AT_ONCE):
            for row in batch.to_pylist():
                value = parse_json(row["value"]) if as_json else row["value"]
                texts = {name: unescape(row[name]) for name in TEXTS}
                yield {**row, **texts, "value": _each_text(unescape, _plain(value))}


def _parquet_row(row: Mapping[str, Any], kind: type) -> dict[str, Any]:
    value = row["value"] if kind is object else _native(row["value"])
    value = _each_text(escape, value)
    texts = {name: escape(row[name]) for name in TEXTS}
    return {**row, **texts, "value": dumps(value) if kind is object else value}


def _common_type(values: Iterable[Any]) -> type:
    """The type of a column of these values; `object` if it must be JSON."""
    kinds: set[type] = set()
    largest = 0
    for value in values:
        if value is not None:
            kinds.add(type(value))
        if type(value) is int:
            largest = max(largest, value if value >= 0 else ~value)
    if kinds == {int, float}:
        return float if largest <= _MAX_EXACT else object
    if kinds == {int}:
        return int if largest < 2**63 else object
    if len(kinds) > 1:
        return object
    kind = kinds.pop() if kinds else str
    return kind if kind in (bool, float, str) else object


# -- both ----------------------------------------------------------------------------------------


def _check_columns(names: Iterable[str]) -> None:
    if tuple(names) != COLUMNS:
        raise ValueError(f"its columns are not {', '.join(COLUMNS)}")


def _native(value: Any) -> Any:
    """A value of a row, in which numbers that JSON has not are floats."""
    return float(value["text"]) if isinstance(value, dict) and value.get("type") == "float" else value


def _plain(value: Any) -> Any:
    """The reverse of `_native`."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"type": "float", "text": str(value)}
    return value


def _each_text(change: Callable[[str], str], value: Any) -> Any:
    """A JSON value with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(change, v) for v in value]
    if isinstance(value, dict):
        return {k: _each_text(change, v) for k, v in value.items()}
    return value

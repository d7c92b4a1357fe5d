"""Answers about many pictures in a file: JSON Lines, CSV or Parquet. Nothing that is in it is asked again."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from .answer import Answer
from .errors import MissingExtra, VisprogError
from .journal import Journal, dump, read_lines, replacing
from .map import Mapped, Source, sources

COLUMNS = ("image", "question", "status", "value", "message", "program", "seconds", "calls")
_FORMATS = (".jsonl", ".csv", ".parquet")
_AT_ONCE = 1000
_JSON = {b"visprog": b"json"}
"""Marks a Parquet column of values that are of several types, or are no plain ones."""


class Results:
    """The answers to one question, a row for each picture, in the order of the pictures' names when finished.

        with Results("people.parquet", question) as results:
            for result in agent.map(question, results.missing("photos/"), ordered=False):
                results.add(result)
            results.finish()

    Each row is with the operating system when `add` returns: whatever ends the process, opening the same file
    goes on after it. CSV and Parquet are written by `finish`, from rows that are kept until then in a file
    of JSON Lines beside it.

    Args:
        path: its ending is the format: .jsonl, .csv or .parquet (extra `parquet`).
        question: that is asked of every picture.
        retry: ask again where there was no answer.

    Raises:
        VisprogError: another ending, another question's results, no results at all, or it cannot be written.
        MissingExtra: pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike[str], question: str, *, retry: bool = False) -> None:
        self.path = Path(path)
        self.question = question
        self.format = self.path.suffix.lower()
        if self.format not in _FORMATS:
            raise VisprogError(
                f"results are written to a file that ends in {', '.join(_FORMATS)}, not {path}"
            )
        if self.format == ".parquet":
            _pyarrow()
        rows = self.path if self.format == ".jsonl" else self.path.with_name(f"{self.path.name}.jsonl")
        if rows != self.path and self.path.exists() and not rows.exists():
            replacing(rows, lambda file: file.writelines(map(dump, read_table(self.path))))
        self._is_new = not rows.exists()
        self._journal = Journal(rows)
        try:
            if retry:
                self._journal.rewrite(lambda old: (r for r in old if r["status"] in ("answered", "fallback")))
            self.program = ""
            self._names = {self._known(row) for row in self._journal}
        except BaseException:
            self._journal.close()
            raise

    def __len__(self) -> int:
        return len(self._names)

    def missing(self, images: Iterable[Any] | str | os.PathLike[str]) -> Iterator[Source]:
        """Those of the pictures that have no row yet, to be given to `Agent.map`."""
        return (source for source in sources(images) if source.name not in self._names)

    def add(self, result: Mapped) -> dict[str, Any]:
        """Write the row of a picture, and return it.

        Raises:
            VisprogError: it cannot be written; the rows before it stay.
        """
        row = row_of(result)
        self._journal.append(row)
        self._names.add(result.image)
        return row

    def finish(self) -> None:
        """Put the rows in order, in the format of the file.

        Raises:
            VisprogError: it cannot be written; all rows stay where they are.
        """
        rows = self._journal.path
        if self.format == ".jsonl":
            self._journal.rewrite(lambda _: in_order(rows))
            return
        replacing(self.path, lambda file: (_csv if self.format == ".csv" else _parquet)(file, rows))
        self._journal.close()
        rows.unlink()

    def close(self) -> None:
        """Nothing can be added any more. A new file in which nothing came to stand is taken away."""
        self._journal.close()
        if self._is_new and not self._names:
            self._journal.path.unlink(missing_ok=True)

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _known(self, row: Mapping[str, Any]) -> str:
        """The picture of a row that is there; the first row with a program tells which one."""
        if any(column not in row for column in COLUMNS):
            raise VisprogError(f"{self.path} holds something else than results: name another file")
        if row["question"] != self.question:
            raise VisprogError(
                f'{self.path} holds the answers to another question, "{row["question"]}": name another file'
            )
        self.program = self.program or row["program"]
        return str(row["image"])


def row_of(result: Mapped) -> dict[str, Any]:
    """A result as a row of `COLUMNS`: plain data."""
    answer = result.answer
    value = Answer("answered", answer.value).to_json(pictures=False)["value"]
    return {
        "image": result.image,
        "question": answer.question,
        "status": answer.status,
        "value": value,
        "message": answer.message,
        "program": answer.program,
        "seconds": round(answer.seconds, 4),
        "calls": len(answer.trace),
    }


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a .csv or .parquet file that was written here.

    Raises:
        VisprogError: it cannot be read.
    """
    try:
        if path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    yield {**row, "seconds": float(row["seconds"]), "calls": int(row["calls"])}
            return
        _pyarrow()
        import pyarrow.parquet

        with pyarrow.parquet.ParquetFile(path) as table:
            as_json = table.schema_arrow.field("value").metadata == _JSON
            for batch in table.iter_batches(_AT_ONCE):
                for row in batch.to_pylist():
                    yield {**row, "value": json.loads(row["value"])} if as_json else row
    except (OSError, ValueError, KeyError, TypeError) as error:  # as pyarrow's own are
        raise VisprogError(f"{path} holds no results that can be read: {error}") from None


def in_order(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON Lines by the names of their pictures; in memory are the names alone."""
    places, start = [], 0
    with path.open("rb") as file:
        for line in file:
            places.append((json.loads(line)["image"], start))
            start += len(line)
        for _, place in sorted(places):
            file.seek(place)
            yield json.loads(file.readline())


def _csv(file: Any, rows: Path) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    table = csv.DictWriter(text, COLUMNS)
    table.writeheader()
    for row in in_order(rows):
        table.writerow({**row, "value": _cell(row["value"])})
    text.flush()
    text.detach()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _parquet(file: Any, rows: Path) -> None:
    """Values of one plain type as such, numbers as floats where some are; else as JSON."""
    import pyarrow as pa
    import pyarrow.parquet

    kinds = {type(row["value"]) for row in read_lines(rows)} - {type(None)}
    plain = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.string()}
    kind = float if kinds == {int, float} else kinds.pop() if len(kinds) == 1 else str if not kinds else dict
    types = {"value": plain.get(kind, pa.string()), "seconds": pa.float64(), "calls": pa.int64()}
    metadata = None if kind in plain else _JSON
    schema = pa.schema(
        [
            pa.field(name, types.get(name, pa.string()), metadata=metadata if name == "value" else None)
            for name in COLUMNS
        ]
    )
    with pyarrow.parquet.ParquetWriter(file, schema) as table:
        for part in _parts(in_order(rows)):
            if metadata:
                part = [{**row, "value": json.dumps(row["value"], ensure_ascii=False)} for row in part]
            table.write_table(pa.Table.from_pylist(part, schema))


def _parts(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    part: list[dict[str, Any]] = []
    for row in rows:
        part.append(row)
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _pyarrow() -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None

"""Answers about many images in a file: JSON Lines, CSV or Parquet. Nothing that is in it is asked again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from ..answer import Answer
from ..errors import VisprogError
from ..files.journal import Journal, dump, read_line, read_lines, read_places, replacing
from ..files.tables import TEXTS, need_pyarrow, read_table, write_csv, write_parquet
from ..files.writing import open_regular
from .map import MapResult, Sources, sources

_FORMATS = (".jsonl", ".csv", ".parquet")


class Results:
    """The answers to one question, a row per image, in the order of the images' names when finished.

        with Results("people.parquet", question) as results:
            for result in agent.map(question, results.missing("photos/"), ordered=False):
                results.add(result)
            results.finish()

    Each row is with the operating system when `add` returns: whatever ends the process, opening the same file
    goes on after it. CSV and Parquet are written by `finish`, from rows that are kept until then in a file
    of JSON Lines beside it.

    Args:
        path: its ending is the format: .jsonl, .csv or .parquet (extra `parquet`).
        question: that is asked about every image.
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
            need_pyarrow()
        self.program = ""
        rows = self.path if self.format == ".jsonl" else self.path.with_name(f"{self.path.name}.jsonl")
        self._is_new = not rows.exists()
        self._prepare(rows)
        self._journal = Journal(rows)
        self._names: set[str] = set()
        try:
            self._names = {self._known(row) for row in self._journal}
            if retry:
                self._journal.rewrite(lambda old: (r for r in old if r["status"] in ("answered", "fallback")))
                self._names = {row["image"] for row in self._journal}
        except BaseException:
            self._journal.close()
            raise

    def __len__(self) -> int:
        return len(self._names)

    def missing(self, images: Iterable[Any] | str | os.PathLike[str]) -> Sources:
        """Those of the images that have no row yet, to be given to `Agent.map`."""
        return sources(images, wanted=lambda source: _as_read(source.name) not in self._names)

    def add(self, result: MapResult) -> dict[str, Any]:
        """Write the row of an image, and return it.

        Raises:
            VisprogError: it cannot be written; the rows before it stay.
        """
        row = row_of(result)
        self._journal.append(row)
        self._names.add(_as_read(result.image))
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

        def write(file: BinaryIO) -> None:
            if self.format == ".csv":
                write_csv(file, in_order(rows))
            else:
                write_parquet(file, lambda: in_order(rows))

        try:
            replacing(self.path, write)
        except Exception as error:
            why = str(error) if isinstance(error, VisprogError) else f"cannot write {self.path}: {error}"
            raise VisprogError(f"{why}; all rows are kept in {rows}") from error
        self._journal.close()
        rows.unlink()

    def close(self) -> None:
        """Nothing can be added any more. A new file that has no rows is removed."""
        self._journal.close()
        if self._is_new and not self._names:
            self._journal.path.unlink(missing_ok=True)

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self, rows: Path) -> None:
        """Make rows of a table that is there. A file of something else is refused before anything is changed."""
        if rows.exists():
            next(self._checked(read_lines(rows)), None)
        if rows == self.path or not self.path.exists():
            return
        if not self.path.is_file():
            raise VisprogError(f"cannot write {self.path}: it is not a regular file")
        if self.path.stat().st_size:
            table = self._checked(read_table(self.path))
            if rows.exists():
                next(table, None)
            else:
                replacing(rows, lambda file: file.writelines(map(dump, table)))

    def _checked(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for row in rows:
            self._known(row)
            yield row

    def _known(self, row: Mapping[str, Any]) -> str:
        """Name of the image of a row that is there; the first row with a program tells which one."""
        kinds = {**dict.fromkeys(TEXTS, str), "value": object, "seconds": int | float, "calls": int}
        if any(name not in row or not isinstance(row[name], kind) for name, kind in kinds.items()):
            raise VisprogError(f"{self.path} holds something else than results: name another file")
        if row["question"] != _as_read(self.question):
            raise VisprogError(
                f'{self.path} holds the answers to another question, "{row["question"]}": name another file'
            )
        self.program = self.program or row["program"]
        return str(row["image"])


def row_of(result: MapResult) -> dict[str, Any]:
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


def in_order(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file of JSON Lines by the names of their images; in memory are the names alone."""
    places = sorted((row["image"], start) for start, row in read_places(path))
    with open_regular(path, "rb") as file:
        for _, start in places:
            file.seek(start)
            yield read_line(file.readline())


def _as_read(text: str) -> str:
    """Text as it is after writing and reading it: two halves of a surrogate pair are one character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")

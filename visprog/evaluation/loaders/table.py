"""Your own questions in a CSV file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import VisprogError
from ...files.archives import spellings
from ...files.plain_text import read_text
from ..answers import same, whole_number_of, yes_no_of
from ..benchmark import Benchmark, Item
from ..metrics import Row, accuracy
from .files import csv_rows

COLUMNS = ("image", "question", "answer")


class CsvQuestions(Benchmark):
    """Reads a CSV or TSV file with the columns image, question and answer, and optionally id, group and kind.

    Several images are separated by ";"; their paths are relative to the file. If the answer in the file is yes or no, a
    program must answer with a bool, if it is a whole number, with an int, otherwise with any text, which is compared
    without case, articles and punctuation. Metric: accuracy.

    Raises:
        VisprogError: The file cannot be read, or a column is missing.
    """

    name = "csv"

    def __init__(self, data: Path, split: str | None = None) -> None:
        super().__init__(data, split)
        if not data.is_file():
            raise VisprogError(
                f"there is no file {data}: give a CSV file with the columns {', '.join(COLUMNS)}"
            )

    def __iter__(self) -> Iterator[Item]:
        try:
            text = read_text(self.data)
        except OSError as error:
            raise VisprogError(f"cannot read {self.data}: {error.strerror or error}") from None
        except ValueError as error:
            raise VisprogError(f"{self.data} {error}") from None
        for number, (where, cells) in enumerate(csv_rows(text, self.data.name), 1):
            row = {column.casefold(): cell for column, cell in cells.items()}
            missing = [c for c in COLUMNS if c not in row]
            if missing:
                raise VisprogError(f"{self.data} has no column '{missing[0]}': it needs {', '.join(COLUMNS)}")
            empty = [c for c in COLUMNS if not row[c].strip()]
            if empty:
                raise VisprogError(f"{where}: the column '{empty[0]}' is empty")
            truth = _truth(row["answer"].strip())
            images = tuple(_beside(self.data.parent, p.strip()) for p in row["image"].split(";") if p.strip())
            yield Item(
                row.get("id") or str(number),
                row["question"].strip(),
                images,
                truth,
                None if isinstance(truth, str) else type(truth),
                row.get("group", ""),
                {"kind": row.get("kind", "")},
            )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"correct": float(value is not None and same(value, item.answer))}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        return {"accuracy": accuracy(rows)}


def _beside(folder: Path, name: str) -> Path:
    """A file by its path relative to a folder, as written or in the `spellings` of other systems."""
    found = (folder / spelling for spelling in spellings(name) if os.path.exists(folder / spelling))
    return next(found, folder / name)


def _truth(text: str) -> bool | int | str:
    if text.casefold() in ("yes", "no", "true", "false"):
        return bool(yes_no_of(text))
    number = whole_number_of(text)
    return text if number is None else number

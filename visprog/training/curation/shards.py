"""Shards of image–text pairs: tables (Parquet, CSV, TSV, JSON Lines) and webdataset tar files, read in batches, and
written again with the rows that stay, in the format that they had."""

from __future__ import annotations

import glob
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, ClassVar

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from visprog.errors import close_match
from visprog.files.plain_text import decode_text, parse_json
from visprog.files.writing import open_regular

from ..data.samples import BadSample, DataError
from ..data.shards import Place, Shards, content, expand, places
from ..data.tables import CAPTION_COLUMNS
from .matching import Ids

ROWS = 1 << 16
"""Maximum number of rows in a batch of a table."""

_CSV_BLOCK = 1 << 23
"""Bytes of a CSV file that are read at once."""


@dataclass(frozen=True)
class PairBatch:
    """Rows of a shard.

    Attributes:
        captions: Array of strings, (n,); null for a row whose caption cannot be read.
        rows: The rows, as the writer of the format takes them.
        left_out: Number of further rows, which cannot be read at all.
        problem: Why the first row without a caption has none, or is left out.
    """

    captions: Any
    rows: Any
    left_out: int = 0
    problem: str = ""

    @property
    def unread(self) -> int:
        """Number of rows without a caption that can be read."""
        return int(self.captions.null_count) + self.left_out


class PairShard:
    """A file of pairs.

    Args:
        path: Of the file.
        column: Name of the column of captions; the first of the usual names that there is, if not given.
    """

    endings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, path: Path, column: str | None = None) -> None:
        self.path, self.column = path, column

    def batches(self, whole: bool) -> Iterator[PairBatch]:
        """The rows in their order.

        Args:
            whole: Whether the rows will be written; else the captions alone are read.

        Raises:
            DataError: The file cannot be read, or has no such column.
        """
        try:
            yield from self._read(whole)
        except pa.ArrowException as error:
            way_out = ": save it as UTF-8" if "UTF8" in str(error) else ""
            raise DataError(f"cannot read the shard {self.path}: {error}{way_out}") from None
        except OSError as error:
            raise DataError(f"cannot read the shard {self.path}: {error.strerror or error}") from None

    def write(self, file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
        """Write the rows at the given positions of each batch, which `batches(whole=True)` gave."""
        raise NotImplementedError

    def _read(self, whole: bool) -> Iterator[PairBatch]:
        raise NotImplementedError

    def _find_column(self, names: Sequence[str]) -> str:
        """Raises `DataError` if none of the names is that of the captions."""
        if self.column is None:
            found = next((name for name in CAPTION_COLUMNS if name in names), None)
            if found is not None:
                return found
            raise DataError(
                f"{self.path} has no column named {', '.join(CAPTION_COLUMNS)}; it has {', '.join(names)}: "
                "name that of the captions"
            )
        if self.column in names:
            return self.column
        close = close_match(self.column, names)
        hint = f"; did you mean '{close}'?" if close else ""
        raise DataError(f"{self.path} has no column '{self.column}', but {', '.join(names)}{hint}")

    def _texts(self, rows: Any, column: str) -> Any:
        """The captions among the rows of a record batch."""
        captions = rows.column(column)
        kind = captions.type.value_type if pa.types.is_dictionary(captions.type) else captions.type
        if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind)):
            raise DataError(f"{self.path}: the column '{column}' holds {captions.type}, not text")
        return captions.cast(pa.large_string())


class ParquetShard(PairShard):
    """Parquet."""

    endings = (".parquet",)

    def _read(self, whole: bool) -> Iterator[PairBatch]:
        with open_regular(self.path, "rb") as file, pa.parquet.ParquetFile(file) as table:
            column = self._find_column(table.schema_arrow.names)
            for rows in table.iter_batches(ROWS, columns=None if whole else [column]):
                captions = self._texts(rows, column)
                yield PairBatch(captions, rows, problem="a caption is null" if captions.null_count else "")

    def write(self, file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
        writer = None
        for batch, positions in kept:
            writer = writer or pa.parquet.ParquetWriter(file, batch.rows.schema)
            writer.write_batch(batch.rows.take(pa.array(positions)))
        if writer:
            writer.close()


class CsvShard(PairShard):
    """Table with a header, separated by commas. Cells are written in quotes, as the text that they are."""

    endings = (".csv",)
    delimiter: ClassVar[str] = ","
    quotes: ClassVar[bool] = True

    def _read(self, whole: bool) -> Iterator[PairBatch]:
        bad: list[str] = []

        def skip(row: Any) -> str:
            bad.append(f"a row has {row.actual_columns} cells, not {row.expected_columns}")
            return "skip"

        parse = pa.csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char='"' if self.quotes else False,
            newlines_in_values=self.quotes,
            invalid_row_handler=skip,
        )
        with open_regular(self.path, "rb") as file:
            names = pa.csv.open_csv(file, parse_options=parse).schema.names
        column = self._find_column(names)
        convert = pa.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.large_string()), include_columns=None if whole else [column]
        )
        bad.clear()
        with open_regular(self.path, "rb") as file:
            read = pa.csv.ReadOptions(block_size=_CSV_BLOCK)
            for rows in pa.csv.open_csv(file, read, parse_options=parse, convert_options=convert):
                yield PairBatch(rows.column(column), rows, len(bad), bad[0] if bad else "")
                bad.clear()

    def write(self, file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
        writer = None
        for batch, positions in kept:
            writer = writer or pa.csv.CSVWriter(file, batch.rows.schema)
            writer.write_batch(batch.rows.take(pa.array(positions)))
        if writer:
            writer.close()


class TsvShard(CsvShard):
    """Table with a header, separated by tabs, in which quotes are letters."""

    endings = (".tsv",)
    delimiter = "\t"
    quotes = False

    def write(self, file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
        for i, (batch, positions) in enumerate(kept):
            columns = [column.to_pylist() for column in batch.rows.take(pa.array(positions))]
            lines = zip(*columns, strict=True)
            for line in lines if i else [batch.rows.schema.names, *lines]:
                file.write(("\t".join(line) + "\n").encode())


class JsonLinesShard(PairShard):
    """JSON Lines. Lines are written as they are."""

    endings = (".jsonl", ".ndjson")

    def _read(self, whole: bool) -> Iterator[PairBatch]:
        column = ""
        with open_regular(self.path, "rb") as file:
            while lines := list(islice(file, ROWS)):
                captions, problem = [], ""
                for line in lines:
                    try:
                        row = parse_json(decode_text(line))
                        column = column or self._find_column(list(row))
                        caption = row[column] if isinstance(row[column], str) else None
                        problem = problem or ("" if caption is not None else f"a '{column}' is no text")
                    except (ValueError, KeyError, TypeError) as error:
                        caption = None
                        problem = problem or (
                            f"a line {error}"
                            if isinstance(error, ValueError)
                            else f"a line has no '{column}'"
                        )
                    captions.append(caption)
                yield PairBatch(
                    pa.array(captions, pa.large_string()), lines if whole else None, problem=problem
                )

    def write(self, file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
        for batch, positions in kept:
            file.writelines(batch.rows[i].rstrip(b"\r\n") + b"\n" for i in positions)


class TarShard(PairShard):
    """Webdataset shard. The files of a sample are copied; its caption is in its .txt, .caption or .json."""

    endings = (".tar",)

    def _read(self, whole: bool) -> Iterator[PairBatch]:
        source, samples = Shards(self.path), places(str(self.path))
        while rows := list(islice(samples, ROWS)):
            captions: list[str | None] = []
            problem = ""
            for place in rows:
                try:
                    captions.append(source.caption(place))
                except BadSample as error:
                    captions.append(None)
                    problem = problem or str(error)
            yield PairBatch(pa.array(captions, pa.large_string()), rows, problem=problem)

    def write(self, file: IO[bytes], kept: Iterator[tuple[PairBatch, Ids]]) -> None:
        with tarfile.open(fileobj=file, mode="w") as tar:
            for batch, positions in kept:
                for i in positions:
                    place: Place = batch.rows[i]
                    key = place.name.removeprefix(f"{place.shard}:")
                    for ending in place.parts:
                        data = content(place, ending)
                        member = tarfile.TarInfo(f"{key}{ending}")
                        member.size = len(data)
                        tar.addfile(member, io.BytesIO(data))


_FORMATS = {
    ending: each
    for each in (ParquetShard, CsvShard, TsvShard, JsonLinesShard, TarShard)
    for ending in each.endings
}


def open_shard(path: Path, column: str | None) -> PairShard:
    """The shard at a path, by the ending of its name."""
    return _FORMATS[path.suffix.lower()](path, column)


def find_shards(patterns: Sequence[str]) -> list[Path]:
    """The shards that paths name, each once and in the order of their names.

    Args:
        patterns: Files, folders, and patterns with `*` or braces, such as `data/{00000..00099}.tar`.

    Raises:
        DataError: One names nothing, or a file of another format.
    """
    found: set[Path] = set()
    for pattern in patterns:
        if Path(pattern).is_dir():
            paths = [each for each in Path(pattern).rglob("*") if _is_shard(each)]
        else:
            paths = [Path(each) for p in expand(pattern) for each in (glob.glob(p, recursive=True) or [p])]
        if not paths:
            raise DataError(f"the folder {pattern} holds no files that end in {', '.join(_FORMATS)}")
        for path in paths:
            if not path.is_file():
                raise DataError(f"there is no shard {path}")
            if path.suffix.lower() not in _FORMATS:
                raise DataError(f"{path} is no shard: its name must end in {', '.join(_FORMATS)}")
        found.update(Path(os.path.abspath(path)) for path in paths)
    return sorted(found)


def _is_shard(path: Path) -> bool:
    return path.suffix.lower() in _FORMATS and not path.name.startswith(".") and path.is_file()


def names_of(shards: Sequence[Path]) -> list[str]:
    """The names of shards relative to the folder that they have in common."""
    folder = os.path.commonpath([each.parent for each in shards])
    return [each.relative_to(folder).as_posix() for each in shards]

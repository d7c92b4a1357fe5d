"""Base of benchmarks that are read entry by entry from published files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import VisprogError
from ..benchmark import Benchmark, Item
from .files import BenchmarkFiles


class Published(Benchmark):
    """Reads `files` and makes items from their entries; an error about an entry names the entry."""

    def __init__(self, data: Path, split: str | None = None) -> None:
        super().__init__(data, split)
        self.files = BenchmarkFiles(data)

    def __iter__(self) -> Iterator[Item]:
        where = str(self.data)
        try:
            for place, entry in self.entries():
                where = place
                yield from list(self.items(entry))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            missing = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read: {error}"
            raise VisprogError(
                f"{where} does not have the published layout of {self.name}: it {missing}"
            ) from None

    @abstractmethod
    def entries(self) -> Iterable[tuple[str, Any]]:
        """The entries of the files, in order, each with its position."""

    @abstractmethod
    def items(self, entry: Any) -> Iterable[Item]:
        """The questions of one entry."""


def numbered(name: str, entries: Any) -> Iterator[tuple[str, Any]]:
    """The entries of a list or mapping in a file, with their positions.

    Raises:
        VisprogError: It is neither a list nor a mapping.
    """
    if isinstance(entries, dict):
        yield from ((f"{name}, entry '{key}'", (key, value)) for key, value in entries.items())
    elif isinstance(entries, list):
        yield from ((f"{name}, entry {n}", entry) for n, entry in enumerate(entries, 1))
    else:
        raise VisprogError(f"{name} must hold a list of questions")


def need(data: Any, key: str, name: str) -> Any:
    """A part of a file. Raises `VisprogError` if the file does not have it."""
    if not isinstance(data, dict) or key not in data:
        raise VisprogError(f"{name} has no '{key}': it is another file than expected")
    return data[key]


def id_text(value: Any) -> str:
    """An id as text: 1, 1.0 and "1" are the same id."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

"""A benchmark that is read entry by entry from published files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ...errors import VisprogError
from ..benchmark import Benchmark, Item
from .files import Files


class Published(Benchmark):
    """Reads `files` and makes items of their entries; an entry that is not as published is named in the error."""

    def __init__(self, data: Path, split: str | None = None) -> None:
        super().__init__(data, split)
        self.files = Files(data)

    def __iter__(self) -> Iterator[Item]:
        where = str(self.data)
        try:
            for place, entry in self.entries():
                where = place
                yield from list(self.items(entry))
        except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
            missing = f"has no {error}" if isinstance(error, KeyError) else f"cannot be read: {error}"
            raise VisprogError(f"{where} is not as {self.name} is published: it {missing}") from None

    @abstractmethod
    def entries(self) -> Iterable[tuple[str, Any]]:
        """What the files list, and where each stands, in their order."""

    @abstractmethod
    def items(self, entry: Any) -> Iterable[Item]:
        """The questions of one entry."""


def numbered(name: str, entries: Any) -> Iterator[tuple[str, Any]]:
    """Entries of a list or mapping in a file, and where they stand.

    Raises:
        VisprogError: it is neither.
    """
    if isinstance(entries, dict):
        yield from ((f"{name}, entry '{key}'", (key, value)) for key, value in entries.items())
    elif isinstance(entries, list):
        yield from ((f"{name}, entry {n}", entry) for n, entry in enumerate(entries, 1))
    else:
        raise VisprogError(f"{name} holds no list of questions")


def need(data: Any, key: str, name: str) -> Any:
    """A part of a file. Raises `VisprogError` where the file does not have it."""
    if not isinstance(data, dict) or key not in data:
        raise VisprogError(f"{name} has no '{key}': it is not the file that is meant")
    return data[key]


def id_text(value: Any) -> str:
    """An id as text: 1, 1.0 and "1" are one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)

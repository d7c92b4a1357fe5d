"""The files of a data set in its downloaded form: a folder, a zip archive, or a folder with zip archives."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ImageError, VisprogError
from ...files.archives import is_archive, is_cut_archive, member_name, open_archive, read_member, spellings
from ...files.limits import limits
from ...files.plain_text import decode_text, numbered_lines, parse_json
from ...files.reading import read_file


class _Place(NamedTuple):
    """Location of a file: a path, or a member of the archive at that path."""

    path: Path
    member: str
    size: int
    check: int


class BenchmarkFiles:
    """Reads files by name, from folders and archives.

    Args:
        path: Folder or zip archive. The members of archives in a folder count as its files.

    Raises:
        VisprogError: There is no such folder or archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._lock = threading.Lock()
        if not path.exists():
            raise VisprogError(f"there is no {path}: give the folder or the zip archive of the data set")
        if not path.is_dir() and not is_archive(path):
            if is_cut_archive(path):
                raise _cut(path)
            raise VisprogError(
                f"{path} is neither a folder nor a zip archive: give the folder or archive of the data set"
            )

    def find(self, *patterns: str) -> str:
        """Name of a file that matches the first pattern with a match; of several, the one nearest to the top.

        Args:
            patterns: Patterns such as "dev.json" (in any folder) or "/dev.json" (only at the top).

        Raises:
            VisprogError: No file matches.
        """
        for pattern in patterns:
            anywhere = pattern if pattern.startswith("/") else f"*/{pattern}"
            found = [n for n in self._places if fnmatch(f"/{n}", anywhere)]
            if pattern.startswith("/"):
                found = [n for n in found if "/" not in n]
            if found:
                return min(found, key=lambda n: (n.count("/"), n))
        raise VisprogError(f"{self.path} holds no {' and no '.join(p.lstrip('/') for p in patterns)}")

    def json(self, name: str) -> Any:
        """The content of a JSON file. Raises `VisprogError`, like the other readers."""
        try:
            return parse_json(self._text(name))
        except ValueError as error:
            raise VisprogError(f"{name} {error}") from None

    def lines(self, name: str) -> Iterator[tuple[str, Any]]:
        """Each line of a JSON Lines file, with its position."""
        for number, line in numbered_lines(self._text(name)):
            try:
                yield f"{name}, line {number}", parse_json(line)
            except ValueError as error:
                raise VisprogError(f"{name}, line {number} {error}") from None

    def rows(self, name: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Each row of a CSV file by the names of its columns, with its position."""
        return csv_rows(self._text(name), name)

    def image(self, name: str) -> StoredImage:
        """An image by its path, or by the end of its path; a missing file is an error when it is opened."""
        if not isinstance(name, str):
            raise TypeError(f"the name of an image must be a text, not {str(name)[:40]!r}")
        return StoredImage(self, name)

    def locate(self, name: str) -> str | None:
        """Full name of a file, found by its path, by the end of its path, or by its name alone in any folder.

        Args:
            name: Path, as written or in the `spellings` of other systems.

        Returns:
            The full name; None if there is none.

        Raises:
            VisprogError: Several files with this name differ.
        """
        for spelling in spellings(name):
            if spelling in self._places:
                return spelling
            if re.match(r"/|[A-Za-z]:/", spelling):
                continue  # an absolute path is not that of another file of this name
            same = self._by_base.get(spelling.rpartition("/")[2], [])
            found = [n for n in same if n.endswith(f"/{spelling}")] or same
            if self._differ(found):
                listed = ", ".join(sorted(found)[:5])
                raise VisprogError(f"{self.path} holds several files {name}: {listed}; keep only one of them")
            if found:
                return found[0]
        return None

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """The bytes of a file, by its full name; by default not more than `SizeLimits.text_bytes`."""
        max_bytes = limits().text_bytes if max_bytes is None else max_bytes
        place = self._places.get(name)
        if place is None:
            raise VisprogError(f"there is no {name} in {self.path}")
        try:
            if not place.member:
                return read_file(place.path, max_bytes)
            with self._lock:
                return read_member(self._archive(place.path), place.member, max_bytes)
        except OSError as error:
            raise VisprogError(f"cannot read {name} in {self.path}: {error.strerror or error}") from None
        except ValueError as error:
            raise VisprogError(f"cannot unpack {name} of {place.path}: {error}") from None

    def _differ(self, names: list[str]) -> bool:
        """Whether files differ: a folder may hold an archive and its unpacked files."""
        if len(names) < 2:
            return False
        sizes = {self._places[name].size for name in names}
        return len(sizes) > 1 or len({hashlib.sha256(self.read(name)).digest() for name in names}) > 1

    def path_of(self, name: str) -> Path | None:
        """The path of a file; None if it lies in an archive or does not exist."""
        place = self._places.get(name)
        return place.path if place is not None and not place.member else None

    def digest(self) -> str:
        """Digest of the names, the sizes and, in archives, the checksums of all files."""
        found = hashlib.sha256()
        for name, place in sorted(self._places.items()):
            found.update(f"{name}\0{place.size}\0{place.check}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def _text(self, name: str) -> str:
        try:
            return decode_text(self.read(name))
        except ValueError as error:
            raise VisprogError(f"{name} in {self.path} {error}") from None

    def _archive(self, path: Path) -> zipfile.ZipFile:
        if path not in self._archives:
            try:
                self._archives[path] = open_archive(path)
            except ValueError as error:
                raise VisprogError(f"cannot read {path}: {error}") from None
        return self._archives[path]

    @cached_property
    def _places(self) -> dict[str, _Place]:
        if self.path.is_file():
            return dict(self._members(self.path, ""))
        found: dict[str, _Place] = {}
        for folder, subfolders, names in os.walk(self.path):
            subfolders[:] = sorted(s for s in subfolders if not s.startswith("."))
            for name in sorted(names):
                path = Path(folder) / name
                inner = path.relative_to(self.path).as_posix()
                if path.suffix.lower() == ".zip" and is_archive(path):
                    found.update(self._members(path, inner + "/"))
                elif path.suffix.lower() == ".zip" and is_cut_archive(path):
                    raise _cut(path)
                elif path.is_file():
                    found[inner] = _Place(path, "", path.stat().st_size, 0)
        return found

    @cached_property
    def _by_base(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self._places:
            found.setdefault(name.rpartition("/")[2], []).append(name)
        return found

    def _members(self, path: Path, prefix: str) -> Iterator[tuple[str, _Place]]:
        for entry in self._archive(path).infolist():
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/"):
                place = _Place(path, entry.filename, entry.file_size, entry.CRC)
                yield prefix + member_name(entry.filename), place


@dataclass(frozen=True)
class StoredImage:
    """An image among files, read when `Image.open` asks for its bytes."""

    files: BenchmarkFiles
    name: str

    def read(self) -> bytes:
        """The bytes. Raises `ImageError` if the file is missing or cannot be unpacked."""
        try:
            return self.files.read(self.files.locate(self.name) or self.name, limits().file_bytes)
        except VisprogError as error:
            raise ImageError(str(error)) from None


def csv_rows(text: str, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV text by the names of its columns, with its position.

    In a file that ends in .tsv, columns are separated by tabs, and quotes are letters.

    Raises:
        VisprogError: A row has more or fewer columns than the header.
    """
    reader = _tab_rows(text) if name.lower().endswith(".tsv") else _comma_rows(text, name)
    head: list[str] | None = None
    for line, row in reader:
        where = f"{name}, line {line}"
        if head is None:
            head = [column.strip() for column in row]
            twice = [column for column in head if head.count(column) > 1]
            if twice:
                raise VisprogError(f"{where} names the column '{twice[0]}' twice")
        elif len(row) != len(head):
            raise VisprogError(
                f"{where} has {len(row)} columns, and the header has {len(head)}: put texts with commas in quotes"
            )
        else:
            yield where, dict(zip(head, row, strict=True))


def _tab_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    return ((number, line.split("\t")) for number, line in numbered_lines(text))


def _comma_rows(text: str, name: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                yield reader.line_num, row
    except csv.Error as error:
        raise VisprogError(f"{name}, line {reader.line_num} is not CSV: {error}") from None


def _cut(path: Path) -> VisprogError:
    return VisprogError(f"{path} is a zip archive that is cut off or damaged: copy it again")

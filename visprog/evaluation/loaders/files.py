"""The files of a data set as it was downloaded: a folder, a zip archive, or a folder with zip archives in it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import threading
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import ImageError, VisprogError


class _Place(NamedTuple):
    """Where a file lies: a path, or a member of the archive at that path."""

    path: Path
    member: str
    size: int
    check: int


class Files:
    """Reads files by name, wherever they lie.

    Args:
        path: a folder or a zip archive. The members of archives that lie in a folder count as its files.

    Raises:
        VisprogError: there is no such folder or archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._archives: dict[Path, zipfile.ZipFile] = {}
        self._lock = threading.Lock()
        if not path.exists():
            raise VisprogError(f"there is no {path}: give the folder or the zip archive of the data set")
        if path.is_file() and not zipfile.is_zipfile(path):
            raise VisprogError(f"{path} is neither a folder nor a zip archive: give that of the data set")

    def find(self, *patterns: str) -> str:
        """The name of the file that fits the first of these patterns that fits any; of several, the one nearest to
        the top. "dev.json" lies in any folder, "/dev.json" at the top alone.

        Raises:
            VisprogError: there is none.
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
        """What a file of JSON holds. Raises `VisprogError`, as do the other readers."""
        try:
            return json.loads(self._text(name))
        except ValueError as error:
            raise VisprogError(f"{name} is not JSON: {error}") from None

    def lines(self, name: str) -> Iterator[tuple[str, Any]]:
        """Each line of a file of JSON lines, and where it stands."""
        for number, line in enumerate(self._text(name).split("\n"), 1):
            if line.strip():
                try:
                    yield f"{name}, line {number}", json.loads(line)
                except ValueError as error:
                    raise VisprogError(f"{name}, line {number} is not JSON: {error}") from None

    def rows(self, name: str) -> Iterator[tuple[str, dict[str, str]]]:
        """Each row of a CSV file by the names of its columns, and where it stands."""
        return csv_rows(self._text(name), name)

    def image(self, name: str) -> StoredImage:
        """A picture by its path, or by the end of its path; whether it is there shows when it is opened."""
        return StoredImage(self, self.locate(name) or name)

    def locate(self, name: str) -> str | None:
        """The full name of a file known by the end of its path; None where there is none."""
        if name in self._places:
            return name
        base = name.rpartition("/")[2]
        same = self._by_base.get(base, ())
        exact = [n for n in same if n.endswith(f"/{name}")]
        return next(iter([*exact, *same]), None)

    def read(self, name: str) -> bytes:
        """The bytes of a file, by its full name."""
        place = self._places.get(name)
        if place is None:
            raise VisprogError(f"there is no {name} in {self.path}")
        try:
            if not place.member:
                return place.path.read_bytes()
            with self._lock:
                return self._archive(place.path).read(place.member)
        except OSError as error:
            raise VisprogError(f"cannot read {name} in {self.path}: {error.strerror or error}") from None
        except (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError) as error:
            raise VisprogError(f"cannot unpack {name} of {place.path}: {error}") from None

    def path_of(self, name: str) -> Path | None:
        """Where a file lies on its own; None where it lies in an archive or is not there."""
        place = self._places.get(name)
        return place.path if place is not None and not place.member else None

    def digest(self) -> str:
        """Stands for the names, the sizes and, where archives tell them, the checksums of all files."""
        found = hashlib.sha256()
        for name, place in sorted(self._places.items()):
            found.update(f"{name}\0{place.size}\0{place.check}\n".encode("utf-8", "surrogateescape"))
        return found.hexdigest()

    def _text(self, name: str) -> str:
        try:
            return self.read(name).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise VisprogError(f"{name} in {self.path} is not text in UTF-8: {error}") from None

    def _archive(self, path: Path) -> zipfile.ZipFile:
        if path not in self._archives:
            self._archives[path] = zipfile.ZipFile(path)
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
                if path.suffix == ".zip" and zipfile.is_zipfile(path):
                    found.update(self._members(path, inner + "/"))
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
        try:
            entries = self._archive(path).infolist()
        except (OSError, zipfile.BadZipFile) as error:
            raise VisprogError(f"cannot read the archive {path}: {error}") from None
        for entry in entries:
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/"):
                yield prefix + entry.filename, _Place(path, entry.filename, entry.file_size, entry.CRC)


@dataclass(frozen=True)
class StoredImage:
    """A picture among files, read when `Image.open` asks for its bytes."""

    files: Files
    name: str

    def read(self) -> bytes:
        """Raises `ImageError` where it is not there or cannot be unpacked."""
        try:
            return self.files.read(self.name)
        except VisprogError as error:
            raise ImageError(str(error)) from None


def csv_rows(text: str, name: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row of a CSV text by the names of its columns, and where it stands.

    Raises:
        VisprogError: a row has more or fewer columns than the head.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    head: list[str] | None = None
    try:
        for row in reader:
            where = f"{name}, line {reader.line_num}"
            if not row:
                continue
            if head is None:
                head = [column.strip() for column in row]
            elif len(row) != len(head):
                raise VisprogError(f"{where} has {len(row)} columns, and the head has {len(head)}")
            else:
                yield where, dict(zip(head, row, strict=True))
    except csv.Error as error:
        raise VisprogError(f"{name}, line {reader.line_num} is not CSV: {error}") from None

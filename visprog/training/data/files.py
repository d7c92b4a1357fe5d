"""A folder or a zip archive, read in the same way."""

from __future__ import annotations

import os
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any

from visprog.files.archives import (
    is_archive,
    is_cut_archive,
    member_name,
    open_archive,
    read_member,
    spellings,
)
from visprog.files.endings import IMAGE_ENDINGS
from visprog.files.limits import limits
from visprog.files.plain_text import decode_text
from visprog.files.reading import read_file

from .samples import BadSample, DataError

_SYSTEM_FILES = frozenset(("__macosx", "thumbs.db", "desktop.ini"))


class Files:
    """The files below a folder or in a zip archive, by their relative names with forward slashes.

    Can be sent to other processes, each of which then opens the archive itself.

    Raises:
        DataError: there is no such folder or archive.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip: tuple[int, zipfile.ZipFile] | None = None
        if not self.path.is_dir() and not is_archive(self.path):
            what = "is neither a folder nor a zip archive" if self.path.exists() else "does not exist"
            if is_cut_archive(self.path):
                what = "is a zip archive that is cut off or damaged: copy it again"
            raise DataError(f"{self.path} {what}")

    @cached_property
    def names(self) -> list[str]:
        """All files, sorted; hidden ones and those that systems add by themselves are left out."""
        if self.path.is_dir():
            found = [p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file()]
        else:
            found = list(self._members)
        return sorted(n for n in found if not any(map(_is_added, n.split("/"))))

    @cached_property
    def _known(self) -> set[str]:
        return set(self.names)

    @cached_property
    def _by_case(self) -> dict[str, str]:
        return {n.casefold(): n for n in self.names}

    @cached_property
    def by_name(self) -> dict[str, str]:
        """The files by their names without folders; of equal ones the last."""
        return {n.rpartition("/")[2]: n for n in self.names}

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def with_ending(self, *endings: str) -> list[str]:
        """The names that end so, whatever their case."""
        return [n for n in self.names if n.lower().endswith(endings)]

    def images(self) -> list[str]:
        """The names of files that are taken for images."""
        return self.with_ending(*IMAGE_ENDINGS)

    def read(self, name: str, max_bytes: int | None = None) -> bytes:
        """The content of a file. Where there is none of this name, it is looked for in the `spellings` of other
        systems.

        Args:
            max_bytes: By default `SizeLimits.file_bytes`.

        Raises:
            BadSample: it is missing or cannot be read.
        """
        max_bytes = limits().file_bytes if max_bytes is None else max_bytes
        read = self._read_path if self.path.is_dir() else self._read_member
        try:
            for spelling in spellings(name):
                try:
                    return read(spelling, max_bytes)
                except (KeyError, FileNotFoundError, NotADirectoryError):
                    continue
        except OSError as error:
            raise BadSample(name, f"it cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            raise BadSample(name, f"it cannot be read: {error}") from None
        other = self._by_case.get(name.casefold())
        raise BadSample(name, f"the file is missing{f'; there is {other}' if other else ''}")

    def read_text(self, name: str) -> str:
        """The text of a file in UTF-8.

        Raises:
            BadSample: it is missing, cannot be read, or in another encoding.
        """
        try:
            return decode_text(self.read(name, limits().text_bytes))
        except ValueError as error:
            raise BadSample(name, f"it {error}") from None

    def _read_path(self, name: str, max_bytes: int) -> bytes:
        return read_file(self.path / name, max_bytes)

    def _read_member(self, name: str, max_bytes: int) -> bytes:
        return read_member(self._archive(), self._members[name], max_bytes)

    @cached_property
    def _members(self) -> dict[str, str]:
        """The members of the archive, by their names with forward slashes."""
        return {member_name(i.filename): i.filename for i in self._archive().infolist() if not i.is_dir()}

    def _archive(self) -> zipfile.ZipFile:
        # After a fork, processes would share one place in the file.
        if self._zip is None or self._zip[0] != os.getpid():
            try:
                self._zip = (os.getpid(), open_archive(self.path))
            except ValueError as error:
                raise DataError(f"cannot read {self.path}: {error}") from None
        return self._zip[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}


def join(folder: str, name: str) -> str:
    """A name below a folder of `Files`, where "" is the top."""
    return f"{folder}/{name}" if folder else name


def _is_added(part: str) -> bool:
    return part.startswith(".") or part.casefold() in _SYSTEM_FILES

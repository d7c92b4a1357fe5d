"""A folder or a zip archive, read in the same way."""

from __future__ import annotations

import os
import zipfile
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

from .samples import BadSample, DataError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".avif")
"""Endings of the files that are taken for pictures."""


class Files:
    """The files below a folder or in a zip archive, by their relative names with forward slashes.

    Can be sent to other processes, each of which then opens the archive itself.

    Raises:
        DataError: there is no such folder or archive.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._zip: tuple[int, zipfile.ZipFile] | None = None
        if not self.path.is_dir() and not zipfile.is_zipfile(self.path):
            what = "is neither a folder nor a zip archive" if self.path.exists() else "does not exist"
            raise DataError(f"{self.path} {what}")

    @cached_property
    def names(self) -> list[str]:
        """All files, sorted; hidden ones and those that macOS adds to archives are left out."""
        if self.path.is_dir():
            found = [p.relative_to(self.path).as_posix() for p in self.path.rglob("*") if p.is_file()]
        else:
            found = [i.filename for i in self._archive().infolist() if not i.is_dir()]
        return sorted(n for n in found if not any(p == "__MACOSX" or p[0] == "." for p in n.split("/")))

    @cached_property
    def _known(self) -> set[str]:
        return set(self.names)

    def __contains__(self, name: str) -> bool:
        return name in self._known

    def with_ending(self, *endings: str) -> list[str]:
        """The names that end so, whatever their case."""
        return [n for n in self.names if n.lower().endswith(endings)]

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            BadSample: it is missing or cannot be read.
        """
        try:
            if self.path.is_dir():
                return (self.path / name).read_bytes()
            return self._archive().read(name)
        except (KeyError, FileNotFoundError):
            raise BadSample(name, "the file is missing") from None
        except (OSError, zipfile.BadZipFile, zlib.error, ValueError, RuntimeError) as error:
            raise BadSample(name, f"it cannot be read: {error}") from None

    def _archive(self) -> zipfile.ZipFile:
        # After a fork, processes would share one place in the file.
        if self._zip is None or self._zip[0] != os.getpid():
            self._zip = (os.getpid(), zipfile.ZipFile(self.path))
        return self._zip[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_zip": None}


def join(folder: str, name: str) -> str:
    """A name below a folder of `Files`, where "" is the top."""
    return f"{folder}/{name}" if folder else name

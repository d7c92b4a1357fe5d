"""Zip archives that come from outside, and names of files as other systems write them."""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath
from urllib.parse import unquote

from .limits import limits

FREE_BYTES = 64 * 1024**2
"""Size of a member up to which `SizeLimits.archive_ratio` does not hold: real data stay far below that ratio."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a regular file with the directory of a zip archive at its end."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode) and zipfile.is_zipfile(path)
    except (OSError, ValueError):
        return False


def is_cut_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a regular file begins as a zip archive does but has no directory at its end."""
    if is_archive(path):
        return False
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return file.read(4) == b"PK\x03\x04"
    except (OSError, ValueError):
        return False


def open_archive(path: str | os.PathLike[str]) -> zipfile.ZipFile:
    """The archive, opened to read.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # damaged directories raise many kinds
        raise ValueError(f"the archive is damaged: {error or type(error).__name__}") from None
    if not all(archive.namelist()):
        archive.close()
        raise ValueError("the archive is damaged: a member has no name")
    return archive


def read_member(archive: zipfile.ZipFile, name: str, max_bytes: int) -> bytes:
    """Content of a member, whose size is compared with the bounds before anything is unpacked.

    Raises:
        KeyError: there is no such member.
        ValueError: it is too large, encrypted or damaged.
    """
    info = archive.getinfo(name)
    if info.file_size > max_bytes:
        raise ValueError(f"it is larger than {max_bytes / 2**20:g} MiB")
    ratio = limits().archive_ratio
    if info.file_size > FREE_BYTES and info.file_size > ratio * info.compress_size:
        raise ValueError(f"it unpacks to more than {ratio} times its size, as no real data do")
    if info.flag_bits & 1:
        raise ValueError("it is encrypted: unpack the archive with its password first")
    try:
        with archive.open(info) as file:
            data = file.read(max_bytes + 1)
    except Exception as error:  # damaged members raise many kinds
        raise ValueError(f"{error or 'the archive is damaged'}") from None
    if len(data) != info.file_size:
        raise ValueError("the archive is damaged: the member is not as long as its directory says")
    return data


def member_name(name: str) -> str:
    """Name of a member with forward slashes and no leading "./", whichever system made the archive."""
    plain = name.replace("\\", "/")
    return str(PurePosixPath(plain)) if "//" in plain or plain.startswith("./") else plain


def spellings(name: str) -> Iterator[str]:
    """A file name as it is written, then as it may stand on another system: with forward slashes, without a leading
    "./", with composed or decomposed letters, without percent escapes. Folders are never left out."""
    yield name
    seen = {name}
    for text in (name, unquote(name, errors="surrogateescape")):
        for path in (text, str(PurePosixPath(text)), str(PurePosixPath(text.replace("\\", "/")))):
            for form in (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path)):
                if form not in seen:
                    seen.add(form)
                    yield form

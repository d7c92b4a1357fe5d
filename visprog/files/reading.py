"""Files and streams that come from outside, read within a bound; names of files as they can be printed."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from typing import BinaryIO

_CHUNK = 1 << 20

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def read_file(path: str | os.PathLike[str], max_bytes: int) -> bytes:
    """Content of a regular file: `Path.read_bytes` that neither waits nor reads without end.

    Raises:
        OSError: the file is missing, unreadable, no regular file (a pipe, a device, a socket, a folder) or larger
            than `max_bytes`; `strerror` says which.
        ValueError: `path` holds a null character.
    """
    _check_kind(os.stat(path).st_mode, path)  # before it is opened, which some devices notice
    with open(path, "rb", buffering=0, opener=open_at_once) as file:
        status = os.fstat(file.fileno())
        _check_kind(status.st_mode, path)
        if status.st_size > max_bytes:
            raise _too_large(max_bytes, path)
        return read_stream(file, max_bytes, path)


def read_stream(stream: BinaryIO, max_bytes: int, name: str | os.PathLike[str] = "the input") -> bytes:
    """All that a stream holds, such as `sys.stdin.buffer`.

    Raises:
        OSError: the stream cannot be read, or holds more than `max_bytes`; `strerror` says so.
    """
    data = bytearray()
    while chunk := stream.read(min(_CHUNK, max_bytes + 1 - len(data))):
        data += chunk
        if len(data) > max_bytes:
            raise _too_large(max_bytes, name)
    return bytes(data)


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a regular file of any size, in hex.

    Raises:
        OSError: as `read_file`.
    """
    _check_kind(os.stat(path).st_mode, path)
    with open(path, "rb", opener=open_at_once) as file:
        _check_kind(os.fstat(file.fileno()).st_mode, path)
        return hashlib.file_digest(file, "sha256").hexdigest()


def printable(name: str | os.PathLike[str], length: int = 255) -> str:
    """A name in printable characters: others are escaped, and the middle of what is longer is left out."""
    text = os.fsdecode(name)
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[-(length // 2) :]}"
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    """An escape as in Python; a byte of a name that is not UTF-8, a surrogate here, is shown as that byte."""
    code = ord(character)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else ascii(character)[1:-1]


def open_at_once(path: str, flags: int) -> int:
    """The opener of `open` that does not wait for the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0), 0o666)


def _check_kind(mode: int, path: str | os.PathLike[str]) -> None:
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFDIR:
        raise IsADirectoryError(errno.EISDIR, "it is a folder, not a file", os.fspath(path))
    if kind != stat.S_IFREG:
        what = _SPECIAL.get(kind, "something else")
        raise OSError(errno.EINVAL, f"it is {what}, not a regular file", os.fspath(path))


def _too_large(max_bytes: int, path: str | os.PathLike[str]) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {max_bytes / 2**20:g} MiB", os.fspath(path))

"""Text and JSON that come from outside: UTF-8 with or without a byte-order mark, and any line ends.

Errors are `ValueError`s without a subject ("is not JSON: …"), which the caller puts the name of the file before.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Iterator
from typing import Any

from .limits import limits
from .reading import printable, read_file

_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: str | os.PathLike[str], max_bytes: int | None = None) -> str:
    """Text of a regular file.

    Args:
        max_bytes: By default `SizeLimits.text_bytes`.

    Raises:
        OSError: as `read_file`.
        ValueError: as `decode_text`.
    """
    return decode_text(read_file(path, limits().text_bytes if max_bytes is None else max_bytes))


def read_json(path: str | os.PathLike[str], max_bytes: int | None = None) -> Any:
    """Value in a JSON file.

    Args:
        max_bytes: By default `SizeLimits.text_bytes`.

    Raises:
        OSError: as `read_file`.
        ValueError: as `decode_text` and `parse_json`, with the path before it.
    """
    try:
        return parse_json(read_text(path, max_bytes))
    except ValueError as error:
        raise ValueError(f"{printable(path)} {error}") from None


def decode_text(data: bytes) -> str:
    """Text in UTF-8, without its byte-order mark.

    Raises:
        ValueError: the bytes are of another encoding; the message holds the first line that cannot be read.
    """
    for mark, encoding in _MARKS.items():
        if data.startswith(mark):
            raise ValueError(f"is not text in UTF-8 but in {encoding}: save it as UTF-8")
    if b"\0" in data[:4]:
        raise ValueError("is not text in UTF-8 but in UTF-16, or no text: save it as UTF-8")
    try:
        return data.decode("utf-8").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ValueError(
            f"is not text in UTF-8: the byte {data[error.start]:#04x} in line {line}, at position {error.start}, "
            "cannot be read; save it as UTF-8"
        ) from None


def split_lines(text: str) -> list[str]:
    """Lines without their ends, which are LF, CRLF or CR: unlike `str.splitlines`, nothing else ends a line."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n")
    return lines if lines[-1] else lines[:-1]


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that hold more than white space, with their numbers from 1 on."""
    return ((number, line) for number, line in enumerate(split_lines(text), 1) if line.strip())


def plain(text: str) -> str:
    """The text without characters that change the terminal; line ends stay."""
    shown = text.encode("utf-8", "replace").decode("utf-8")
    return "".join(c if c.isprintable() or c == "\n" else "    " if c == "\t" else "�" for c in shown)


def parse_json(text: str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("is not JSON that can be read: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"is not JSON: {error}") from None

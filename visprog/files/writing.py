"""Text that leaves for a file, which is always valid UTF-8; files that are neither pipes nor devices.

A Python string can hold what UTF-8 cannot: half of a surrogate pair, which an answer may contain and which stands
for each byte of a file name that is not UTF-8. JSON has an escape for it; other text gets the same escape here.
"""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, BinaryIO, cast

from .reading import open_at_once

_UNSAFE = re.compile(r"[\ud800-\udfff\x00]|\\(?=ud[89a-f][0-9a-f]{2}|x00|x5c)")
_ESCAPE = re.compile(r"\\(?:u(d[89a-f][0-9a-f]{2})|x(00|5c))")


def dumps(value: Any) -> str:
    """JSON on one line, in which only half surrogate pairs are escaped: it can always be encoded as UTF-8."""
    return utf8(json.dumps(value, ensure_ascii=False)).decode()


def utf8(text: str) -> bytes:
    r"""UTF-8 of any text; half a surrogate pair becomes its escape, such as `\udce9`, as in JSON."""
    return text.encode("utf-8", "backslashreplace")


def escape(text: str) -> str:
    r"""Text as a cell of a table: without null characters and half surrogate pairs. `unescape` reverses it.

    They become `\x00` and `\udce9`; a backslash before what reads like such an escape becomes `\x5c`.
    """
    return _UNSAFE.sub(lambda m: f"\\u{ord(m[0]):x}" if m[0] > "\\" else f"\\x{ord(m[0]):02x}", text)


def unescape(text: str) -> str:
    """Text whose `escape` was given."""
    return _ESCAPE.sub(lambda m: chr(int(m[1] or m[2], 16)), text)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file in UTF-8, whatever the text holds.

    Raises:
        OSError: it cannot be written.
    """
    Path(path).write_bytes(utf8(text))


def open_regular(path: str | os.PathLike[str], mode: str) -> BinaryIO:
    """`open` in a binary mode, which neither waits for a pipe nor takes a device.

    Raises:
        OSError: as `open` does, and if the file is no regular one.
    """
    file = cast(BinaryIO, open(path, mode, opener=open_at_once))  # noqa: SIM115  # the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(None, "it is not a regular file")
    return file

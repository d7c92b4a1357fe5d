"""Files that a command writes, and that they overwrite neither its inputs nor each other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import VisprogError
from .reading import printable

StrPath = str | os.PathLike[str]


def is_same_file(a: StrPath, b: StrPath) -> bool:
    """Whether two paths lead to one file, by links, another spelling or a file system that ignores case."""
    try:
        return os.path.samefile(a, b)
    except (OSError, ValueError):  # one of them is not there, or is no path at all, such as a URL
        return os.path.realpath(os.fsdecode(a)) == os.path.realpath(os.fsdecode(b))


def is_inside(path: StrPath, folder: StrPath) -> bool:
    """Whether a path, which need not exist, is a folder or lies in it; links are followed."""
    real = Path(os.path.realpath(path))
    return any(is_same_file(part, folder) for part in (real, *real.parents))


def can_save(path: StrPath) -> bool:
    """Whether the ending of a path is that of an image format that can be written."""
    import PIL.Image

    return PIL.Image.registered_extensions().get(Path(path).suffix.lower()) in PIL.Image.SAVE


def keep_inputs(output: StrPath, inputs: Iterable[StrPath]) -> None:
    """Refuse a file to write that is one of those that are read.

    Raises:
        VisprogError: it is; the message says to name another.
    """
    for each in inputs:
        if is_same_file(output, each):
            raise VisprogError(f"{printable(output)} is read, and would be overwritten: name another file")

"""Answers that are images, as PNG files named after the images that were asked about."""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path

from PIL.PngImagePlugin import PngInfo

from ..answer import Answer
from ..errors import ImageError, VisprogError
from ..files.journal import replacing
from ..files.outputs import is_inside
from ..files.reading import printable
from ..files.writing import open_regular
from ..values.image import Image

_KEYWORD = "visprog"
"""Of the text in a PNG file that says which answer it holds: a digest of question and program, one of the image."""

_MARK = re.compile(rb"tEXtvisprog\0([0-9a-f]{16} [0-9a-f]{16})")
_MARK_WITHIN = 512
"""Bytes at the start of a file in which the mark lies."""

_NUMBERED = re.compile(r"-[0-9]+\Z")
_MAX_NAME_BYTES = 220
"""Bound of the part of a file name that is the image's: file systems take 255 bytes in all."""


class SavedImages:
    """A folder of answers: that about `cats/a.jpg` is `cats/a.jpg.png`, several images are `cats/a.jpg-1.png` …

    Answers about different images never meet in one file, even where file names differ in case or in Unicode
    normalization only and the file system ignores that. A file that is there is replaced by the same answer done
    anew, for the same image, question and program, and by nothing else.

    Args:
        folder: made if it is missing.
        source: folder of the images that are asked about; nothing is written in it.

    Raises:
        VisprogError: `folder` lies in `source`, or cannot be written.
    """

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        self.source = source
        if is_inside(folder, source):
            raise VisprogError(
                f"answers in {printable(folder)} would lie among the images that are asked about, in "
                f"{printable(source)}: name another folder"
            )
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise VisprogError(f"cannot write {printable(folder)}: {error.strerror or error}") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise VisprogError(f"cannot write {printable(folder)}: permission denied")

    def save(self, name: str, answer: Answer) -> list[Path]:
        """Write the images that an answer is; the files that hold them.

        Args:
            name: of the image that was asked about: its path within the source folder.

        Raises:
            ImageError: a file of something else is in the way, or the name leads out of the folder.
            VisprogError: a file cannot be written, because the disk is full for instance.
        """
        values = answer.value if isinstance(answer.value, list | tuple) else [answer.value]
        images = [v for v in values if isinstance(v, Image)]
        numbered = len(images) > 1 or _NUMBERED.search(name)  # else that of `a-1` would meet the first of `a`
        run = _digest(answer.question, answer.program)
        paths = []
        for number, image in enumerate(images, 1):
            suffix = f"-{number}" if numbered else ""
            mark = f"{run} {_digest(name, suffix)}"
            paths.append(self._write(name, suffix, _png(image, mark), mark))
        return paths

    def _write(self, name: str, suffix: str, data: bytes, mark: str) -> Path:
        folder = (self.folder / name).parent
        if not is_inside(folder, self.folder) or is_inside(folder, self.source):
            raise ImageError(f"{printable(folder)} leads out of {printable(self.folder)}: nothing is written")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path in _candidates(folder, name, suffix):
                if _claim(path, mark):
                    replacing(path, lambda file: file.write(data))
                    return path
        except (FileExistsError, NotADirectoryError):
            raise ImageError(f"{printable(folder)} cannot be a folder: a file has its name") from None
        except OSError as error:
            raise VisprogError(f"cannot write {printable(folder)}: {error.strerror or error}") from None
        raise ImageError(f"{printable(path)} is there already: name another folder, or remove it")


def _candidates(folder: Path, name: str, suffix: str) -> list[Path]:
    """Where an answer may lie: under the name of its image, or that and a digest of it."""
    own = os.fsencode(Path(name).name)
    distinct = f"-x{_digest(name)[:8]}{suffix}.png"
    if len(own) > _MAX_NAME_BYTES:
        return [folder / (os.fsdecode(own[:_MAX_NAME_BYTES]) + distinct)]
    return [folder / (os.fsdecode(own) + f"{suffix}.png"), folder / (os.fsdecode(own) + distinct)]


def _claim(path: Path, mark: str) -> bool:
    """Whether an answer may be written there: the file is new, empty, or holds the same answer.

    Raises:
        ImageError: it holds something else than an answer of the same run.
    """
    try:
        path.open("xb").close()
        return True
    except FileExistsError:
        pass
    if path.is_dir():
        return False
    held = _mark_of(path)
    if held == mark or held == "":
        return True
    if held is None or held.split()[0] != mark.split()[0]:
        raise ImageError(f"{printable(path)} holds something else: name another folder, or remove it")
    return False


def _mark_of(path: Path) -> str | None:
    """The mark of an answer's file; empty for an empty file, None for a file of something else."""
    if path.is_symlink():
        return None
    try:
        with open_regular(path, "rb") as file:
            start = file.read(_MARK_WITHIN)
    except OSError:
        return None
    found = _MARK.search(start)
    return found[1].decode() if found else None if start else ""


def _png(image: Image, mark: str) -> bytes:
    text = PngInfo()
    text.add_text(_KEYWORD, mark)
    buffer = io.BytesIO()
    image.to_pil().save(buffer, "png", pnginfo=text)
    return buffer.getvalue()


def _digest(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()[:16]

"""Images with captions: a folder of both, a table, or a folder a class."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .files import PICTURES, Files
from .samples import BadSample, DataError, Pair, decode

_IMAGE_COLUMNS = ("path", "image", "filepath", "file", "filename", "image_path")
_CAPTION_COLUMNS = ("caption", "text", "title")


@dataclass(frozen=True)
class Entry:
    """An image file and either its caption or the file that holds it."""

    image: str
    caption: str = ""
    caption_file: str = ""


class Pairs:
    """A sequence of `Pair`; an entry that cannot be used raises `BadSample` when it is asked for."""

    def __init__(self, files: Files, entries: Sequence[Entry]) -> None:
        self.files, self.entries = files, list(entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Pair:
        entry = self.entries[index]
        caption = entry.caption
        if entry.caption_file:
            try:
                caption = self.files.read(entry.caption_file).decode("utf-8")
            except UnicodeDecodeError:
                raise BadSample(entry.caption_file, "it is not text in UTF-8") from None
        if not caption.strip():
            raise BadSample(entry.image, "its caption is empty")
        return Pair(decode(self.files.read(entry.image), entry.image), caption.strip(), entry.image)


def read_pairs(path: str | Path, images: str | Path | None = None) -> Pairs:
    """Image–text pairs.

    Args:
        path: a folder or zip of images, each with its caption in a `.txt` file of the same name beside it; or a
            CSV or TSV file with a header that names a column of paths (path, image, filepath, file, filename,
            image_path) and one of captions (caption, text, title).
        images: folder or zip that the paths of a table are relative to; that of the table, if not given.

    Raises:
        DataError: there is no such file or folder, it has no such columns, or no pairs are in it.
    """
    path = Path(path)
    if path.suffix.lower() in (".csv", ".tsv"):
        return Pairs(Files(images or path.parent), _table(path))
    files = Files(path)
    entries = []
    for name in files.with_ending(*PICTURES):
        caption = str(PurePosixPath(name).with_suffix(".txt"))
        if caption in files:
            entries.append(Entry(name, caption_file=caption))
    if not entries:
        raise DataError(f"{path} holds no image with a .txt file of the same name beside it")
    return Pairs(files, entries)


def read_classes(path: str | Path, template: str = "a photo of a {}.") -> Pairs:
    """Pairs from a folder or zip with a folder a class: its name, put into `template`, is the caption.

    Raises:
        DataError: there is no such folder, or no images in folders within it.
    """
    files = Files(path)
    entries = []
    for name in files.with_ending(*PICTURES):
        folder = PurePosixPath(name).parent.name
        if folder:
            entries.append(Entry(name, template.format(folder.replace("_", " "))))
    if not entries:
        raise DataError(f"{path} holds no images in folders named by their class")
    return Pairs(files, entries)


def _table(path: Path) -> list[Entry]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {error}") from None
    rows = list(csv.reader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ","))
    header = [c.strip().lower() for c in rows[0]] if rows else []
    image = next((header.index(c) for c in _IMAGE_COLUMNS if c in header), None)
    caption = next((header.index(c) for c in _CAPTION_COLUMNS if c in header), None)
    if image is None or caption is None:
        raise DataError(
            f"{path} needs a header with a column of paths ({', '.join(_IMAGE_COLUMNS)}) and one of captions "
            f"({', '.join(_CAPTION_COLUMNS)}); it has {', '.join(header) or 'none'}"
        )
    entries = [Entry(r[image].strip(), r[caption]) for r in rows[1:] if len(r) > max(image, caption)]
    if not entries:
        raise DataError(f"{path} has no rows")
    return entries

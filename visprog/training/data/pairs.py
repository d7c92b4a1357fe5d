"""Images with captions: a folder of both, a table, COCO's captions, or one folder per class."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from visprog.files.plain_text import read_text

from .coco import parse_coco
from .files import Files, join
from .samples import BadSample, DataError, Pair, decode
from .tables import TABLES, Region, read_table

_log = logging.getLogger(__name__)

_BESIDE = (*TABLES, ".txt", ".json", ".md", ".yaml", ".yml", ".npy", ".npz", ".parquet", ".arrow")
"""Endings of files that may lie beside images without being meant as such."""


@dataclass(frozen=True)
class CaptionEntry:
    """An image file and either its caption, the file that holds it, or why neither can be used; perhaps regions."""

    image: str
    caption: str = ""
    caption_file: str = ""
    problem: str = ""
    regions: tuple[Region, ...] = ()


class Pairs:
    """A sequence of `Pair`; an entry that cannot be used raises `BadSample` when it is asked for."""

    def __init__(self, files: Files, entries: Sequence[CaptionEntry]) -> None:
        self.files, self.entries = files, list(entries)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def names(self) -> list[str]:
        """The name of the image of each entry."""
        return [entry.image for entry in self.entries]

    def __getitem__(self, index: int) -> Pair:
        entry, caption = self.entries[index], self.caption(index)
        others = tuple(text for text in self._captions_of[entry.image] if text != caption)
        pixels = decode(self.files.read(entry.image), entry.image)
        boxes = np.array([box for box, _ in entry.regions], np.float32).reshape(-1, 4)
        phrases = tuple(phrase for _, phrase in entry.regions)
        return Pair(pixels, (caption,), entry.image, other_captions=others, boxes=boxes, phrases=phrases)

    @cached_property
    def _captions_of(self) -> dict[str, list[str]]:
        """The captions of each image, without those in files of their own, of which an image has one."""
        found: dict[str, list[str]] = {}
        for entry in self.entries:
            found.setdefault(entry.image, []).append(entry.caption.strip())
        return found

    def caption(self, index: int) -> str:
        """The caption of an entry, without its image being read. Raises `BadSample` if there is none."""
        entry = self.entries[index]
        if entry.problem:
            raise BadSample(entry.image, entry.problem)
        caption = entry.caption
        if entry.caption_file:
            caption = self.files.read_text(entry.caption_file)
        if not caption.strip():
            raise BadSample(entry.image, "its caption is empty")
        return caption.strip()


def read_pairs(path: str | Path, images: str | Path | None = None) -> Pairs:
    """Image–text pairs. An image may have several captions, each of which makes a pair.

    Args:
        path: a folder or zip of images, each with its caption in a `.txt` file of the same name beside it, or with all
            captions in files `metadata.csv` or `metadata.jsonl`; or a table (.csv, .tsv, .jsonl) that names a column
            of paths (path, image, file_name, …) and one of captions (caption, text, …); or COCO's captions (.json).
        images: folder or zip that the paths of a table are relative to; that of the table, if not given.

    Raises:
        DataError: there is no such file or folder, it has no such columns, or no pairs are in it.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if ending in (*TABLES, ".json"):
        text = _text(path)
        entries = _captions(text, path.name) if ending == ".json" else _rows(text, str(path))
        return Pairs(Files(images or path.parent), entries)
    files = Files(path)
    tables = [n for n in files.with_ending(*TABLES) if PurePosixPath(n).stem.lower() == "metadata"]
    if tables:
        entries = [e for name in tables for e in _metadata(files, name)]
    else:
        known = {str(PurePosixPath(n).with_suffix("")): n for n in files.with_ending(".txt")}
        beside = ((name, known.get(str(PurePosixPath(name).with_suffix("")))) for name in files.images())
        entries = [CaptionEntry(name, caption_file=caption) for name, caption in beside if caption]
    if not entries:
        raise DataError(
            f"{path} holds no image with a .txt file of the same name beside it, and no metadata.csv or metadata.jsonl"
        )
    _report_left_out(files, {entry.image for entry in entries})
    return Pairs(files, entries)


def read_classes(path: str | Path, template: str = "a photo of a {}.") -> Pairs:
    """Pairs from a folder or zip with one folder per class: its name, put into `template`, is the caption.

    Raises:
        DataError: there is no such folder, or no images in folders within it.
    """
    files = Files(path)
    entries = []
    for name in files.images():
        folder = PurePosixPath(name).parent.name
        if folder:
            entries.append(CaptionEntry(name, template.replace("{}", folder.replace("_", " "))))
    if not entries:
        raise DataError(f"{path} holds no images in folders named by their class")
    _report_left_out(files, {entry.image for entry in entries})
    return Pairs(files, entries)


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path} {error}") from None


def _rows(text: str, name: str, folder: str = "") -> list[CaptionEntry]:
    """Entries of a table; those of rows that cannot be used are named by their line."""
    entries = []
    for row in read_table(text, name):
        if row.problem:
            entries.append(CaptionEntry(row.where, problem=row.problem))
        elif not row.image:
            entries.append(CaptionEntry(row.where, problem="it names no image"))
        else:
            entries += [
                CaptionEntry(str(PurePosixPath(folder, row.image)), caption, regions=row.regions)
                for caption in row.captions
            ]
    if all(entry.problem for entry in entries):
        raise DataError(f"{entries[0].image}: {entries[0].problem}")
    return entries


def _metadata(files: Files, name: str) -> list[CaptionEntry]:
    """Entries of a table within the folder of images, whose paths are relative to its own place."""
    try:
        text = files.read_text(name)
    except BadSample as error:
        raise DataError(f"{files.path}: {error}") from None
    return _rows(text, join(str(files.path), name), str(PurePosixPath(name).parent))


def _captions(text: str, name: str) -> list[CaptionEntry]:
    raw = parse_coco(text, name, "images", "annotations")
    try:
        images = {image["id"]: str(image["file_name"]) for image in raw["images"]}
        entries = [CaptionEntry(images[a["image_id"]], str(a["caption"])) for a in raw["annotations"]]
    except KeyError as error:
        raise DataError(f"{name} holds no captions in COCO's format: {error} is missing") from None
    if not entries:
        raise DataError(f"{name} holds no captions")
    return entries


def _report_left_out(files: Files, used: set[str]) -> None:
    """Log how many files were left out that may have been meant as images."""
    others = [n for n in files.names if n not in used and PurePosixPath(n).suffix.lower() not in _BESIDE]
    if others:
        endings = Counter(PurePosixPath(n).suffix.lower() or "no ending" for n in others).most_common(5)
        listed = ", ".join(f"{count} with {ending}" for ending, count in endings)
        _log.warning("%s: %d files are left out: %s", files.path, len(others), listed)

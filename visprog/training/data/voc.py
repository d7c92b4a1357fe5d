"""Data sets in Pascal VOC's layout: an XML file of boxes for each image."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from visprog.files.endings import IMAGE_ENDINGS
from visprog.files.limits import limits
from visprog.files.plain_text import split_lines

from .detections import AnnotatedObject, Annotation, Detections
from .files import Files, join
from .samples import BadSample, DataError


@dataclass(frozen=True)
class VocEntry:
    """An image file, and the file of its annotation."""

    image: str
    annotation: str


def read_voc(path: str | Path, split: str | None = None) -> Detections:
    """A data set in Pascal VOC's layout: `Annotations/*.xml` and `JPEGImages/`, at any depth.

    Boxes are read as VOC means them: corners are pixels counted from 1, the last one included.

    Args:
        path: folder or zip.
        split: name of a list in `ImageSets/Main/`; all annotations, if not given. What it names without an annotation
            is a `BadSample`.

    Raises:
        DataError: there is no such folder, it has another layout, or nothing that the split names is there.
    """
    files = Files(path)
    found = annotation_files(files)
    if not found:
        raise DataError(f"{path} holds no Annotations folder with XML files, as Pascal VOC has it")
    if split is not None:
        found = _of_split(files, found, split)
    images = {_composed(str(PurePosixPath(name).with_suffix(""))): name for name in files.images()}
    entries = []
    for name in found:
        stem = join(join(_root(name), "JPEGImages"), PurePosixPath(name).stem)
        entries.append(VocEntry(images.get(_composed(stem), f"{stem}.jpg"), name))
    reader = _VocReader(files)
    labels = set()
    for entry in entries:
        try:
            labels |= {t.label for t in reader(entry).objects}
        except BadSample:  # met again, and counted, when it is asked for
            continue
    return Detections(files, entries, sorted(labels), reader)


def annotation_files(files: Files) -> list[str]:
    """The XML files in folders that are called Annotations."""
    return [n for n in files.with_ending(".xml") if PurePosixPath(n).parent.name == "Annotations"]


def _composed(name: str) -> str:
    """A name with composed letters: systems write accents in two ways."""
    return unicodedata.normalize("NFC", name)


def _root(annotation: str) -> str:
    root = str(PurePosixPath(annotation).parent.parent)
    return "" if root == "." else root


@dataclass(frozen=True)
class _VocReader:
    files: Files

    def __call__(self, entry: VocEntry) -> Annotation:
        data = self.files.read(entry.annotation, limits().text_bytes)
        try:
            tree = ElementTree.fromstring(data)
            objects = [_object(node) for node in tree.iter("object")]
        except (ElementTree.ParseError, ValueError, TypeError, LookupError, RecursionError) as error:
            raise BadSample(entry.annotation, f"the annotation is broken: {error}") from None
        return Annotation(objects, (tree.findtext("size/width"), tree.findtext("size/height")))


def _object(node: ElementTree.Element) -> AnnotatedObject:
    label = (node.findtext("name") or "").strip()
    if not label:
        raise ValueError("an object has no name")
    left, top, right, bottom = (
        float(node.findtext(f"bndbox/{k}") or "nan") for k in ("xmin", "ymin", "xmax", "ymax")
    )
    return AnnotatedObject(label, (left - 1, top - 1, right, bottom))


def _of_split(files: Files, annotations: Iterable[str], split: str) -> list[str]:
    """The annotations that a list names, and in its folder those that are not there."""
    by_root: dict[str, dict[str, str]] = {}
    for name in annotations:
        by_root.setdefault(_root(name), {})[_composed(PurePosixPath(name).stem)] = name
    found, lists = [], []
    for root, known in by_root.items():
        listed = join(root, f"ImageSets/Main/{split}.txt")
        if listed in files:
            lists.append(listed)
            try:
                names = [
                    _listed(line, known) for line in split_lines(files.read_text(listed)) if line.strip()
                ]
            except BadSample as error:
                raise DataError(f"{files.path}: {error}") from None
            found += [known.get(n, join(root, f"Annotations/{n}.xml")) for n in dict.fromkeys(names)]
    if not lists:
        splits = {
            PurePosixPath(n).stem
            for n in files.names
            if PurePosixPath(n).parent.parts[-2:] == ("ImageSets", "Main")
        }
        raise DataError(f"{files.path} has no split '{split}'; it has {', '.join(sorted(splits)) or 'none'}")
    if not any(name in known.values() for name in found for known in by_root.values()):
        what = f"the first is '{PurePosixPath(found[0]).stem}'" if found else "it names none"
        raise DataError(f"{files.path}: {', '.join(lists)} names no image that has an annotation; {what}")
    return found


def _listed(line: str, known: dict[str, str]) -> str:
    """The name on a line of a list, which may have blanks, an ending, and behind it a 1, 0 or -1 as lists of one
    kind of object have it."""
    line = _composed(line.strip()).replace("\\", "/")
    bare = re.sub(r"\s+(-1|0|1)$", "", line)
    endings = (*IMAGE_ENDINGS, ".xml")
    plain = [PurePosixPath(n).stem if n.lower().endswith(endings) else n for n in (line, bare)]
    return next((n for n in (line, bare, *plain) if n in known), plain[1])

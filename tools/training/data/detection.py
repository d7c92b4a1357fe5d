"""Pictures with boxes, and with masks: COCO's JSON and Pascal VOC's XML."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from .files import PICTURES, Files, join
from .masks import decode_mask
from .samples import BadSample, DataError, Detection, Masked, Pixels, decode


@dataclass(frozen=True)
class Thing:
    """One annotation: its label, its box, whether it stands for a crowd, and its mask as COCO writes it."""

    label: str
    box: tuple[float, float, float, float]
    crowd: bool = False
    segmentation: Any = None


class Detections:
    """A sequence of `Detection`; a picture or annotation that cannot be used raises `BadSample` when asked for.

    Attributes:
        labels: the kinds of things, in the order of their ids or else sorted.
    """

    def __init__(
        self, files: Files, entries: Sequence[Any], labels: Sequence[str], read: Callable[[Any], list[Thing]]
    ) -> None:
        self.files, self.entries, self.labels, self._read = files, list(entries), tuple(labels), read

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Detection:
        name, things, image = self._open(index)
        boxes = np.array([_inside(t, image, name) for t in things], np.float32).reshape(-1, 4)
        return Detection(image, boxes, tuple(t.label for t in things), _crowds(things), name)

    def masked(self, index: int) -> Masked:
        """The sample with masks. Raises `BadSample` also where an annotation has none."""
        name, things, image = self._open(index)
        height, width = image.shape[:2]
        masks = np.zeros((len(things), height, width), bool)
        for mask, thing in zip(masks, things, strict=True):
            try:
                mask[:] = decode_mask(thing.segmentation, height, width)
            except ValueError as error:
                raise BadSample(name, str(error)) from None
        seen = masks.reshape(len(things), -1).any(1)
        things = [thing for thing, mask in zip(things, masks, strict=True) if mask.any()]
        return Masked(
            image, masks[seen], _around(masks[seen]), tuple(t.label for t in things), _crowds(things), name
        )

    def _open(self, index: int) -> tuple[str, list[Thing], Pixels]:
        entry = self.entries[index]
        things = self._read(entry)
        return entry.image, things, decode(self.files.read(entry.image), entry.image)


@dataclass(frozen=True)
class _CocoEntry:
    image: str
    annotations: tuple[Mapping[str, Any], ...]


def read_coco(annotations: str | Path, images: str | Path) -> Detections:
    """A data set in COCO's format.

    Args:
        annotations: the JSON file.
        images: folder or zip that its file names are relative to.

    Raises:
        DataError: a file is missing, or the JSON is not COCO's.
    """
    try:
        raw = json.loads(Path(annotations).read_text(encoding="utf-8"))
        names = {c["id"]: str(c["name"]) for c in raw["categories"]}
        pictures = {i["id"]: str(i["file_name"]) for i in raw["images"]}
        things: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for annotation in raw["annotations"]:
            things[annotation["image_id"]].append(annotation)
    except OSError as error:
        raise DataError(f"cannot read {annotations}: {error.strerror or error}") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{annotations} is not JSON: {error}") from None
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{annotations} is not in COCO's format: {error} is missing or of another type"
        ) from None
    if not pictures:
        raise DataError(f"{annotations} has no images")
    files = Files(images)
    entries = [_CocoEntry(name, tuple(things[number])) for number, name in pictures.items()]
    labels = [names[number] for number in sorted(names)]
    return Detections(files, entries, labels, _CocoReader(names))


@dataclass(frozen=True)
class _CocoReader:
    names: Mapping[Any, str]

    def __call__(self, entry: _CocoEntry) -> list[Thing]:
        things = []
        for annotation in entry.annotations:
            try:
                left, top, width, height = (float(v) for v in annotation["bbox"])
                label = self.names[annotation["category_id"]]
            except (KeyError, TypeError, ValueError):
                raise BadSample(
                    entry.image, "an annotation has no category or no box of four numbers"
                ) from None
            box = (left, top, left + width, top + height)
            crowd = bool(annotation.get("iscrowd", 0))
            things.append(Thing(label, box, crowd, annotation.get("segmentation")))
        return things


@dataclass(frozen=True)
class _VocEntry:
    image: str
    annotation: str


def read_voc(path: str | Path, split: str | None = None) -> Detections:
    """A data set in Pascal VOC's layout: `Annotations/*.xml` and `JPEGImages/`, at any depth.

    Boxes are read as VOC means them: corners are pixels counted from 1, the last one included.

    Args:
        path: folder or zip.
        split: name of a list in `ImageSets/Main/`; all annotations, if not given.

    Raises:
        DataError: there is no such folder, or it has another layout.
    """
    files = Files(path)
    found = [n for n in files.with_ending(".xml") if PurePosixPath(n).parent.name == "Annotations"]
    if not found:
        raise DataError(f"{path} holds no Annotations folder with XML files, as Pascal VOC has it")
    root = str(PurePosixPath(found[0]).parent.parent)
    root = "" if root == "." else root
    if split is not None:
        wanted = set(_split(files, root, split))
        found = [n for n in found if PurePosixPath(n).stem in wanted]
    folder = join(root, "JPEGImages")
    pictures = {
        PurePosixPath(n).stem: n
        for n in files.with_ending(*PICTURES)
        if str(PurePosixPath(n).parent) == folder
    }
    entries = []
    for name in found:
        stem = PurePosixPath(name).stem
        entries.append(_VocEntry(pictures.get(stem, join(folder, f"{stem}.jpg")), name))
    reader = _VocReader(files)
    labels = set()
    for entry in entries:
        try:
            labels |= {t.label for t in reader(entry)}
        except BadSample:  # met again, and counted, when it is asked for
            continue
    return Detections(files, entries, sorted(labels), reader)


@dataclass(frozen=True)
class _VocReader:
    files: Files

    def __call__(self, entry: _VocEntry) -> list[Thing]:
        try:
            tree = ElementTree.fromstring(self.files.read(entry.annotation))
            return [_voc_thing(thing) for thing in tree.iter("object")]
        except (ElementTree.ParseError, ValueError, TypeError) as error:
            raise BadSample(entry.annotation, f"the annotation is broken: {error}") from None


def _voc_thing(node: ElementTree.Element) -> Thing:
    label = (node.findtext("name") or "").strip()
    if not label:
        raise ValueError("an object has no name")
    left, top, right, bottom = (
        float(node.findtext(f"bndbox/{k}") or "nan") for k in ("xmin", "ymin", "xmax", "ymax")
    )
    return Thing(label, (left - 1, top - 1, right, bottom))


def _split(files: Files, root: str, split: str) -> list[str]:
    folder = join(root, "ImageSets/Main")
    name = f"{folder}/{split}.txt"
    if name not in files:
        known = [PurePosixPath(n).stem for n in files.names if n.startswith(f"{folder}/")]
        raise DataError(f"{files.path} has no split '{split}'; it has {', '.join(known) or 'none'}")
    lines = files.read(name).decode("utf-8", "replace").splitlines()
    return [line.split()[0] for line in lines if line.strip()]


def _inside(thing: Thing, image: Pixels, name: str) -> NDArray[np.float64]:
    """The box cut to the image. Raises `BadSample` where nothing is left of it."""
    height, width = image.shape[:2]
    box: NDArray[np.float64] = np.clip(np.array(thing.box), 0, [width, height, width, height])
    if not np.isfinite(box).all() or box[2] <= box[0] or box[3] <= box[1]:
        raise BadSample(
            name, f"the box {thing.box} of '{thing.label}' has no area in its {width} x {height} pixels"
        )
    return box


def _around(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _crowds(things: Sequence[Thing]) -> NDArray[np.bool_]:
    return np.array([t.crowd for t in things], bool)

"""Data sets in COCO's format: one JSON file of images, annotations and categories."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from visprog.files.archives import spellings
from visprog.files.plain_text import parse_json, read_text

from .detections import AnnotatedObject, Annotation, Detections
from .files import Files
from .samples import BadSample, DataError

_TRIED = 100
"""Number of images by which the folder of all is found."""


@dataclass(frozen=True)
class CocoEntry:
    """An image file, its size as stated, and its annotations as they stand in the file."""

    image: str
    size: tuple[Any, Any]
    annotations: tuple[Mapping[str, Any], ...]


def read_coco(annotations: str | Path, images: str | Path) -> Detections:
    """A data set in COCO's format.

    Args:
        annotations: the JSON file.
        images: folder or zip that its file names are relative to.

    Raises:
        DataError: a file is missing, the JSON is not COCO's, or it holds annotations of unknown images.
    """
    try:
        text = read_text(annotations)
    except OSError as error:
        raise DataError(f"cannot read {annotations}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{annotations} {error}") from None
    entries, names = _parse(text, str(annotations))
    return _detections(Files(images), entries, names)


def read_coco_folder(path: str | Path, split: str | None = None) -> Detections:
    """A folder or zip with JSON files in COCO's format and the images, in any folder of it.

    Args:
        path: the folder or zip; or one JSON file, whose images lie in its folder or below.
        split: part of the name of the JSON file, as in `instances_train2017.json`, or of its folder.

    Raises:
        DataError: as `read_coco`; or which JSON file or which folder of images is meant is not clear.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        if split is not None:
            raise DataError(f"{path} is one file, without splits: give the folder with a file of each split")
        files, name = Files(path.parent), path.name
    else:
        files = Files(path)
        name = _annotation_file(files, split)
    try:
        text = files.read_text(name)
    except BadSample as error:
        raise DataError(f"cannot read {error}") from None
    entries, names = _parse(text, f"{files.path}/{name}")
    folder = _image_folder(files, name, entries)
    entries = [replace(e, image=str(PurePosixPath(folder, e.image))) for e in entries]
    return _detections(files, entries, names)


def parse_coco(text: str, name: str, *needed: str) -> dict[str, Any]:
    """The lists of a JSON file in COCO's format, their ids of one type each.

    Args:
        name: of the file, for messages.
        needed: lists that must be there, of mappings.

    Raises:
        DataError: it is not JSON, lacks a list, or its ids are not unique or not known.
    """
    try:
        raw = parse_json(text)
    except ValueError as error:
        raise DataError(f"{name} {error}") from None
    if not isinstance(raw, Mapping):
        raise DataError(f"{name} is not in COCO's format: it is no mapping")
    found: dict[str, Any] = {}
    for key in needed:
        rows = raw.get(key)
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise DataError(f"{name} is not in COCO's format: '{key}' is missing or no list of mappings")
        found[key] = [
            {**row, **{k: _key(row[k], key, name) for k in ("id", "image_id", "category_id") if k in row}}
            for row in rows
        ]
    for key in ("images", "categories"):
        ids = Counter(row.get("id") for row in found.get(key, ()))
        if ids and (None in ids or max(ids.values()) > 1):
            twice = max(ids, key=lambda i: ids[i])
            raise DataError(
                f"{name}: of '{key}', " + ("one has no id" if None in ids else f"two have the id {twice!r}")
            )
    if not found["images"]:
        raise DataError(f"{name} has no images")
    known = {row["id"] for row in found["images"]}
    unknown = [a for a in found["annotations"] if a.get("image_id") not in known]
    if unknown:
        raise DataError(
            f"{name}: {len(unknown)} of {len(found['annotations'])} annotations are of images that it does not list, "
            f"the first of the image {unknown[0].get('image_id')!r}: add these images, or remove their annotations"
        )
    return found


def _key(value: Any, key: str, name: str) -> int | str:
    """An id, of which 1, 1.0 and "1" are one."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|[1-9]\d{0,30}", value) else value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise DataError(f"{name}: an id in '{key}' is neither a whole number nor a text, but {str(value)[:40]!r}")


def _parse(text: str, name: str) -> tuple[list[CocoEntry], dict[Any, str]]:
    raw = parse_coco(text, name, "categories", "images", "annotations")
    objects: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
    for annotation in raw["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    try:
        names = {c["id"]: str(c["name"]) for c in raw["categories"]}
        entries = [
            CocoEntry(str(i["file_name"]), (i.get("width"), i.get("height")), tuple(objects[i["id"]]))
            for i in raw["images"]
        ]
    except KeyError as error:
        raise DataError(f"{name} is not in COCO's format: {error} is missing") from None
    return entries, names


def _detections(files: Files, entries: Sequence[CocoEntry], names: Mapping[Any, str]) -> Detections:
    ordered = sorted(names, key=lambda number: (isinstance(number, str), number))
    return Detections(files, entries, list(dict.fromkeys(names[n] for n in ordered)), _CocoReader(names))


@dataclass(frozen=True)
class _CocoReader:
    names: Mapping[Any, str]

    def __call__(self, entry: CocoEntry) -> Annotation:
        return Annotation([self._object(a, entry.image) for a in entry.annotations], entry.size)

    def _object(self, annotation: Mapping[str, Any], image: str) -> AnnotatedObject:
        number = annotation.get("category_id")
        if number not in self.names:
            raise BadSample(image, f"an annotation is of the category {number!r}, which is not listed")
        try:
            left, top, width, height = (float(v) for v in annotation["bbox"])
        except (KeyError, TypeError, ValueError):
            raise BadSample(image, "an annotation has no box of four numbers") from None
        crowd = annotation.get("iscrowd") in (1, "1", True)
        box = (left, top, left + width, top + height)
        return AnnotatedObject(self.names[number], box, crowd, annotation.get("segmentation"))


def _annotation_file(files: Files, split: str | None) -> str:
    """The JSON file of a split."""
    every = files.with_ending(".json")
    found = [n for n in every if split is None or _is_of(split, PurePosixPath(n))]
    instances = [n for n in found if PurePosixPath(n).name.startswith("instances")]
    found = instances or found
    if len(found) == 1:
        return found[0]
    listed = ", ".join(every[:10]) + (", …" if len(every) > 10 else "")
    if not every:
        raise DataError(
            f"{files.path} holds no Annotations folder with XML files, as Pascal VOC has it, and no JSON file of "
            "COCO's format"
        )
    if not found:
        raise DataError(f"{files.path} has no split '{split}'; its JSON files are {listed}")
    raise DataError(
        f"{files.path} holds several JSON files, {listed}: give one of them, or the name of a split"
    )


def _is_of(split: str, name: PurePosixPath) -> bool:
    stem = rf"(.*[_.-])?{re.escape(split)}(\d{{4}})?([_.-].*)?"
    return name.parent.name == split or re.fullmatch(stem, name.stem) is not None


def _image_folder(files: Files, name: str, entries: Sequence[CocoEntry]) -> str:
    """The folder within `files` that the file names of a JSON file are relative to."""
    own = PurePosixPath(name).parent
    for entry in entries[:_TRIED]:
        for spelling in spellings(entry.image):
            found = {PurePosixPath(f"/{n}".removesuffix(f"/{spelling}").lstrip("/")) for n in files.names
                     if f"/{n}".endswith(f"/{spelling}")}  # fmt: skip
            if own in found:
                return str(own)
            if not found:
                continue
            likely = (
                [folder for folder in found if folder.name and folder.name in name]
                if len(found) > 1
                else found
            )
            if len(likely) != 1:
                raise DataError(
                    f"{files.path} holds several images {entry.image}, in {', '.join(sorted(map(str, found)))}: say "
                    "which folder the names in the JSON file are relative to"
                )
            return str(next(iter(likely)))
    return str(own)

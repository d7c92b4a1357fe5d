"""Referring expressions from files: RefCOCO, RefCOCO+ and RefCOCOg, in the layouts that the benchmark reads too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from visprog.files.plain_text import parse_json

from .coco import parse_coco
from .detections import AnnotatedObject, Annotation, Detections
from .files import Files
from .samples import BadSample, Boxes, DataError
from .source import BoxSource, SplitName


@dataclass(frozen=True)
class ReferringConfig:
    """Keys of the source `referring`.

    Attributes:
        path: folder or zip with the images in any folder of it, and `refs*.json` beside `instances.json`, or
            `finetune_*_SPLIT.json` of MDETR. Pickles such as `refs(unc).p` are not read: save their list as JSON.
        train: name of the split to train on.
        val: name of the split to validate by.
    """

    path: Path
    train: str = "train"
    val: str = "val"


@dataclass(frozen=True)
class Referred:
    """One object that expressions refer to: the file of its image, its stated size, its box (left, top, right, bottom),
    the expressions, and the boxes of other objects."""

    image: str
    size: tuple[Any, Any]
    box: tuple[float, float, float, float]
    expressions: tuple[str, ...]
    others: tuple[tuple[float, float, float, float], ...] = ()


class ReferringExpressions(BoxSource):
    """Images with an object that expressions refer to.

    Raises:
        DataError: the files cannot be read, or a split is empty.
    """

    Config: ClassVar[Any] = ReferringConfig

    def __init__(self, config: ReferringConfig) -> None:
        super().__init__(config)
        self.files = Files(config.path)
        self.found = {name: _read(self.files, name) for name in (config.train, config.val)}

    def split(self, name: SplitName, size: int) -> ReferringSplit:
        return ReferringSplit(
            self.files, self.found[self.config.train if name == "train" else self.config.val]
        )

    def texts(self) -> Sequence[str]:
        """The expressions to train on."""
        return [text for entry in self.found[self.config.train] for text in entry.expressions]


class ReferringSplit:
    """The objects of a split."""

    def __init__(self, files: Files, entries: Sequence[Referred]) -> None:
        self.found = Detections(files, entries, (), _annotation)

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, key: int, rng: np.random.Generator) -> Boxes:
        """An image with one of the expressions, which is the label of the first box; the others have none."""
        expressions = self.found.entries[key].expressions
        said = expressions[int(rng.integers(len(expressions)))]
        found = self.found[key]
        return replace(found, labels=(said, *[""] * (len(found.labels) - 1)), phrases=(said,))


def _annotation(entry: Referred) -> Annotation:
    return Annotation([AnnotatedObject("", box) for box in (entry.box, *entry.others)], entry.size)


def _read(files: Files, split: str) -> list[Referred]:
    names = files.with_ending(".json")
    refs = [name for name in names if PurePosixPath(name).name.startswith("refs")]
    whole = [name for name in names if PurePosixPath(name).name.startswith("finetune_")]
    of_split = [name for name in whole if PurePosixPath(name).stem.endswith(f"_{split}")]
    if not refs and not whole:
        raise DataError(f"{files.path} holds neither refs*.json nor finetune_*_{split}.json")
    if len(refs) > 1 or (not refs and len(of_split) != 1):
        found = ", ".join(refs or of_split) or f"none of the split '{split}'"
        raise DataError(f"{files.path}: one file of expressions per split is read, and there is {found}")
    try:
        entries = _refs(files, refs[0], split) if refs else _captioned(files, of_split[0])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = (refs or of_split)[0]
        raise DataError(f"{files.path}/{name} does not have the published layout: {error!r}") from None
    if not entries:
        raise DataError(f"{files.path} has no expressions of the split '{split}'")
    return entries


def _refs(files: Files, name: str, split: str) -> list[Referred]:
    """The list of `refs(unc).p` as JSON, with the boxes of `instances.json`."""
    beside = str(PurePosixPath(name).parent / "instances.json")
    raw = parse_coco(_text(files, beside), beside, "images", "annotations")
    images = {image["id"]: image for image in raw["images"]}
    of_image: dict[Any, dict[Any, Any]] = {}
    for annotation in raw["annotations"]:
        of_image.setdefault(annotation["image_id"], {})[annotation["id"]] = annotation
    found = []
    for ref in parse_json(_text(files, name)):
        if ref["split"] == split:
            boxes = dict(of_image[ref["image_id"]])
            box = _corners(boxes.pop(ref["ann_id"]))
            others = tuple(_corners(each) for each in boxes.values() if not each.get("iscrowd"))
            said = tuple(str(sentence.get("sent") or sentence["raw"]) for sentence in ref["sentences"])
            found.append(_entry(files, images[ref["image_id"]], box, said, others))
    return found


def _captioned(files: Files, name: str) -> list[Referred]:
    """MDETR's layout: an image per expression."""
    raw = parse_coco(_text(files, name), name, "images", "annotations")
    boxes = {annotation["image_id"]: _corners(annotation) for annotation in raw["annotations"]}
    return [
        _entry(files, image, boxes[image["id"]], (str(image["caption"]),))
        for image in raw["images"]
        if image["id"] in boxes
    ]


def _entry(
    files: Files,
    image: Mapping[str, Any],
    box: tuple[float, float, float, float],
    expressions: tuple[str, ...],
    others: tuple[tuple[float, float, float, float], ...] = (),
) -> Referred:
    return Referred(
        _place(files, image["file_name"]), (image.get("width"), image.get("height")), box, expressions, others
    )


def _place(files: Files, name: str) -> str:
    """Where an image lies, in whichever folder; its bare name if it is missing, which is said when it is read."""
    if name in files:
        return name
    return files.by_name.get(PurePosixPath(name).name, name)


def _corners(annotation: Mapping[str, Any]) -> tuple[float, float, float, float]:
    left, top, width, height = (float(value) for value in annotation["bbox"])
    return left, top, left + width, top + height


def _text(files: Files, name: str) -> str:
    try:
        return files.read_text(name)
    except BadSample as error:
        raise DataError(f"cannot read {error}") from None

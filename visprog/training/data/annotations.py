"""Images with boxes or masks from files, in whichever layout they lie: the source `annotations`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np

from .captions import tenth_of
from .coco import read_coco, read_coco_folder
from .detections import Detections
from .files import Files
from .mask_folder import mask_files, read_mask_folder
from .samples import Boxes, DataError, Masks
from .source import BoxSource, Source, SplitName
from .voc import annotation_files, read_voc


@dataclass(frozen=True)
class AnnotatedConfig:
    """Keys of the source `annotations`.

    Attributes:
        path: folder or zip in Pascal VOC's layout, with JSON files of COCO's format, or with the folders `images` and
            `masks` (see `mask_folder`); or one such JSON file.
        images: folder or zip that the names in a JSON file are relative to; null for that of the file.
        train: name of the split to train on; null, or one JSON file as `path`, divides the images by their names.
        val: name of the split to validate by, or another JSON file.
    """

    path: Path
    images: Path | None = None
    train: str | None = "train"
    val: str | None = "val"


@dataclass(frozen=True)
class AnnotatedBoxesConfig(AnnotatedConfig):
    """Keys of the source `annotations` for boxes.

    Attributes:
        names: label in the data → what people call it, if the two differ.
    """

    names: dict[str, str] = field(default_factory=dict)


class AnnotatedBoxes(BoxSource):
    """Images with boxes. Each is asked for the names of all classes.

    Raises:
        DataError: the files cannot be read, a split is empty, or `names` names no label.
    """

    Config: ClassVar[Any] = AnnotatedBoxesConfig
    closed_vocabulary = True

    def __init__(self, config: AnnotatedBoxesConfig) -> None:
        super().__init__(config)
        self.train, self.val = open_annotated(config)
        labels = self.train.labels
        if not labels:
            raise DataError(f"{config.path} has no boxes to train on: there is no class of objects in it")
        if unknown := set(config.names) - set(labels):
            raise DataError(
                f"data.names: there is no '{min(unknown)}' in {config.path}, only {', '.join(labels)}"
            )
        if unseen := [label for label in self.val.labels if label not in labels]:
            warnings.warn(
                f"{', '.join(unseen)}: only the validation images show it, so that it is not scored",
                stacklevel=2,
            )
        self.names = {label: config.names.get(label, label).lower() for label in labels}
        self.phrases = tuple(dict.fromkeys(self.names.values()))

    def split(self, name: SplitName, size: int) -> BoxSplit:
        return BoxSplit(self.train if name == "train" else self.val, self.names)

    def texts(self) -> Sequence[str]:
        """The names of the classes."""
        return self.phrases


class BoxSplit:
    """Some of the images, with labels as people call them."""

    def __init__(self, found: Detections, names: dict[str, str]) -> None:
        self.found, self.names = found, names

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, key: int, rng: np.random.Generator) -> Boxes:
        """An image with its boxes."""
        found = self.found[key]
        return replace(found, labels=tuple(self.names.get(label, "") for label in found.labels))


class AnnotatedMasks(Source):
    """Images with masks.

    Raises:
        DataError: the files cannot be read, a split is empty, or there are boxes without masks.
    """

    Config: ClassVar[Any] = AnnotatedConfig
    sample_type = Masks

    def __init__(self, config: AnnotatedConfig) -> None:
        super().__init__(config)
        self.train, self.val = open_annotated(config)
        if not (self.train.has_masks and self.val.has_masks):
            raise DataError(
                f'{config.path} has boxes without masks: masks are needed, as COCO\'s "segmentation" or in a folder '
                "'masks'"
            )

    def split(self, name: SplitName, size: int) -> MaskSplit:
        return MaskSplit(self.train if name == "train" else self.val)


class MaskSplit:
    """Some of the images."""

    def __init__(self, found: Detections) -> None:
        self.found = found

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, key: int, rng: np.random.Generator) -> Masks:
        """An image with its masks."""
        return self.found.masked(key)


def read_detections(
    path: str | Path, split: str | None = None, images: str | Path | None = None
) -> Detections:
    """Images with boxes or masks, in Pascal VOC's layout, in COCO's format, or as folders of images and masks.

    Args:
        path: folder or zip in VOC's layout (see `read_voc`), with folders `images` and `masks` (see
            `read_mask_folder`), or with a JSON file of COCO's format beside the images (see `read_coco_folder`); or
            such a JSON file.
        split: as these take it; None for all.
        images: folder or zip that the names in a JSON file are relative to, if it is not that of the file.

    Raises:
        DataError: there is no such file or folder, it has another layout, or no such split.
    """
    alone = str(path).lower().endswith(".json")
    if images is not None:
        if split is not None or not alone:
            raise DataError(f"images: only a JSON file without splits has its images elsewhere, not {path}")
        return read_coco(path, images)
    if not alone:
        files = Files(path)
        if annotation_files(files):
            return read_voc(path, split)
        if mask_files(files):
            return read_mask_folder(path, split)
    return read_coco_folder(path, split)


def open_annotated(config: AnnotatedConfig) -> tuple[Detections, Detections]:
    """The images to train on, and those to validate by.

    Raises:
        DataError: they cannot be read, or one part is empty.
    """
    path, images = config.path, config.images
    alone = path.suffix.lower() == ".json" or _is_undivided(path, config.train)
    if config.val is not None and config.val.lower().endswith(".json"):
        train = read_detections(path, None if alone else config.train, images)
        return train, read_detections(config.val, None, images)
    if not alone and config.train is not None and config.val is not None:
        try:
            return read_detections(path, config.train), read_detections(path, config.val)
        except DataError as error:
            read_detections(path, None, images)  # raises its own error if the split is not all that is wrong
            raise DataError(
                f"{error}; data.train=null data.val=null divides all images by their names"
            ) from None
    whole = read_detections(path, None, images)
    groups = [tenth_of(entry.image) for entry in whole.entries]
    kept, held = ([i for i, group in enumerate(groups) if (group == 9) == last] for last in (False, True))
    if not kept or not held:
        raise DataError(
            f"{path} holds too few images to set some aside for validation: add more, or give data.val=FILE.json"
        )
    return whole.part(kept), whole.part(held)


def _is_undivided(path: Path, split: str | None) -> bool:
    """Whether a path is a folder of images and masks without a folder for the split."""
    masks = [] if path.suffix.lower() == ".json" else mask_files(Files(path))
    return bool(masks) and not any(split in PurePosixPath(name).parts for name in masks)

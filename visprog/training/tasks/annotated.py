"""Images with boxes or masks, divided into those to train on and those to score by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..data.detection import Detections
from ..data.layouts import read_detections
from ..data.samples import DataError
from .captioned import of_ten


@dataclass(frozen=True)
class AnnotatedConfig:
    """What a recipe says of annotated images.

    Attributes:
        data: folder or zip in Pascal VOC's layout or with JSON files in COCO's format, or one such JSON file.
        images: folder or zip that the names in a JSON file are relative to, if it is not that of the file.
        train: name of the split to train on; null, or one JSON file as `data`, divides the images by their names.
        val: name of the split to score by, or another JSON file.
    """

    data: Path | None = None
    images: Path | None = None
    train: str | None = "train"
    val: str | None = "val"


def open_annotated(config: AnnotatedConfig, path: Path) -> tuple[Detections, Detections]:
    """The images of `path` to train on, and those to score by.

    Raises:
        DataError: they cannot be read, or one part is empty.
    """
    alone = path.suffix.lower() == ".json"
    other = config.val is not None and config.val.lower().endswith(".json")
    if other:
        train = read_detections(path, None if alone else config.train, config.images)
        return train, read_detections(config.val or "", None, config.images)
    if not alone and config.train is not None and config.val is not None:
        try:
            return read_detections(path, config.train), read_detections(path, config.val)
        except DataError as error:
            read_detections(
                path, None, config.images
            )  # raises its own error if there is more to it than the split
            raise DataError(f"{error}; train=null val=null divides all images by their names") from None
    whole = read_detections(path, None, config.images)
    groups = [of_ten(entry.image) for entry in whole.entries]
    kept, held = ([i for i, group in enumerate(groups) if (group == 9) == last] for last in (False, True))
    if not kept or not held:
        raise DataError(
            f"{path} holds too few images to set some aside to score by: add more, or give val=FILE.json"
        )
    return whole.part(kept), whole.part(held)

"""Data sets of boxes and masks in whichever layout they lie."""

from __future__ import annotations

from pathlib import Path

from .coco import read_coco, read_coco_folder
from .detection import Detections
from .files import Files
from .samples import DataError
from .voc import annotation_files, read_voc


def read_detections(
    path: str | Path, split: str | None = None, images: str | Path | None = None
) -> Detections:
    """Images with boxes, in Pascal VOC's layout or COCO's format.

    Args:
        path: folder or zip in VOC's layout (see `read_voc`) or with a JSON file of COCO's format beside the images (see
            `read_coco_folder`); or such a JSON file.
        split: as the two take it; None for all.
        images: folder or zip that the names in a JSON file are relative to, if it is not that of the file.

    Raises:
        DataError: there is no such file or folder, it has another layout, or no such split.
    """
    if images is not None:
        if split is not None or not str(path).lower().endswith(".json"):
            raise DataError(f"images: only a JSON file without splits has its images elsewhere, not {path}")
        return read_coco(path, images)
    if not str(path).lower().endswith(".json") and annotation_files(Files(path)):
        return read_voc(path, split)
    return read_coco_folder(path, split)

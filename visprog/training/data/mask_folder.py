"""A folder of images and masks, as people make them by hand or with a script.

images/street.jpg          the image
masks/street.png           an index mask: 0 is background, and every other value or colour is one object; or
masks/street/car-1.png     one mask per object: every pixel that is not 0 is the object, and "car" is its label

Splits are folders above: train/images, train/masks, val/images, val/masks.
"""

from __future__ import annotations

import io
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from visprog.values.decode import FORMATS

from .detections import AnnotatedObject, Annotation, Detections
from .files import Files, join
from .samples import BadSample, DataError, decode

MASKS, IMAGES = "masks", "images"
UNNAMED = "object"
"""Label of an object whose file does not name it."""

VOID = 255
"""Index that masks with a palette give to pixels that belong to nothing for sure, such as edges in Pascal VOC."""


@dataclass(frozen=True)
class MaskEntry:
    """An image file, and its mask files: one index mask, or one mask per object."""

    image: str
    masks: tuple[str, ...]
    indexed: bool


def read_mask_folder(path: str | Path, split: str | None = None) -> Detections:
    """A data set of images and masks in the layout above, at any depth.

    Args:
        path: folder or zip.
        split: name of a folder above `images` and `masks`; None for all.

    Raises:
        DataError: there is no such layout or split, or no image that has a mask.
    """
    files = Files(path)
    by_image: dict[str, list[str]] = defaultdict(list)
    for name in mask_files(files):
        root, stem, _ = _parts(name)
        if split is None or split in PurePosixPath(root).parts:
            by_image[join(join(root, IMAGES), stem)].append(name)
    if not by_image:
        raise DataError(f"{path} has no folder '{split}' with images and masks")
    images = {str(PurePosixPath(name).with_suffix("")): name for name in files.images()}
    entries = [
        MaskEntry(images.get(stem, f"{stem}.jpg"), tuple(masks), _parts(masks[0])[2])
        for stem, masks in sorted(by_image.items())
    ]
    if not any(entry.image in files for entry in entries):
        raise DataError(
            f"{path} has masks, and no images of the same names beside them: masks/street.png belongs to "
            "images/street.jpg"
        )
    labels = sorted({_label(entry, name) for entry in entries for name in entry.masks})
    return Detections(files, entries, labels, _MaskReader(files))


def mask_files(files: Files) -> list[str]:
    """The PNG files in folders that are called masks."""
    return [name for name in files.with_ending(".png") if MASKS in PurePosixPath(name).parts[:-1]]


def _parts(name: str) -> tuple[str, str, bool]:
    """The folder above `masks`, the name of the image without its ending, and whether this is an index mask."""
    path = PurePosixPath(name)
    at = path.parts.index(MASKS)
    root, inner = "/".join(path.parts[:at]), path.parts[at + 1 :]
    indexed = len(inner) == 1
    return root, PurePosixPath(*inner).stem if indexed else "/".join(inner[:-1]), indexed


def _label(entry: MaskEntry, name: str) -> str:
    stem = PurePosixPath(name).stem
    return UNNAMED if entry.indexed else re.sub(r"[\s_.-]*\d*$", "", stem) or UNNAMED


@dataclass(frozen=True)
class _MaskReader:
    files: Files

    def __call__(self, entry: MaskEntry) -> Annotation:
        objects: list[AnnotatedObject] = []
        sizes = set()
        for name in entry.masks:
            plane = self._plane(name)
            sizes.add((plane.shape[1], plane.shape[0]))
            values = np.unique(plane) if entry.indexed else [1]
            for mask in (plane == value for value in values if value):
                if mask.any():
                    objects.append(AnnotatedObject(_label(entry, name), _around(mask), segmentation=mask))
        if len(sizes) > 1:
            raise BadSample(entry.image, "its masks are of several sizes")
        return Annotation(objects, sizes.pop())

    def _plane(self, name: str) -> NDArray[np.int64]:
        """Numbers (H, W) that tell objects apart, 0 for background."""
        data = self.files.read(name)
        decode(data, name)  # refuses what is broken or too large
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as file:
            palette = file.mode == "P"
            single = palette or len(file.getbands()) == 1
            plane = np.asarray(file if single else file.convert("RGB")).astype(np.int64)
        if not single:
            plane = plane @ np.array([1 << 16, 1 << 8, 1])
        if palette:
            plane[plane == VOID] = 0
        return plane if _parts(name)[2] else (plane != 0).astype(np.int64)


def _around(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)

"""Images with boxes and masks, whatever format their annotations are in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values.orientation import StoredFrame, read_frame

from .files import Files
from .run_lengths import decode_mask
from .samples import BadSample, Boxes, Masks, Pixels, decode


@dataclass(frozen=True)
class AnnotatedObject:
    """One annotation: its label, its box, whether it stands for a crowd, and its mask: bool (H, W), or as
    COCO writes it."""

    label: str
    box: tuple[float, float, float, float]
    crowd: bool = False
    segmentation: Any = None


@dataclass(frozen=True)
class Annotation:
    """The objects in an image, and the (width, height) of the image that they were drawn in, as it is stated."""

    objects: list[AnnotatedObject]
    size: tuple[Any, Any] = (None, None)


class Detections:
    """A sequence of `Boxes`; an image or annotation that cannot be used raises `BadSample` when asked for.

    The stated size of an image tells whether its boxes are of the stored pixels or of those turned by EXIF, as
    images are read here; they are turned along. An image of another size than stated is a `BadSample`.

    Attributes:
        labels: the kinds of objects, in the order of their ids or else sorted.
        entries: of each image; `image` is the name of its file.
    """

    def __init__(
        self, files: Files, entries: Sequence[Any], labels: Sequence[str], read: Callable[[Any], Annotation]
    ) -> None:
        self.files, self.entries, self.labels, self._read = files, list(entries), tuple(labels), read

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Boxes:
        name, objects, image, frame = self._open(index)
        boxes = np.array([t.box for t in objects], np.float64).reshape(-1, 4)
        if frame is not None:
            boxes = _turned(boxes, frame, name)
        inside = [_inside(box, annotated, image, name) for box, annotated in zip(boxes, objects, strict=True)]
        return Boxes(
            image,
            np.array(inside, np.float32).reshape(-1, 4),
            tuple(t.label for t in objects),
            _crowds(objects),
            name,
        )

    def masked(self, index: int) -> Masks:
        """The sample with masks. Raises `BadSample` also if an annotation has none."""
        name, objects, image, frame = self._open(index)
        height, width = image.shape[:2] if frame is None else (frame.height, frame.width)
        masks = np.zeros((len(objects), height, width), bool)
        for mask, annotated in zip(masks, objects, strict=True):
            try:
                mask[:] = decode_mask(annotated.segmentation, height, width)
            except ValueError as error:
                raise BadSample(name, str(error)) from None
        if frame is not None:
            masks = frame.turn_masks(masks)
        seen = np.array([mask.any() for mask in masks], bool)
        objects = [annotated for annotated, there in zip(objects, seen.tolist(), strict=True) if there]
        return Masks(
            image, masks[seen], _around(masks[seen]), tuple(t.label for t in objects), _crowds(objects), name
        )

    @property
    def has_masks(self) -> bool:
        """Whether the first annotation that can be read has a segmentation."""
        for entry in self.entries:
            try:
                objects = self._read(entry).objects
            except BadSample:
                continue
            if objects:
                return objects[0].segmentation is not None
        return False

    def part(self, indices: Iterable[int]) -> Detections:
        """Some of the images, in this order."""
        return Detections(self.files, [self.entries[i] for i in indices], self.labels, self._read)

    def _open(self, index: int) -> tuple[str, list[AnnotatedObject], Pixels, StoredFrame | None]:
        """Name, objects and pixels of an image, and its frame if the objects are of the stored pixels."""
        entry = self.entries[index]
        annotation = self._read(entry)
        data = self.files.read(entry.image)
        image = decode(data, entry.image)
        frame = None
        if annotation.objects:
            try:
                found = read_frame(data)
                frame = found if found.stated(*annotation.size) else None
            except ValueError as error:
                raise BadSample(entry.image, f"it {error}") from None
        return entry.image, annotation.objects, image, frame


def _turned(boxes: NDArray[Any], frame: StoredFrame, name: str) -> NDArray[Any]:
    """Boxes of the stored pixels in those shown. Raises `BadSample` if they are not of the stored pixels."""
    if (boxes[:, 2] > frame.width + 1).any() or (boxes[:, 3] > frame.height + 1).any():
        raise BadSample(
            name,
            f"a box lies outside the {frame.width} x {frame.height} pixels that its annotation states, and the "
            "image is turned by its EXIF orientation: store the pixels turned, and label them again",
        )
    return frame.turn_boxes(boxes)


def _inside(box: NDArray[Any], annotated: AnnotatedObject, image: Pixels, name: str) -> NDArray[Any]:
    """The box cut to the image. Raises `BadSample` if nothing is left of it."""
    height, width = image.shape[:2]
    cut: NDArray[Any] = np.clip(box, 0, [width, height, width, height])
    if not np.isfinite(box).all() or cut[2] <= cut[0] or cut[3] <= cut[1]:
        raise BadSample(
            name,
            f"the box {annotated.box} of '{annotated.label}' has no area in its {width} x {height} pixels",
        )
    return cut


def _around(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    boxes = np.zeros((len(masks), 4), np.float32)
    for box, mask in zip(boxes, masks, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def _crowds(objects: Sequence[AnnotatedObject]) -> NDArray[np.bool_]:
    return np.array([t.crowd for t in objects], bool)

"""Frames of an image file whose EXIF orientation is not the usual one: boxes and masks in stored pixels, turned along.

Orientations are numbered as in EXIF 2.3: 1 is as stored, 6 is shown a quarter turn clockwise, and so on.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decode import open_header, orientation

_MARKS = (b"Exif", b"eXIf", b"EXIF", b"exif", b"Orientation")


@dataclass(frozen=True)
class StoredFrame:
    """Size of the stored pixels, and how they are to be shown.

    Attributes:
        width: of the stored pixels, as `height`.
        orientation: 1 to 8.
    """

    width: int
    height: int
    orientation: int = 1

    @property
    def shown(self) -> tuple[int, int]:
        """(width, height) as shown."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)

    def stated(self, width: Any, height: Any) -> bool:
        """Whether annotations that state a size are of the stored pixels, not of the shown ones.

        Args:
            width: as stated; nothing, 0 or what is no number if the annotation states none. As `height`.

        Raises:
            ValueError: the size is neither that of the stored nor that of the shown pixels, or it cannot be known
                which of them is meant; the message has no subject.
        """
        size, stored = _size(width, height), (self.width, self.height)
        if size is not None and size not in (stored, self.shown):
            raise ValueError(
                f"has {self.shown[0]} x {self.shown[1]} pixels, and its annotation is of {size[0]} x {size[1]}: it was "
                "resized or exchanged after it was labelled"
            )
        if self.orientation == 1:
            return False
        if size is None or stored == self.shown:
            raise ValueError(
                "is turned by its EXIF orientation, and the annotation does not show whether its coordinates are "
                "turned too: store the pixels turned, without the EXIF orientation"
            )
        return size == stored

    def turn_boxes(self, boxes: NDArray[Any]) -> NDArray[Any]:
        """Boxes (N, 4), left, top, right, bottom, of the stored pixels in those shown."""
        left, top, right, bottom = np.asarray(boxes, float).reshape(-1, 4).T
        if self.orientation in (2, 3, 7, 8):  # mirrored along x
            left, right = self.width - right, self.width - left
        if self.orientation in (3, 4, 6, 7):  # mirrored along y
            top, bottom = self.height - bottom, self.height - top
        if self.orientation >= 5:
            left, top, right, bottom = top, left, bottom, right
        return np.stack([left, top, right, bottom], 1)

    def turn_masks(self, masks: NDArray[Any]) -> NDArray[Any]:
        """Masks (N, H, W) of the stored pixels in those shown."""
        if self.orientation in (2, 3, 7, 8):
            masks = masks[:, :, ::-1]
        if self.orientation in (3, 4, 6, 7):
            masks = masks[:, ::-1]
        return np.ascontiguousarray(masks.transpose(0, 2, 1) if self.orientation >= 5 else masks)


def read_frame(data: bytes) -> StoredFrame:
    """The frame of an encoded image, from its header.

    Raises:
        ValueError: it is no image whose header can be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of metadata, and of large images
            image = open_header(data)
        with image:
            # Pillow decodes the pixels of a PNG to find its EXIF: few have any, and its mark is found sooner.
            turned = orientation(image) if image.format == "TIFF" or any(m in data for m in _MARKS) else 1
            tags = getattr(image, "tag_v2", {})  # of a TIFF, whose size Pillow may give as shown
            return StoredFrame(int(tags.get(256, image.width)), int(tags.get(257, image.height)), turned)
    except Exception as error:  # decoders raise many kinds on broken files
        raise ValueError(f"is no image whose header can be read: {error or type(error).__name__}") from None


def _size(width: Any, height: Any) -> tuple[int, int] | None:
    try:
        size = round(float(width)), round(float(height))
    except (TypeError, ValueError, OverflowError):
        return None
    return size if min(size) > 0 else None

"""Barcodes of products (EAN-13, EAN-8, UPC-A): their places and numbers."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values import Box
from visprog.values.image import Image

MIN_SIDE = 40
"""Shorter side, in pixels, that images are enlarged to: OpenCV takes none below it."""

RIM = 24
"""Pixels around an image: a code that fills it lacks the quiet zone beside its bars."""

PART = 1600
"""Longer side, in pixels, of the parts in which a large image is also searched, whose small codes it would lose."""

LENGTHS = {"EAN_13": 13, "EAN_8": 8, "UPC_A": 12}


def find_barcodes_in(image: Image) -> Iterator[tuple[str, Box]]:
    """Numbers and boxes, in the frame of the root, of the barcodes in an image. Some come more than once."""
    yield from _find(image)
    if max(image.size) > PART:
        step = PART * 2 // 3
        for top in range(0, max(1, image.height - PART // 3), step):
            for left in range(0, max(1, image.width - PART // 3), step):
                yield from _find(image.crop(image.to_root(Box(left, top, left + PART, top + PART))))


def _find(image: Image) -> Iterator[tuple[str, Box]]:
    scale = max(1.0, MIN_SIDE / min(image.size))
    if max(image.size) * scale > 4 * PART:
        scale = min(scale, 4 * PART / max(image.size))
    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    if scale != 1:
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    edge = int(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    grey = cv2.copyMakeBorder(grey, RIM, RIM, RIM, RIM, cv2.BORDER_CONSTANT, value=edge)
    for number, corners in _read(grey):
        x, y = (corners.T - RIM) / scale
        box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
        yield number, image.to_root(box.clip(Box(0, 0, image.width, image.height)))


def _read(grey: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Numbers of the codes in grey pixels whose check digit is right, with their corners (4, 2)."""
    try:
        _, numbers, kinds, corners = cv2.barcode.BarcodeDetector().detectAndDecodeWithType(grey)
    except cv2.error:  # it fails inside on some images
        return
    for number, kind, points in zip(
        numbers or (), kinds or (), [] if corners is None else corners, strict=False
    ):
        if number.isdigit() and len(number) == LENGTHS.get(kind, 0) and _is_checked(number):
            yield number, points


def _is_checked(number: str) -> bool:
    """Whether the last digit is the check digit of the others: weights of 3 and 1 from the right (GS1)."""
    weighted = sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(reversed(number)))
    return weighted % 10 == 0

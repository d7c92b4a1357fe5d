"""Barcodes of products (EAN-13, EAN-8, UPC-A): their places and numbers."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values import Box
from visprog.values.image import Image

VIEWS = ((0.02, 0), (0.5, 500), (1.0, 800), (1.0, 1600))
"""Rims around an image, as shares of its longer side, and lengths of that side with them, in pixels (0: as it is), at
which it is searched: OpenCV's finder misses a code that fills the image, or is larger or smaller than it expects."""

MIN_SIDE = 16
"""Shorter side, in pixels, of the smallest image that can hold a code."""

PART = 1600
"""Longer side, in pixels, of the parts in which a large image is also searched, as its small codes are lost in it."""

LENGTHS = {"EAN_13": 13, "EAN_8": 8, "UPC_A": 12}


def find_barcodes_in(image: Image) -> Iterator[tuple[str, Box]]:
    """Numbers and boxes, in the frame of the root, of the barcodes in an image. Some come more than once."""
    if min(image.size) < MIN_SIDE:
        return
    if max(image.size) <= PART:
        for rim, length in VIEWS:
            yield from _find(image, rim, length)
        return
    yield from _find(image, 0.02, PART)
    step = PART * 2 // 3
    for top in range(0, max(1, image.height - PART // 3), step):
        for left in range(0, max(1, image.width - PART // 3), step):
            yield from _find(image.crop(image.to_root(Box(left, top, left + PART, top + PART))), 0.02, 0)


def _find(image: Image, rim: float, length: int) -> Iterator[tuple[str, Box]]:
    """Numbers and boxes of the codes that are seen with a rim, a share of the longer side, at a length of that side."""
    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    width = max(16, round(rim * max(image.size)))
    edge = int(np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])))
    grey = cv2.copyMakeBorder(grey, width, width, width, width, cv2.BORDER_CONSTANT, value=edge)
    scale = length / max(grey.shape) if length else 1.0
    if scale != 1:
        size = max(1, round(grey.shape[1] * scale)), max(1, round(grey.shape[0] * scale))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA)
    for number, corners in _read(grey):
        x, y = corners.T / scale - width
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

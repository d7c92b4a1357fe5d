"""QR codes: their places, and their contents in any encoding."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box
from visprog.values.image import Image

MIN_SIDE = 21
"""Side, in pixels, of the smallest QR code: a pixel per module."""

RIM = 16
"""Pixels around an image: a code that fills it lacks the quiet rim that its finder patterns need."""

MAX_DOUBLED_SIDE = 1000
"""Longer side, in pixels, up to which an image is also searched at twice its size."""

MAX_ASPECT = 8
"""Length, in shorter sides, of a part that is searched at once: OpenCV brings the shorter side to 512 pixels."""

ENCODINGS = {i + 2: f"iso8859-{i}" for i in range(1, 17) if i != 12} | {
    20: "shift_jis", 21: "cp1250", 22: "cp1251", 23: "cp1252", 24: "cp1256", 25: "utf-16-be", 26: "utf-8",
    27: "ascii", 28: "big5", 29: "gb18030", 30: "euc-kr",
}  # fmt: skip
"""Encodings of a QR code, by the number that the code gives for them."""


def find_codes(image: Image) -> Iterator[tuple[str, Box]]:
    """Contents and boxes, in the frame of the root, of the QR codes in an image. Some come more than once."""
    if min(image.size) < MIN_SIDE:
        return
    scales = (1.0, 2.0) if max(image.size) <= MAX_DOUBLED_SIDE else (1.0,)
    for tile in _tiles(image):
        yield from _find(tile, scales)


def _tiles(image: Image) -> Iterator[Image]:
    """Crops of a long image that overlap by its shorter side, so that each code lies in one of them; others whole."""
    short, long = min(image.size), max(image.size)
    step = (MAX_ASPECT - 1) * short
    for start in range(0, max(1, long - short), step):
        end = min(start + MAX_ASPECT * short, long)
        wide = image.width == long
        yield image.crop(image.to_root(Box(start, 0, end, short) if wide else Box(0, start, short, end)))


def _find(image: Image, scales: Sequence[float]) -> Iterator[tuple[str, Box]]:
    """Contents and boxes, in the frame of the root, of the QR codes in an image of moderate length.

    Args:
        image: The image.
        scales: Scales at which it is searched.
    """
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    grey = cv2.copyMakeBorder(grey, RIM, RIM, RIM, RIM, cv2.BORDER_REPLICATE)
    for scale in scales:
        pixels = grey
        if scale != 1:
            pixels = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
        for content, points in read_codes(pixels):
            x, y = points.T / scale - RIM
            box = Box(float(x.min()), float(y.min()), float(x.max()), float(y.max()))
            yield content, image.to_root(box.clip(Box(0, 0, image.width, image.height)))


def read_codes(pixels: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Contents of the QR codes in grey pixels (H, W), with their corners (4, 2).

    Codes that cannot be read are left out, and some come twice: each of OpenCV's two finders sees codes that the other
    misses.
    """
    import cv2

    for finder in (cv2.QRCodeDetector(), cv2.QRCodeDetectorAruco()):
        try:
            _, corners = finder.detectMulti(pixels)
        except cv2.error:  # it fails inside on some images
            continue
        if corners is None:
            continue
        found = [(_content(pixels, points[None]), points) for points in corners]
        if len(found) > 1:
            found = _joined(pixels, corners, found)
        yield from ((content, points) for content, points in found if content)


def _joined(
    pixels: NDArray[np.uint8],
    corners: NDArray[np.float32],
    found: list[tuple[str, NDArray[np.float32]]],
) -> list[tuple[str, NDArray[np.float32]]]:
    """The codes, with a message that several of them hold together at the first of these."""
    import cv2

    try:
        _, together, _ = cv2.QRCodeDetector().decodeMulti(pixels, corners)
    except (cv2.error, UnicodeError):
        return found
    joined = []
    for whole, (own, points) in zip(together, found, strict=True):
        if own and whole.startswith(own):
            joined.append((whole, points))
        elif whole or not any(own in other for other in together):
            joined.append((own, points))
    return joined


def _content(pixels: NDArray[np.uint8], corners: NDArray[np.float32]) -> str:
    """The content of one QR code; "" if it cannot be read."""
    import cv2

    detector = cv2.QRCodeDetector()  # a used one still has the encoding of the code before
    try:
        if not hasattr(detector, "decodeBytes"):  # OpenCV before 4.12
            return str(detector.decode(pixels, corners)[0])
        content, _ = detector.decodeBytes(pixels, corners)
        encoding = detector.getEncoding()
        text: str = content.decode(ENCODINGS.get(encoding, "utf-8"))
    except (cv2.error, UnicodeError):
        return ""
    return text if encoding else _without_controls(text)


def _without_controls(text: str) -> str:
    """The text of bytes that OpenCV took for Latin-1, in the encoding in which they have no control characters."""
    if not re.search("[\x80-\x9f]", text) or max(text) > "\xff":
        return text
    content = text.encode("latin-1")
    japanese = 2 * sum(byte >= 0x80 for byte in content) >= len(content)
    for encoding in ("shift_jis", "cp1252") if japanese else ("cp1252",):
        try:
            return content.decode(encoding)
        except UnicodeError:
            continue
    return text

"""Boxes and masks in stored pixels, turned as the image is."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest

from visprog.values.image import Image
from visprog.values.orientation import StoredFrame, read_frame

WIDTH, HEIGHT, BOX = 64, 48, (30, 5, 44, 15)


def encoded(orientation: int, form: str = "png", size: tuple[int, int] = (WIDTH, HEIGHT)) -> bytes:
    """An image that is white in BOX and black elsewhere."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    buffer, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = orientation
    more = {"lossless": True} if form == "webp" else {}
    PIL.Image.fromarray(pixels).save(buffer, form, exif=exif, **more)
    return buffer.getvalue()


@pytest.mark.parametrize("form", ["jpeg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_and_masks_are_where_the_pixels_are(orientation: int, form: str) -> None:
    data = encoded(orientation, form)
    frame = read_frame(data)
    assert frame == StoredFrame(WIDTH, HEIGHT, orientation)
    shown = Image.open(data)
    assert frame.shown == shown.size
    white = shown.pixels[:, :, 0] > 127
    stored = np.zeros((1, HEIGHT, WIDTH), bool)
    stored[0, BOX[1] : BOX[3], BOX[0] : BOX[2]] = True
    assert (frame.turn_masks(stored)[0] == white).all()
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    assert frame.turn_boxes(np.array([BOX])).tolist() == [
        [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    ]


@pytest.mark.parametrize(
    ("orientation", "size", "stored"),
    [
        (1, (64, 48), False), (1, (None, None), False), (1, (0, 0), False), (1, ("64", "48"), False),
        (6, (64, 48), True), (6, (48, 64), False), (8, ("64", "48"), True), (5, (64.0, 48.0), True),
    ],
)  # fmt: skip
def test_the_stated_size_tells_the_frame(orientation: int, size: tuple[object, object], stored: bool) -> None:
    assert StoredFrame(WIDTH, HEIGHT, orientation).stated(*size) is stored


@pytest.mark.parametrize(
    ("frame", "size", "why"),
    [
        (StoredFrame(32, 24), (64, 48), "has 32 x 24 pixels, and its annotation is of 64 x 48"),
        (StoredFrame(64, 48), (48, 64), "was resized or exchanged"),
        (StoredFrame(64, 48, 6), (32, 24), "has 48 x 64 pixels"),
        (StoredFrame(64, 48, 6), (None, None), "does not show whether its coordinates are turned"),
        (StoredFrame(64, 48, 3), (64, 48), "does not show whether"),
        (StoredFrame(64, 64, 6), (64, 64), "does not show whether"),
    ],
)
def test_what_cannot_be_known_is_refused(frame: StoredFrame, size: tuple[object, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        frame.stated(*size)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_out_of_range_is_none(orientation: int) -> None:
    assert read_frame(encoded(orientation, "jpeg")).orientation == 1


def test_what_is_no_image_has_no_frame() -> None:
    with pytest.raises(ValueError, match="no image whose header"):
        read_frame(b"no image")

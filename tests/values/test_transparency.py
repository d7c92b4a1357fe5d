"""Drawings on transparency: the background that they are composed over shows them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from visprog.values import Box
from visprog.values.image import Image

WHITE, BLACK, GREY = 255, 0, 128


def disks(*colors: Any, hidden: tuple[int, int, int] = (0, 0, 0), alpha: int = 255) -> PIL.Image.Image:
    """A disk of each color, side by side, on pixels that are wholly transparent."""
    picture = PIL.Image.new("RGBA", (60 * len(colors), 60), (*hidden, 0))
    draw = PIL.ImageDraw.Draw(picture)
    for i, color in enumerate(colors):
        draw.ellipse((60 * i + 10, 10, 60 * i + 50, 50), fill=(*color, alpha))
    return picture


def background(source: Any) -> int:
    image = Image.open(source)
    assert image.alpha is not None and image.alpha[0, 0] == 0
    levels = np.unique(image.pixels[image.alpha == 0])
    assert len(levels) == 1
    return int(levels[0])


@pytest.mark.parametrize(
    ("colors", "level"),
    [
        ([(0, 0, 0)], WHITE), ([(128, 128, 128)], WHITE), ([(255, 0, 0)], WHITE), ([(255, 255, 0)], WHITE),
        ([(255, 255, 255)], BLACK), ([(240, 240, 235)], BLACK), ([(255, 255, 220)], BLACK),
        ([(255, 255, 255), (255, 0, 0)], BLACK), ([(255, 255, 255), (0, 0, 0)], GREY),
        ([(0, 0, 0)] * 6 + [(255, 255, 255)], GREY), ([(255, 255, 255), (0, 0, 0), (128, 128, 128)], WHITE),
    ],
)  # fmt: skip
def test_background_by_what_is_drawn(colors: list[tuple[int, int, int]], level: int) -> None:
    assert background(disks(*colors)) == level
    for hidden in ((255, 255, 255), (0, 255, 0)):  # what is not seen does not count
        assert background(disks(*colors, hidden=hidden)) == level


def test_what_is_white_inside_an_outline_stays_on_white() -> None:
    picture = disks((255, 255, 255))
    PIL.ImageDraw.Draw(picture).ellipse((10, 10, 50, 50), outline=(0, 0, 0, 255), width=2)
    assert background(picture) == WHITE


def test_a_half_transparent_drawing() -> None:
    assert background(disks((255, 255, 255), alpha=100)) == BLACK
    assert background(disks((0, 0, 0), alpha=100)) == WHITE


def test_transparent_corners_and_nothing_at_all_are_white() -> None:
    page = np.full((100, 100, 4), 255, np.uint8)
    page[:3, :3] = page[-3:, -3:] = 0
    assert background(page) == WHITE
    assert background(np.zeros((10, 10, 4), np.uint8)) == WHITE


def file(picture: PIL.Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def palette() -> PIL.Image.Image:
    picture = PIL.Image.new("P", (60, 60), 0)
    picture.putpalette([0, 0, 0, 255, 255, 255])
    PIL.ImageDraw.Draw(picture).ellipse((10, 10, 50, 50), fill=1)
    return picture


def test_white_drawings_in_every_form() -> None:
    white = disks((255, 255, 255))
    floats = np.asarray(white) / 255
    for source in (
        white, np.asarray(white), floats, (floats * 65535).astype(np.uint16), white.convert("LA"),
        file(white, "png"), file(white, "tiff"), file(white, "webp", lossless=True), file(white.convert("LA"), "png"),
        file(palette(), "png", transparency=0), file(palette(), "gif", transparency=0),
    ):  # fmt: skip
        assert background(source) == BLACK


@pytest.mark.parametrize("colors", [[(255, 255, 255)], [(255, 255, 255), (0, 0, 0)], [(0, 0, 0)]])
def test_an_image_leaves_as_it_came(colors: list[tuple[int, int, int]]) -> None:
    source = disks(*colors)
    image = Image.open(source)
    left = np.asarray(image.to_pil())
    seen = np.asarray(source)[:, :, 3] == 255
    assert (left[seen] == np.asarray(source)[seen]).all() and (
        left[:, :, 3] == np.asarray(source)[:, :, 3]
    ).all()
    assert Image.open(image.to_pil()).digest == image.digest
    inner = image.crop(Box(20, 20, 40, 40))  # where nothing is transparent
    assert (np.asarray(inner.to_pil())[:, :, :3] == colors[0]).all()

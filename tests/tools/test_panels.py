"""Panels of images that are laid out as several."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.tools.shapes import find_panels, find_polygons
from visprog.values import Box
from visprog.values.image import Image

Places = list[tuple[int, int, int, int]]


def laid_out(size: tuple[int, int], gutter: int, places: Places, seed: int = 0) -> Image:
    """An image (height, width) of one grey, with noise where the panels (left, top, right, bottom) lie."""
    pixels = np.full((*size, 3), gutter, np.uint8)
    rng = np.random.default_rng(seed)
    for left, top, right, bottom in places:
        pixels[top:bottom, left:right] = rng.integers(0, 255, (bottom - top, right - left, 3))
    return Image(pixels)


@pytest.mark.parametrize("gutter", [255, 0, 128])
@pytest.mark.parametrize(
    "places",
    [
        [(0, 0, 90, 100), (100, 0, 200, 100), (210, 0, 300, 100)],
        [(10, 10, 140, 60), (150, 10, 290, 60), (10, 70, 290, 140)],
        [(0, 0, 300, 40), (0, 43, 100, 140), (104, 43, 200, 140), (204, 43, 300, 140)],
    ],
    ids=["a row", "two and one", "one and three, thin gutters"],
)
def test_panels_between_gutters(places: Places, gutter: int) -> None:
    height = max(p[3] for p in places)
    found = find_panels(laid_out((height, 300), gutter, places))
    assert [r.box for r in found] == [Box(*p) for p in places]
    assert {r.label for r in found} == {"panel"}


def test_an_image_without_gutters_is_its_own_panel() -> None:
    assert [r.box for r in find_panels(laid_out((60, 80), 0, [(0, 0, 80, 60)]))] == [Box(0, 0, 80, 60)]


def test_empty_space_around_things_is_no_gutter() -> None:
    pixels = np.full((100, 300, 3), 255, np.uint8)
    pixels[40:60, 40:60], pixels[30:70, 200:240] = (200, 0, 0), (0, 0, 200)
    pixels[20:50, 60:90] = (250, 250, 250)
    dark = pixels.copy()
    dark[:, 140:160] = 60
    assert [r.box for r in find_panels(Image(dark))] == [Box(0, 0, 140, 100), Box(160, 0, 300, 100)]


def test_panels_of_a_crop_are_in_the_frame_of_the_whole() -> None:
    image = laid_out((100, 300), 255, [(0, 0, 90, 100), (100, 0, 200, 100), (210, 0, 300, 100)])
    found = find_panels(image.crop(Box(95, 0, 300, 100)))
    assert [r.box for r in found] == [Box(100, 0, 200, 100), Box(210, 0, 300, 100)]
    assert all(r.image is image for r in found)


def test_shapes_at_the_edge_of_the_image_are_found() -> None:
    pixels = np.full((120, 160, 3), 230, np.uint8)
    pixels[80:120, 20:60] = (200, 30, 30)  # a square on the floor
    pixels[0:30, 130:160] = (0, 0, 255)  # one in the corner
    pixels[:, 80:100] = 120  # a bar from top to bottom is no shape
    found = find_polygons(Image(pixels), "square")
    assert [(p.color, round(p.left), round(p.bottom)) for p in found] == [("red", 20, 120), ("blue", 130, 30)]


@pytest.mark.parametrize("size", [10, 16, 20, 30])
def test_small_discs_are_no_polygons(size: int) -> None:
    import cv2

    pixels = np.full((100, 100, 3), 211, np.uint8)
    cv2.circle(pixels, (50 * 16, 50 * 16), size * 8, (0, 0, 0), -1, cv2.LINE_AA, 4)
    assert find_polygons(Image(pixels)) == []


def test_the_gap_between_two_squares_is_no_shape() -> None:
    pixels = np.full((100, 100, 3), 211, np.uint8)
    pixels[20:50, 30:60], pixels[52:72, 40:60] = (0, 153, 255), (0, 153, 255)
    assert [round(p.area, -1) for p in find_polygons(Image(pixels))] == [900, 400]

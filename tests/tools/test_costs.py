"""Edits with the largest arguments: bounds on processor time, of a tenth of what it took when its growth was wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.tools.classify import classify
from visprog.tools.compare import compare_images, similar
from visprog.tools.edit import annotate, blur_background, color_pop, cover, mark, tag
from visprog.tools.imaging import object_colors
from visprog.tools.imaging.blurring import blur
from visprog.tools.imaging.inpainting import Hole, fill, find_hole
from visprog.tools.imaging.light import LitColors
from visprog.tools.imaging.region_masks import grown, reach, region_mask
from visprog.tools.inpaint import remove
from visprog.tools.measure import area_share, sharpness
from visprog.tools.transform import brighten, collage, resize, rotate
from visprog.values import Box, Circle, Line, Located, Mask, Point, Polygon, Region
from visprog.values.image import Image


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Bound on the processor time of this thread."""
    start = time.thread_time()
    yield
    assert time.thread_time() - start < seconds


def flat(width: int, height: int) -> Image:
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[: height // 2] = 200
    return Image(pixels)


def boxes(image: Image, number: int, side: float) -> list[Box]:
    places = np.random.default_rng(0).random((number, 2)) * (image.width - side, image.height - side)
    return [Box(x, y, x + side, y + side) for x, y in places.tolist()]


LARGE = flat(4000, 3000)


def test_labels_of_three_thousand_boxes() -> None:
    image = flat(1000, 1000)
    with at_most(8):
        tag(image, [Region(box, f"object {i}") for i, box in enumerate(boxes(image, 3000, 30))])


def test_labels_of_thousands_of_letters_are_cut() -> None:
    image = flat(2000, 1500)
    with at_most(8):
        made = tag(image, boxes(image, 100, 30), ["long label " * 400] * 100)
    same = tag(image, boxes(image, 1, 30), ["long label " * 400])
    cut = tag(image, boxes(image, 1, 30), [("long label " * 400)[:59] + "…"])
    assert np.array_equal(same.pixels, cut.pixels)
    assert made.size == image.size


def test_labels_fit_on_thin_images() -> None:
    thin = flat(20_000, 40)
    made = tag(thin, [Box(100, 5, 200, 30)], ["dog"])
    assert (made.pixels[:, 1000:] == thin.pixels[:, 1000:]).all()


@pytest.mark.parametrize("style", ["box", "blur", "pixelate", "emoji"])
def test_two_hundred_regions_of_twelve_megapixels(style: str) -> None:
    with at_most(4):
        made = cover(LARGE, boxes(LARGE, 200, 80), style)
    assert made.size == LARGE.size


@pytest.mark.parametrize("style", ["blur", "emoji"])
def test_one_region_of_twelve_megapixels(style: str) -> None:
    with at_most(8):
        cover(LARGE, [LARGE.box], style)


@pytest.mark.parametrize("edit", [blur_background, color_pop])
def test_much_is_kept_of_twelve_megapixels(edit: Callable[..., Image]) -> None:
    mask = Mask(np.ones((1000, 1000), bool), Box(0, 0, 1000, 1000))
    with at_most(9):
        edit(LARGE, [Region(mask.box, mask=mask), *boxes(LARGE, 300, 12)])


@pytest.mark.parametrize("draw", [annotate, mark])
def test_a_thousand_regions_are_drawn(draw: Callable[..., Image]) -> None:
    with at_most(12):
        assert draw(LARGE, boxes(LARGE, 1000, 60)).size == LARGE.size


def test_edits_of_twelve_megapixels() -> None:
    with at_most(12):
        for made in (rotate(LARGE, 20), brighten(LARGE, 1.2), resize(LARGE, 3000), collage([LARGE, LARGE])):
            assert max(made.size) >= 3000


def test_measures_of_twelve_megapixels() -> None:
    with at_most(6):
        assert compare_images(LARGE, brighten(LARGE, 1.1)) == []
        assert similar(LARGE, [LARGE] * 5)[0] == 1.0
        assert 0 <= sharpness(LARGE) <= 1
        assert 0 < area_share(LARGE, boxes(LARGE, 1000, 300)) < 1


@pytest.mark.parametrize("size", [(30_000, 1), (1, 30_000), (30_000, 8)])
def test_thin_images(size: tuple[int, int]) -> None:
    image = flat(*size)
    half = Box(0, 0, max(1, size[0] // 2), max(1, size[1] // 2))
    with at_most(2):
        assert blur_background(image, [half]).size == size
        assert cover(image, [half], "emoji").size == size


def test_half_of_twelve_megapixels_is_removed() -> None:
    with at_most(6):
        made = remove(LARGE, Box(1000, 0, 3000, 3000))
    assert np.abs(made.pixels[:1400].astype(int) - 200).mean() < 10
    assert np.abs(made.pixels[1600:].astype(int) - 128).mean() < 10


def test_regions_that_are_too_large_together_are_refused() -> None:
    for edit in (cover, blur_background, color_pop, remove):
        with pytest.raises(ToolError, match="give fewer or smaller ones, of 300 million pixels together"):
            edit(LARGE, [LARGE.box] * 26)
    assert cover(LARGE, [LARGE.box] * 25).size == LARGE.size


def test_a_hole_of_many_parts_is_no_work_for_a_model() -> None:
    image = flat(300, 300)
    hole = np.zeros((300, 300), bool)
    hole[::4, ::4] = True
    with pytest.raises(ToolError, match="fall into 5625 parts"):
        fill(image, Hole(hole, hole), 16, 2.0, lambda pixels, mask: pixels)


def test_a_model_sees_a_long_hole_without_the_square_around_it() -> None:
    strip = flat(30_000, 8)
    made = fill(strip, find_hole(strip, Box(10, 2, 29_990, 6), "replace"), 16, 2.0, lambda p, m: p * 0 + 9)
    assert (made.pixels[3:5, 100:-100] == 9).all()


@pytest.mark.parametrize("sigma", [8.5, 20.0, 90.0])
def test_a_wide_blur_is_that_of_full_size(sigma: float) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (300, 400, 3), dtype=np.uint8)
    pixels[:150, :200] //= 3
    whole = cv2.GaussianBlur(pixels, (0, 0), sigma).astype(int)
    assert np.abs(blur(pixels, sigma) - whole).mean() < 2
    assert np.abs(blur(pixels, sigma) - whole).max() < 12


@pytest.mark.parametrize(
    "region",
    [
        Circle(Point(30, 40), 12.3),
        Circle(Point(2, 3), 15.0),
        Polygon((Point(10.2, 10.7), Point(70.1, 20.4), Point(40, 77.7))),
        Line((Point(5, 5), Point(5, 70), Point(60, 70))),
        Box(3.2, 4.7, 30.1, 50.9),
        Mask(np.eye(20, dtype=bool), Box(70, 10, 90, 30)),
        Region(Box(1, 1, 9, 9), mask=Mask(np.zeros((8, 8), bool), Box(1, 1, 9, 9))),
    ],
)
@pytest.mark.parametrize("part", [None, Box(4, 6, 80, 75)])
def test_a_window_holds_all_pixels_of_a_region(region: Located, part: Box | None) -> None:
    image = flat(85, 80)
    image = image if part is None else image.crop(part)
    window = reach(image, region)
    assert window is not None
    whole = np.zeros((image.height, image.width), bool)
    whole[window] = region_mask(image, region, window)
    assert whole.any()
    assert np.array_equal(whole, region_mask(image, region))


def test_a_mask_grows_by_its_rim() -> None:
    mask = np.zeros((21, 21), bool)
    mask[10, 10] = True
    rows, columns = np.ogrid[-10:11, -10:11]
    assert np.array_equal(grown(mask, 4.5), rows**2 + columns**2 <= 4.5**2)
    assert not grown(np.zeros((4, 4), bool), 3).any()


def test_five_hundred_options_look_at_the_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    photo = Image(np.random.default_rng(0).integers(0, 255, (200, 200, 3), dtype=np.uint8))
    looked: list[Image] = []
    original = object_colors.colors_in_light

    def count(rgb: NDArray[np.uint8], weights: NDArray[np.float64], root: Image) -> LitColors:
        looked.append(root)
        return original(rgb, weights, root)

    monkeypatch.setattr(object_colors, "colors_in_light", count)
    options = ["dark red", "green", "grey", "light blue"] * 125
    assert classify(photo, options) in options
    assert len(looked) <= 2

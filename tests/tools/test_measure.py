"""Sharpness, brightness, shares of an area, and sizes by a reference."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.registry import cautions
from visprog.tools.measure import area_share, brightness, measure, sharpness
from visprog.values import Box, Circle, Line, Mask, Point, Polygon, Region
from visprog.values.image import Image


def texture(width: int = 400, height: int = 300) -> Image:
    """Blobs of many sizes, as in a photograph in focus."""
    rng = np.random.default_rng(0)
    pixels = np.full((height, width, 3), 90, np.uint8)
    for x, y, r, level in rng.integers([0, 0, 3, 0], [width, height, 40, 255], (200, 4)).tolist():
        cv2.circle(pixels, (x, y), r, (level, 255 - level, level // 2), -1, cv2.LINE_AA)
    return Image(pixels)


def blurred(image: Image, sigma: float) -> Image:
    return Image(cv2.GaussianBlur(image.pixels, (0, 0), sigma))


def test_blur_lowers_sharpness() -> None:
    image = texture()
    scores = [sharpness(image), *(sharpness(blurred(image, sigma)) for sigma in (1, 2, 4))]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 0.5 and scores[2] < 0.45


def test_noise_does_not_make_a_blurred_image_sharp() -> None:
    soft = blurred(texture(), 3).pixels.astype(int)
    noisy = np.clip(soft + np.random.default_rng(0).normal(0, 2, soft.shape), 0, 255).astype(np.uint8)
    assert sharpness(Image(noisy)) < 0.45


def test_a_flat_part_does_not_count_beside_one_with_edges() -> None:
    pixels = blurred(texture(), 4).pixels.copy()
    pixels[:75, :100] = 128
    pixels[10:60:8, 10:90:8] = 132  # faint and sharp, as the blocks of JPEG are
    assert sharpness(Image(pixels)) < 0.45


def test_the_sharpest_part_counts() -> None:
    image = texture()
    pixels = blurred(image, 6).pixels.copy()
    pixels[100:200, 120:260] = image.pixels[100:200, 120:260]
    mixed = Image(pixels)
    assert sharpness(mixed) > sharpness(blurred(image, 6)) + 0.2
    assert sharpness(Region(Box(0, 0, 100, 300), image=mixed)) < 0.5


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 2), (64, 64)])
def test_nothing_is_sharp_without_edges(size: tuple[int, int]) -> None:
    flat = Image(np.full((size[1], size[0], 3), 77, np.uint8))
    assert sharpness(flat) == 0.0
    noise = np.random.default_rng(0).integers(0, 255, flat.pixels.shape, dtype=np.uint8)
    assert 0 <= sharpness(Image(noise)) <= 1


@pytest.mark.parametrize(("level", "wanted"), [(0, 0), (119, 50), (255, 100)])
def test_brightness_is_that_of_the_eye(level: int, wanted: float) -> None:
    image = Image(np.full((30, 40, 3), level, np.uint8))
    assert brightness(image) == pytest.approx(wanted, abs=0.3)


def test_a_mask_alone_counts() -> None:
    pixels = np.zeros((40, 40, 3), np.uint8)
    pixels[:, 20:] = 255
    image = Image(pixels)
    own = Mask(np.ones((40, 20), bool), Box(20, 0, 40, 40))
    assert brightness(Region(Box(0, 0, 40, 40), image=image, mask=own)) > 99
    with pytest.raises(ToolError, match="does not know its image"):
        brightness(Region(Box(0, 0, 5, 5)))


def test_shares_of_an_area() -> None:
    image = Image(np.zeros((100, 200, 3), np.uint8))
    assert area_share(image, []) == 0
    assert area_share(image, [Box(0, 0, 100, 100), Box(50, 0, 150, 100)]) == pytest.approx(0.75)  # together
    assert area_share(image, [Box(-50, 0, 50, 100)]) == pytest.approx(0.25)  # as far as it lies in the image
    assert area_share(image, [Box(500, 0, 600, 100)]) == 0
    assert area_share(image, [Circle(Point(100, 50), 40.0)]) == pytest.approx(math.pi * 0.08, rel=0.03)
    half = Mask(np.eye(100, dtype=bool) | np.tri(100, dtype=bool), Box(0, 0, 100, 100))
    assert area_share(image, [Region(half.box, mask=half)]) == pytest.approx(0.2525)
    part = image.crop(Box(100, 0, 200, 100))
    assert area_share(part, [Box(0, 0, 150, 100)]) == pytest.approx(0.5)


def test_the_share_of_a_phrase_is_refused_if_it_cannot_be_seen() -> None:
    with pytest.raises(Refused, match="sky"):
        area_share(texture(), "sky")


def test_the_share_of_a_phrase() -> None:
    pixels = np.full((100, 200, 3), 255, np.uint8)
    cv2.rectangle(pixels, (20, 20), (79, 79), (255, 0, 0), -1)
    assert area_share(Image(pixels), "red square") == pytest.approx(0.18, abs=0.02)


def tilted(angle: float) -> Region:
    """A bar of 120 by 20 pixels at an angle, with its mask."""
    pixels = np.zeros((200, 200), np.uint8)
    corners = cv2.boxPoints(((100, 100), (120, 20), angle)).round().astype(np.int32)
    cv2.fillPoly(pixels, [corners], 1)
    mask = Mask.tight(pixels.astype(bool))
    return Region(mask.box, "bar", mask=mask)


@pytest.mark.parametrize("angle", [0, 30, 45, 90])
def test_sides_follow_the_object(angle: float) -> None:
    reference = Box(0, 0, 50, 30)
    bar = tilted(angle)
    assert measure(bar, reference, 10) == pytest.approx(24, rel=0.03)
    assert measure(bar, reference, 10, side="shorter") == pytest.approx(4, abs=0.7)
    assert measure(bar, reference, 6, "width", "height") == pytest.approx(bar.width / 5, rel=0.02)


def test_sides_of_shapes() -> None:
    reference = Line((Point(0, 0), Point(30, 40)))  # 50 pixels along itself
    assert measure(Circle(Point(9, 9), 25.0), reference, 1) == pytest.approx(1)
    triangle = Polygon((Point(0, 0), Point(100, 0), Point(0, 50)))
    assert measure(triangle, reference, 1, "width") == pytest.approx(2)
    assert measure(reference, reference, 3) == pytest.approx(3)


def test_a_measure_says_what_it_supposes() -> None:
    with cautions() as said:
        measure(Box(0, 0, 20, 10), Box(0, 0, 20, 20), 1)
    assert len(said) == 1 and "equally far from the camera" in next(iter(said))


@pytest.mark.parametrize("length", [0, -3, float("nan"), float("inf")])
def test_lengths_that_are_none(length: float) -> None:
    with pytest.raises(ToolError, match="a number above 0"):
        measure(Box(0, 0, 5, 5), Box(0, 0, 50, 50), length)


def test_references_that_measure_nothing() -> None:
    with pytest.raises(Refused, match="too few to measure by"):
        measure(Box(0, 0, 5, 5), Box(9, 9, 9, 9), 1)
    one, two = texture(), blurred(texture(), 3)
    with pytest.raises(ToolError, match="in one image"):
        measure(Region(Box(0, 0, 50, 50), image=one), Region(Box(0, 0, 50, 50), image=two), 1)

"""Edits of whole images: sizes, angles, light, collages, and arguments that no image can have."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from visprog.errors import ToolError
from visprog.tools.transform import brighten, collage, grayscale, resize, rotate
from visprog.values.image import Image


@pytest.fixture
def noise() -> Image:
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    return Image(pixels, name="noise.png")


@pytest.fixture
def disc() -> Image:
    """A red disc on transparency."""
    rows, columns = np.ogrid[:60, :80]
    rgba = np.zeros((60, 80, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[..., 3] = 255 * ((rows - 30) ** 2 + (columns - 40) ** 2 < 20**2)
    return Image.open(rgba)


def test_sizes(noise: Image) -> None:
    assert resize(noise, 80).size == (80, 60)
    assert resize(noise, height=240).size == (320, 240)
    assert resize(noise, 50.4, 70.0).size == (50, 70)
    assert resize(noise, 1).size == (1, 1)
    made = resize(noise, noise.width)
    assert np.array_equal(made.pixels, noise.pixels) and made.root is made and made.name == "noise.png"


@pytest.mark.parametrize("turns", [-3, -1, 0, 1, 2, 5])
def test_multiples_of_90_change_no_pixel(noise: Image, turns: int) -> None:
    assert np.array_equal(rotate(noise, 90 * turns).pixels, np.rot90(noise.pixels, -turns))


def test_other_angles_keep_the_whole_image() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[:10, :10] = 255  # the top left corner
    made = rotate(Image(pixels), 30)
    assert made.size == pytest.approx(
        (200 * math.cos(math.pi / 6) + 50, 100 + 100 * math.cos(math.pi / 6)), abs=2
    )
    assert made.alpha is not None and made.alpha[0, 0] == 0
    assert np.count_nonzero(made.alpha) == pytest.approx(20_000, rel=0.02)
    inside = (made.pixels.min(-1) > 200) & (made.alpha > 200)
    rows, columns = np.nonzero(inside)
    assert (
        columns.mean() > made.width * 0.2 and rows.mean() < made.height * 0.1
    )  # clockwise: it went up, to the right


def test_the_corners_are_white_in_files_without_transparency(noise: Image, tmp_path: Path) -> None:
    rotate(noise, 45).save(tmp_path / "turned.jpg")
    assert (Image.open(tmp_path / "turned.jpg").pixels[:5, :5] > 245).all()


def test_brightness_is_multiplied(noise: Image, disc: Image) -> None:
    assert np.array_equal(brighten(noise, 2).pixels, np.minimum(noise.pixels.astype(int) * 2, 255))
    assert brighten(noise, 0).pixels.max() == 0
    assert brighten(noise, 1e300).pixels[noise.pixels > 0].min() == 255
    made = brighten(disc, 0.5)
    assert made.pixels[30, 40].tolist() == [100, 0, 0]
    assert np.array_equal(made.alpha, disc.alpha)  # what is transparent stays so


def test_grey_has_the_lightness_of_the_colour(noise: Image, disc: Image) -> None:
    grey = grayscale(noise).pixels.astype(int)
    assert (np.ptp(grey, axis=2) == 0).all()
    weighted = noise.pixels @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey[..., 0] - weighted).max() <= 1
    assert np.array_equal(grayscale(disc).alpha, disc.alpha)


def test_transparency_is_kept(disc: Image) -> None:
    for made in (resize(disc, 160), rotate(disc, 90), rotate(disc, 10)):
        assert made.alpha is not None and made.alpha[0, 0] == 0
        middle = made.pixels[made.height // 2, made.width // 2].tolist()
        assert middle == pytest.approx([200, 0, 0], abs=2)


def test_collage() -> None:
    images = [Image(np.full((40, 60, 3), 50 * i, np.uint8)) for i in range(5)]
    made = collage(images)
    assert made.width == 3 * 62 + 2 and made.height == 2 * 42 + 2
    assert [made.pixels[10, 10 + 62 * i, 0] for i in range(3)] == [0, 50, 100]
    assert made.pixels[52, 72, 0] == 200 and (made.pixels[52, 134] == 255).all()
    assert collage(images, 1).size == (64, 5 * 42 + 2)
    assert collage(images, 99).size == (5 * 62 + 2, 44)
    tall, small = Image(np.zeros((100, 20, 3), np.uint8)), Image(np.zeros((5, 5, 3), np.uint8))
    assert (
        np.count_nonzero(collage([tall, small], 2).pixels[:, 24:].max(-1) == 0) == 20 * 20
    )  # as its cell allows


def test_large_collages_are_scaled_down() -> None:
    large = Image(np.zeros((3000, 4000, 3), np.uint8))
    assert collage([large] * 12, 4).width * collage([large] * 12, 4).height <= 100_000_000


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("edit", "arguments", "message"),
    [
        (resize, (), "needs a width or a height"),
        (resize, (0,), "at least 1 pixel"),
        (resize, (0.5,), r"write resize\(image, image.width \* factor\)"),
        (resize, (-5, 5), "at least 1 pixel"),
        (resize, (NAN,), "at least 1 pixel"),
        (resize, (INF,), "at least 1 pixel"),
        (resize, (1e12,), "too large"),
        (resize, (20_000, 20_000), "too large"),
        (rotate, (NAN,), "needs an angle"),
        (rotate, (INF,), "needs an angle"),
        (brighten, (NAN,), "factor of at least 0"),
        (brighten, (-1,), "factor of at least 0"),
    ],
)
def test_odd_arguments(
    noise: Image, edit: Callable[..., Image], arguments: tuple[Any, ...], message: str
) -> None:
    with pytest.raises(ToolError, match=message):
        edit(noise, *arguments)


def test_odd_collages(noise: Image) -> None:
    with pytest.raises(ToolError, match="no image"):
        collage([])
    with pytest.raises(ToolError, match="at least 1 column"):
        collage([noise], 0)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_thin_images(size: tuple[int, int]) -> None:
    image = Image(np.zeros((size[1], size[0], 3), np.uint8))
    assert min(rotate(image, 33).size) >= 1
    assert resize(image, 7).width == 7 or size == (1, 3000)
    assert collage([image, image]).width > size[0]

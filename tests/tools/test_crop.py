from __future__ import annotations

import numpy as np
import pytest

from visprog.errors import ToolError
from visprog.tools.crop import crop, crop_above, crop_below, crop_half, crop_left_of, crop_right_of
from visprog.values import Box, Circle, Point, Region
from visprog.values.image import Image


@pytest.fixture
def image() -> Image:
    y, x = np.mgrid[:60, :100]
    return Image(np.stack([x, y, x + y], 2).astype(np.uint8))


def test_crop_takes_the_box(image: Image) -> None:
    part = crop(image, Box(10, 20, 40, 50))
    assert part.size == (30, 30)
    assert part.pixels[0, 0].tolist() == [10, 20, 30]
    assert part.box == Box(10, 20, 40, 50)


def test_margin_is_a_share_of_the_size_and_is_cut_at_the_frame(image: Image) -> None:
    region = Region(Box(10, 20, 40, 30))
    assert crop(image, region, margin=0.1).box == Box(7, 19, 43, 31)
    assert crop(image, region, margin=1.0).box == Box(0, 10, 70, 40)


def test_negative_margin_shrinks_at_most_to_the_centre(image: Image) -> None:
    assert crop(image, Box(10, 10, 30, 30), margin=-0.25).box == Box(15, 15, 25, 25)
    with pytest.raises(ToolError, match="nothing to crop"):
        crop(image, Box(10, 10, 30, 30), margin=-5.0)


def test_outside_is_refused(image: Image) -> None:
    with pytest.raises(ToolError, match="the region holds no pixels"):
        crop(image, Box(200, 0, 210, 10))


def test_beside(image: Image) -> None:
    region = Region(Box(20, 10, 50, 40))
    assert crop_left_of(image, region).box == Box(0, 0, 20, 60)
    assert crop_right_of(image, region).box == Box(50, 0, 100, 60)
    assert crop_above(image, region).box == Box(0, 0, 100, 10)
    assert crop_below(image, region).box == Box(0, 40, 100, 60)


def test_beside_a_shape(image: Image) -> None:
    assert crop_right_of(image, Circle(Point(30, 30), 10)).box == Box(40, 0, 100, 60)


@pytest.mark.parametrize(
    ("tool", "box"),
    [
        (crop_left_of, Box(0, 5, 10, 10)),
        (crop_right_of, Box(5, 5, 100, 10)),
        (crop_above, Box(5, 0, 10, 10)),
        (crop_below, Box(5, 5, 10, 60)),
    ],
)
def test_nothing_beside_is_said(image: Image, tool: object, box: Box) -> None:
    with pytest.raises(ToolError, match="holds no pixels"):
        tool(image, Region(box))  # type: ignore[operator]


def test_halves(image: Image) -> None:
    assert crop_half(image, "left").box == Box(0, 0, 50, 60)
    assert crop_half(image, "right").box == Box(50, 0, 100, 60)
    assert crop_half(image, "top").box == Box(0, 0, 100, 30)
    assert crop_half(image, "bottom").box == Box(0, 30, 100, 60)


def test_halves_of_an_odd_size_share_no_pixel(image: Image) -> None:
    odd = crop(image, Box(0, 0, 7, 5))
    left, right = crop_half(odd, "left").box, crop_half(odd, "right").box
    assert left.right == right.left and left.width + right.width == 7


def test_one_pixel_has_no_half(image: Image) -> None:
    with pytest.raises(ToolError, match="the left half"):
        crop_half(crop(image, Box(3, 3, 4, 4)), "left")


def test_crops_of_crops_stay_in_the_frame_of_the_root(image: Image) -> None:
    part = crop_half(crop(image, Box(20, 10, 80, 50)), "right")
    assert part.box == Box(50, 10, 80, 50)
    again = crop_above(part, Region(Box(60, 30, 70, 40)))
    assert again.box == Box(50, 10, 80, 30)
    assert again.root is image

"""Annotations, marks, and cut-outs: what is drawn where, and that the rest of the image stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from visprog.errors import ToolError
from visprog.tools.edit import annotate, mark, remove_background
from visprog.values import Box, Circle, Line, Mask, Point, Polygon, Region
from visprog.values.image import Image


def grey(width: int = 640, height: int = 480) -> Image:
    return Image(np.full((height, width, 3), 120, np.uint8))


def region(image: Image, *box: float, label: str = "dog", mask: bool = False, score: float = 1.0) -> Region:
    place = Box(*box)
    pixels = Mask(np.ones((round(place.height), round(place.width)), bool), place) if mask else None
    return Region(place, label, score, image.root, pixels)


def changed(made: Image, image: Image) -> np.ndarray:
    found: np.ndarray = (made.pixels != image.pixels).any(-1)
    return found


@pytest.mark.parametrize("draw", [annotate, mark])
def test_nothing_changes_far_from_a_region(draw: Callable[..., Image]) -> None:
    image = grey()
    made = draw(image, [region(image, 200, 200, 300, 300)])
    assert made.size == image.size and made.root is made
    seen = changed(made, image)
    assert seen[198:204, 210:290].any(1).all() or seen.any()
    assert not seen[320:].any() and not seen[:160].any() and not seen[:, 320:].any()


def test_masks_are_tinted_and_boxes_are_not() -> None:
    image = grey()
    tinted = annotate(image, [region(image, 200, 200, 300, 300, mask=True)])
    assert changed(tinted, image)[250, 250]
    assert not changed(annotate(image, [region(image, 200, 200, 300, 300)]), image)[250, 250]


def test_labels_of_one_class_have_colours_of_their_own() -> None:
    image = grey()
    made = annotate(image, [region(image, 50, 200, 150, 300), region(image, 300, 200, 400, 300)])
    left, right = made.pixels[200:300, 51], made.pixels[200:300, 301]
    assert (left[50] != right[50]).any()


def test_outlines_of_shapes_are_drawn() -> None:
    image = grey()
    shapes = [
        Circle(Point(100, 100), 40.0),
        Polygon((Point(200, 50), Point(300, 60), Point(250, 150))),
        Line((Point(400, 50), Point(500, 150))),
    ]
    seen = changed(annotate(image, shapes, ["", "", ""]), image)
    assert seen[100, 60] and seen[55, 250] and seen[100, 450]
    assert not seen[100, 100] and not seen[90, 250] and not seen[60, 480]


@pytest.mark.parametrize("level", [0, 120, 255])
def test_numbers_are_legible_on_any_ground(level: int) -> None:
    """White digits on a dark plate with a white rim."""
    image = Image(np.full((300, 400, 3), level, np.uint8))
    made = mark(image, [region(image, 100, 100, 300, 250, mask=True)])
    plate = made.pixels[165:186, 185:216].astype(int)
    assert (plate.min(-1) > 200).any()  # the digit, the rim
    assert (plate.min(-1) < 90).sum() > 100  # the plate


def test_numbers_do_not_cover_one_another() -> None:
    image = grey()
    same = [region(image, 100, 100, 220, 200)] * 4
    one, all_four = changed(mark(image, same[:1]), image), changed(mark(image, same), image)
    assert np.count_nonzero(all_four) > np.count_nonzero(one) + 3 * 200


def test_crops_and_regions_beyond_the_image() -> None:
    image = grey()
    part = image.crop(Box(100, 100, 300, 300))
    made = mark(part, [region(image, 150, 150, 200, 200), region(image, 500, 400, 600, 450)])
    assert made.size == part.size
    assert changed(made, part)[:, 40:110].any() and not changed(made, part)[130:].any()
    assert not changed(annotate(part, [region(image, 500, 400, 600, 450)]), part).any()


@pytest.mark.parametrize("size", [(1, 1), (3, 400), (30_000, 8)])
def test_thin_images(size: tuple[int, int]) -> None:
    image = grey(*size)
    for box in (image.box, Box(0, 0, 0, 0), Box(-50, -50, 1, 1)):
        assert annotate(image, [Region(box, "a long label " * 400, 0.5)]).size == size
        assert mark(image, [box]).size == size


def test_lists() -> None:
    image = grey()
    assert np.array_equal(annotate(image, []).pixels, image.pixels)
    assert np.array_equal(mark(image, []).pixels, image.pixels)
    with pytest.raises(ToolError, match="one label a region"):
        annotate(image, [image.box], ["a", "b"])


def test_what_is_kept_stays_and_the_rest_is_transparent(tmp_path: Path) -> None:
    pixels = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8), (0, 0), 3
    )
    image = Image(pixels)
    made = remove_background(image, [region(image, 40, 30, 100, 90, mask=True)])
    assert made.size == image.size and made.alpha is not None
    assert (made.alpha[36:84, 46:94] == 255).all() and (made.alpha[:15] == 0).all()
    assert np.array_equal(made.pixels[40:80, 50:90], image.pixels[40:80, 50:90])
    made.save(tmp_path / "cut.png")
    again = Image.open(tmp_path / "cut.png")
    assert again.alpha is not None and np.array_equal(again.alpha, made.alpha)
    made.save(tmp_path / "cut.jpg")
    assert (Image.open(tmp_path / "cut.jpg").pixels[:15] > 245).all()


def test_nothing_to_keep_is_an_error() -> None:
    image = grey()
    with pytest.raises(ToolError, match="nothing was found"):
        remove_background(image, [])
    with pytest.raises(ToolError, match="outside the image"):
        remove_background(image, [Box(900, 900, 950, 950)])

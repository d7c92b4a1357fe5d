"""Differences of two images of one view, and likeness."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import pytest

from visprog.errors import Refused, ToolError
from visprog.tools.compare import compare_images, similar
from visprog.tools.transform import brighten, resize, rotate
from visprog.values import Box
from visprog.values.image import Image

ADDED = Box(200, 120, 240, 170)


def scene(seed: int = 0, width: int = 480, height: int = 360) -> Image:
    """Overlapping blobs with texture."""
    rng = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), rng.integers(80, 160, 3), np.uint8)
    for x, y, r, *color in rng.integers(
        [0, 0, 4, 30, 30, 30], [width, height, 45, 220, 220, 220], (150, 6)
    ).tolist():
        cv2.circle(pixels, (x, y), r, color, -1, cv2.LINE_AA)
    return Image(pixels)


def with_object(image: Image) -> Image:
    pixels = image.pixels.copy()
    left, top, right, bottom = (int(v) for v in (ADDED.left, ADDED.top, ADDED.right, ADDED.bottom))
    pixels[top:bottom, left:right] = (250, 20, 240)
    return Image(pixels)


def jpeg(image: Image, quality: int) -> Image:
    buffer = io.BytesIO()
    image.to_pil().save(buffer, "jpeg", quality=quality)
    return Image(np.asarray(PIL.Image.open(buffer)))


def noisy(image: Image) -> Image:
    noise = np.random.default_rng(1).normal(0, 6, image.pixels.shape)
    return Image((image.pixels + noise).clip(0, 255).astype(np.uint8))


def shifted(image: Image) -> Image:
    warp = cv2.getRotationMatrix2D((image.width / 2, image.height / 2), 0.6, 1.0)
    warp[:, 2] += [6, -4]
    return Image(cv2.warpAffine(image.pixels, warp, image.size, borderMode=cv2.BORDER_REPLICATE))


CHANGES = {
    "none": lambda image: image,
    "JPEG": lambda image: jpeg(image, 40),
    "noise": noisy,
    "brighter": lambda image: brighten(image, 1.3),
    "darker": lambda image: brighten(image, 0.7),
    "smaller": lambda image: resize(image, image.width // 2),
    "camera": shifted,
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_the_whole_image_is_no_difference(change: str) -> None:
    assert compare_images(scene(), CHANGES[change](scene())) == []


@pytest.mark.parametrize("change", CHANGES)
def test_an_object_is_found_whatever_else_changes(change: str) -> None:
    image = scene()
    for a, b in ((image, CHANGES[change](with_object(image))), (with_object(image), CHANGES[change](image))):
        found = compare_images(a, b)
        assert len(found) == 1 and found[0].iou(ADDED) > 0.65, change
        assert found[0].label == "difference" and found[0].image is a and found[0].mask is not None


def test_differences_lie_in_the_frame_of_the_first() -> None:
    image, other = scene(), with_object(scene())
    frame = Box(100, 60, 400, 300)
    (found,) = compare_images(image.crop(frame), other.crop(frame))
    assert found.iou(ADDED) > 0.65
    (found,) = compare_images(resize(image, 960), other)
    assert found.iou(Box(400, 240, 480, 340)) > 0.65


def test_thin_lines_and_letters_count_in_drawings() -> None:
    pages = [np.full((200, 400, 3), 255, np.uint8) for _ in range(3)]
    for page, text in zip(pages, ("12.50", "17.50", "12.50"), strict=True):
        cv2.putText(page, text, (40, 80), cv2.FONT_HERSHEY_SIMPLEX, 1, (0, 0, 0), 2)
    cv2.line(pages[2], (20, 150), (300, 180), (0, 0, 255), 1)
    one, other, lined = map(Image, pages)
    assert [r.box.inside(Box(45, 50, 90, 90)) for r in compare_images(one, other)] == [True]
    assert [r.width > 250 for r in compare_images(one, lined)] == [True]


def test_other_views_are_refused() -> None:
    with pytest.raises(Refused, match="do not show one view"):
        compare_images(scene(0), scene(1))
    with pytest.raises(Refused, match="differ in more than scale"):
        compare_images(scene(), scene(0, 300, 360))


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (9, 9), (2000, 5)])
def test_small_and_thin_images(size: tuple[int, int]) -> None:
    image = Image(np.full((size[1], size[0], 3), 90, np.uint8))
    assert compare_images(image, image) == []
    assert compare_images(image, brighten(image, 1.0)) == []
    assert similar(image, [image]) == [1.0]


def test_copies_are_alike_and_others_are_not() -> None:
    image = scene()
    copies = [image, jpeg(image, 25), resize(image, 160), rotate(image, 90), brighten(image, 0.6)]
    copies += [Image(image.crop(Box(60, 40, 420, 320)).pixels), with_object(image), rotate(image, 20)]
    assert min(similar(image, copies)) > 0.8
    assert max(similar(image, [scene(seed) for seed in range(1, 5)])) < 0.75
    assert similar(image, [image]) == [1.0]


def test_flat_images_are_alike_in_their_colour_alone() -> None:
    flat = [Image(np.full((50, 50, 3), level, np.uint8)) for level in (0, 128, 255)]
    assert similar(flat[1], flat) == [pytest.approx(0, abs=0.01), 1.0, pytest.approx(0, abs=0.01)]


def test_nothing_to_compare_with() -> None:
    with pytest.raises(ToolError, match="no images"):
        similar(scene(), [])

"""Barcodes that the test draws itself: EAN-13, EAN-8 and UPC-A."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.tools.text import find_barcodes
from visprog.tools.transform import resize, rotate
from visprog.values import Box
from visprog.values.image import Image

LEFT = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011".split()
PARITY = "LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL".split()
"""Of the left half of an EAN-13, by its first digit (GS1 General Specifications)."""


def bars(number: str) -> np.ndarray:
    """Modules of a code, 1 where it is black."""

    def digit(value: str, way: str) -> str:
        left = LEFT[int(value)]
        right = left.translate(str.maketrans("01", "10"))
        return {"L": left, "R": right, "G": right[::-1]}[way]

    number = "0" + number if len(number) == 12 else number
    half = 4 if len(number) == 8 else 6
    ways = "LLLL" if half == 4 else PARITY[int(number[0])]
    digits = number if half == 4 else number[1:]
    left = "".join(digit(d, way) for d, way in zip(digits[:half], ways, strict=True))
    right = "".join(digit(d, "R") for d in digits[half:])
    return np.array([int(bit) for bit in f"101{left}01010{right}101"], np.uint8)


def drawn(number: str, module: int = 3, height: int = 90) -> np.ndarray:
    line = np.pad(255 - 255 * bars(number), 12, constant_values=255).repeat(module)
    code = np.tile(line, (height, 1))
    return np.pad(code, ((40, 40), (0, 0)), constant_values=255)


@pytest.mark.parametrize("number", ["4006381333931", "5901234123457", "96385074", "036000291452"])
def test_numbers_are_read(number: str) -> None:
    image = Image.open(drawn(number))
    labels = [region.label for region in find_barcodes(image)]
    assert labels in ([number], ["0" + number])
    (found,) = find_barcodes(image)
    assert found.inside(image.box) and found.width > 0.6 * image.width


def test_a_code_in_a_large_image_lies_where_it_is() -> None:
    page = np.full((2600, 3400), 230, np.uint8)
    code = drawn("4006381333931")
    page[1900 : 1900 + code.shape[0], 2500 : 2500 + code.shape[1]] = code
    place = Box(2500, 1900, 2500 + code.shape[1], 1900 + code.shape[0])
    for image in (Image.open(page), Image.open(page).crop(Box(1700, 1300, 3400, 2600))):
        (found,) = find_barcodes(image)
        assert found.label == "4006381333931" and found.inside(place)


def test_turned_and_two_codes() -> None:
    both = np.vstack([drawn("4006381333931"), drawn("5901234123457")])
    assert [r.label for r in find_barcodes(Image.open(both))] == ["4006381333931", "5901234123457"]
    assert [r.label for r in find_barcodes(rotate(Image.open(drawn("4006381333931")), 90))] == [
        "4006381333931"
    ]


def test_a_wrong_check_digit_is_not_read() -> None:
    assert find_barcodes(Image.open(drawn("4006381333932"))) == []


@pytest.mark.parametrize("size", [(1, 1), (5000, 3), (3, 700)])
def test_images_without_codes(size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    assert find_barcodes(Image(noise)) == []
    assert find_barcodes(resize(Image(noise), 60, 60)) == []

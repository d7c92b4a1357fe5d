"""Text in images larger than the engine takes."""

from __future__ import annotations

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from visprog.tools.backends.text_lines import TextLine, without_parts
from visprog.tools.backends.text_tiles import MAX_ASPECT, MAX_SIDE, OVERLAP, find_lines
from visprog.tools.text import find_text, read_text
from visprog.values import Box
from visprog.values.image import Image


def page(size: tuple[int, int], *lines: tuple[int, int, int, str]) -> Image:
    """Lines as (left, top, size of the font, text)."""
    picture = PIL.Image.new("RGB", size, "white")
    draw = PIL.ImageDraw.Draw(picture)
    for left, top, font, text in lines:
        draw.text((left, top), text, "black", font=PIL.ImageFont.load_default(size=font))
    return Image.open(picture)


def boxes_of(pixels: np.ndarray) -> np.ndarray:
    """A detector that finds each black rectangle, as far as it is seen."""
    import cv2

    contours, _ = cv2.findContours(
        (pixels[..., 0] < 128).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    quads = []
    for contour in contours:
        x, y, w, h = cv2.boundingRect(contour)
        quads.append([[x, y], [x + w, y], [x + w, y + h], [x, y + h]])
    return np.array(quads, np.float32).reshape(-1, 4, 2)


@pytest.mark.parametrize(
    ("size", "box"),
    [
        ((3000, 400), (100, 100, 2900, 130)),
        ((3000, 400), (900, 100, 960, 130)),
        ((400, 3000), (100, 100, 130, 2900)),
        *(((500, 3000), (50, top, 450, top + 30)) for top in range(780, 980, 25)),
        *(((1300, 3000), (50, top, 1250, top + 30)) for top in range(780, 980, 50)),
        ((1600, 4000), (60, 1150, 1500, 1420)),
        ((4000, 4000), (1700, 1700, 2300, 1760)),
    ],
)
def test_a_line_that_crosses_a_cut_comes_out_once_and_whole(
    size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    pixels = np.full((size[1], size[0], 3), 255, np.uint8)
    left, top, right, bottom = box
    pixels[top:bottom, left:right] = 0
    found = find_lines(pixels, boxes_of)
    spans = [(*quad.min(0), *quad.max(0)) for quad in found]
    whole = [span for span in spans if np.abs(np.subtract(span, box)).max() <= 5]
    assert len(whole) == 1
    if bottom - top < OVERLAP:
        assert len(found) == 1


def test_neighbouring_lines_stay_apart() -> None:
    pixels = np.full((3000, 600, 3), 255, np.uint8)
    tops = range(10, 2980, 30)
    for top in tops:
        pixels[top : top + 20, 30:570] = 0
    assert len(find_lines(pixels, boxes_of)) == len(tops)


def test_no_part_is_larger_than_the_detector_takes() -> None:
    sides: list[int] = []

    def note(pixels: np.ndarray) -> np.ndarray:
        sides.extend(pixels.shape[:2])
        return np.zeros((0, 4, 2), np.float32)

    noise = np.random.default_rng(0).integers(0, 255, (1200, 5000, 3), dtype=np.uint8)
    assert find_lines(noise, note).shape == (0, 4, 2)
    assert max(sides) <= MAX_SIDE


def test_a_very_long_line_is_cut_at_spaces() -> None:
    pixels = np.full((40, 9000, 3), 255, np.uint8)
    for left in range(10, 8900, 100):  # words of 85 pixels, letters 3 apart
        for letter in range(left, left + 85, 10):
            pixels[10:30, letter : letter + 7] = 0
    line = np.array([[[10, 10], [8980, 10], [8980, 30], [10, 30]]], np.float32)
    small = np.zeros((0, 4, 2), np.float32)
    parts = find_lines(pixels, lambda part: line - 0 if part.shape[1] > 8000 else small)
    assert len(parts) == 0  # no tile is as wide as the line
    parts = find_lines(pixels, lambda part: _strip(part))
    assert len(parts) == -(-8970 // (MAX_ASPECT * 20))
    for cut in sorted(float(quad[:, 0].max()) for quad in parts)[:-1]:
        assert (pixels[10:30, round(cut) - 1 : round(cut) + 2] == 255).all()
        assert 85 <= (cut - 10) % 100 <= 100


def _strip(part: np.ndarray) -> np.ndarray:
    width = part.shape[1]
    if part.shape[0] < 40:
        return np.zeros((0, 4, 2), np.float32)
    return np.array([[[0, 10], [width, 10], [width, 30], [0, 30]]], np.float32)


def test_what_says_more_wins_over_what_lies_in_it() -> None:
    def line(text: str, score: float, *box: float) -> TextLine:
        return TextLine(text, Box(*box), score, ())

    sale = line("GRAND SALE", 0.99, 0, 0, 900, 200)
    letters = [line("G", 0.9, 10, 10, 90, 190), line("SA", 0.8, 400, 10, 600, 190)]
    assert without_parts([*letters, sale]) == [sale]
    blob = line("1", 0.7, 0, 0, 900, 200)
    rows = [line("first row", 0.95, 10, 10, 400, 40), line("second row", 0.95, 10, 100, 400, 130)]
    assert without_parts([blob, *rows]) == rows


def test_a_long_page_is_read_line_by_line() -> None:
    texts = [f"Item {i:03d} costs {3 * i + 10} euros" for i in range(20)]
    image = page((500, 1250), *((20, 20 + 60 * i, 18, text) for i, text in enumerate(texts)))
    assert read_text(image).split("\n") == texts
    found = find_text(image, "item 015")
    assert len(found) == 1
    assert 910 < found[0].top < 950


def test_a_lone_line_on_a_large_page_is_read() -> None:
    assert read_text(page((1900, 1300), (1200, 900, 22, "the only words"))) == "the only words"


@pytest.mark.parametrize("side", [500, 1200])
def test_letters_too_small_to_read_are_no_text(side: int) -> None:
    lines = [(20, 20 + 8 * i, 4, f"Item {i} costs {3 * i} euros") for i in range(12)]
    assert read_text(page((side, side), *lines)) == ""


def test_a_long_line_is_read_in_one_piece() -> None:
    text = " ".join(f"word{i}" for i in range(10, 36))
    image = page((2600, 120), (30, 40, 24, text))
    (found,) = find_text(image)
    assert found.label == text

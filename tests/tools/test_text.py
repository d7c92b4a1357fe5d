from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from visprog.errors import ToolError
from visprog.tools.backends.text_lines import TextLine, rows_of
from visprog.tools.detect import detect
from visprog.tools.text import find_qr_codes, find_text, read_text
from visprog.values import Box, Region
from visprog.values.image import Image

Photo = Callable[[str], Image]


def page(*lines: tuple[int, int, str], size: tuple[int, int] = (640, 320)) -> Image:
    picture = PIL.Image.new("RGB", size, "white")
    draw = PIL.ImageDraw.Draw(picture)
    font = PIL.ImageFont.load_default(size=34)
    for x, y, text in lines:
        draw.text((x, y), text, "black", font=font)
    return Image.open(picture)


@pytest.fixture(scope="module")
def poster() -> Image:
    return page((40, 30, "GRAND OPENING"), (40, 120, "Saturday 14 March"), (40, 210, "Main Street 27"))


def code(content: str, scale: int = 6, margin: int = 30) -> np.ndarray:
    modules = cv2.QRCodeEncoder.create().encode(content)
    return np.pad(modules.repeat(scale, 0).repeat(scale, 1), margin, constant_values=255)


def test_text_is_read_in_order(poster: Image) -> None:
    assert read_text(poster).split("\n") == ["GRAND OPENING", "Saturday 14 March", "Main Street 27"]


def test_lines_are_regions_with_their_text(poster: Image) -> None:
    found = find_text(poster)
    assert [r.label for r in found] == ["GRAND OPENING", "Saturday 14 March", "Main Street 27"]
    assert all(0.6 <= r.score <= 1 and r.image is poster for r in found)
    assert found[1].top > 110
    assert found[1].bottom < 180


@pytest.mark.parametrize("text", ["saturday", "SATURDAY 14", "14march"])
def test_text_is_found_whatever_its_capitals_and_spaces(poster: Image, text: str) -> None:
    (found,) = find_text(poster, text)
    assert found.label == "Saturday 14 March"


def test_the_box_is_of_the_words_that_match(poster: Image) -> None:
    (line,) = find_text(poster, "Main Street 27")
    (word,) = find_text(poster, "street")
    assert word.inside(line, 0.2)
    assert word.width < 0.6 * line.width
    assert word.left > line.left + 0.15 * line.width
    assert find_text(poster, "Sunday") == []


def test_text_of_a_crop_lies_in_the_root(poster: Image) -> None:
    part = poster.crop(Box(20, 190, 500, 300))
    (found,) = find_text(part)
    assert found.image is poster
    assert found.top > 190
    (whole,) = find_text(poster, "Main Street 27")
    assert found.box.iou(whole) > 0.5
    assert read_text(Region(whole.box.expand(8), "sign", 1.0, poster)) == "Main Street 27"


def test_a_region_needs_its_image() -> None:
    with pytest.raises(ToolError, match="crop"):
        read_text(Region(Box(0, 0, 10, 10)))


def test_a_blank_page_has_no_text() -> None:
    blank = page()
    assert read_text(blank) == ""
    assert find_text(blank) == []


def test_rows_run_from_left_to_right() -> None:
    def line(text: str, *box: float) -> TextLine:
        return TextLine(text, Box(*box), 1.0, ())

    rows = rows_of(
        [
            line("d", 60, 31, 90, 41),
            line("b", 60, 2, 90, 12),
            line("a", 0, 0, 50, 10),
            line("c", 0, 30, 50, 40),
        ]
    )
    assert [[piece.text for piece in row] for row in rows] == [["a", "b"], ["c", "d"]]


def test_detect_knows_text(poster: Image) -> None:
    assert detect(poster, "words")[0].label == "GRAND OPENING"


def test_text_on_the_bus(photo: Photo) -> None:
    bus = photo("street1")
    text = read_text(bus)
    assert "Metrocentre" in text
    assert "96" in text
    assert "NA52" in text
    (number,) = find_text(bus, "96")
    assert number.box.iou(Box(503, 103, 539, 137)) > 0.5


def test_qr_codes_are_read_where_they_are() -> None:
    canvas = np.full((420, 700), 255, np.uint8)
    first, second = code("https://example.org/menu"), code("table 7")
    canvas[20 : 20 + first.shape[0], 10 : 10 + first.shape[1]] = first
    canvas[100 : 100 + second.shape[0], 400 : 400 + second.shape[1]] = second
    image = Image.open(canvas)
    found = find_qr_codes(image)
    assert sorted(r.label for r in found) == ["https://example.org/menu", "table 7"]
    (table,) = [r for r in found if r.label == "table 7"]
    side = second.shape[0] - 60 - 24  # the encoder adds a rim of two modules
    assert table.box.iou(Box(442, 142, 442 + side, 142 + side)) > 0.8
    (in_crop,) = find_qr_codes(image.crop(Box(380, 80, 700, 420)))
    assert in_crop.box.iou(table) > 0.8
    assert len(detect(image, "QR codes")) == 2


def test_no_code_no_region() -> None:
    assert find_qr_codes(Image(np.full((60, 60, 3), 255, np.uint8))) == []
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    assert find_qr_codes(Image(noise)) == []

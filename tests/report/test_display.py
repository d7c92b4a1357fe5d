"""How values, answers, tools and results show themselves: in a line, and in a notebook."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import PIL.Image
import pytest

from tests.small_tools import REGISTRY, picture
from visprog.answer import Answer
from visprog.mapping.map import MAX_ROWS, MapResult, results_html
from visprog.report.figures import SIDE
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region
from visprog.values.image import Image

POINTS = tuple(Point(i * 1.23456789, i * 100.987654321) for i in range(500))
ROOT = picture(200, 100, name="n" * 300)
LONG = "label " * 100


@pytest.mark.parametrize(
    "value",
    [
        Box(1.23456789, 2.3456789, 1234.56789, 98765.4321), Point(1.23456789, -123456.789),
        Region(Box(1.23456789, 2.3456789, 1234.56789, 98765.4321), LONG, 0.987654321, ROOT),
        Region(Box(0, 0, 20, 20), "two\nlines", 1, ROOT, Mask(np.ones((20, 20), bool), Box(0, 0, 20, 20))),
        Mask(np.ones((400, 300), bool), Box(0, 0, 300, 400)), ROOT, ROOT.crop(Box(3, 4, 50, 60)),
        Circle(Point(1.23456789, 2.3456789), 3.456789, "red", ROOT), Line(POINTS, "blue", ROOT),
        Polygon(POINTS, "green", ROOT), Polygon(POINTS[:4]), Grid(3, 4, Box(0, 0, 9, 9)),
        Answer("answered", LONG, LONG, LONG, LONG), Answer("answered", [Region(ROOT.box, LONG)] * 50),
        Answer("refused", None, LONG, LONG), Answer("answered", ROOT), Answer("answered", {"a": 1.5}),
        MapResult(12345, "folder/" * 50, Answer("answered", LONG)), MapResult(1, "a.png", Answer("error", None, LONG)),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_a_value_shows_itself_in_one_short_line(value: Any) -> None:
    text = repr(value)
    assert text.startswith(type(value).__name__ + "(") and text.endswith(")")
    assert len(text) < 120 and "\n" not in text, text


def test_what_the_lines_say() -> None:
    region = Region(Box(12, 30, 88, 140), "dog", 0.92, ROOT)
    assert repr(region) == "Region('dog', box=(12, 30, 88, 140), score=0.92)"
    assert repr([region.box, Point(1, 2.5)]) == "[Box(12, 30, 88, 140), Point(1, 2.5)]"
    assert (
        repr(picture(60, 40, name="a.png").crop(Box(5, 6, 10, 10))) == "Image('a.png', 5 x 4, crop at (5, 6))"
    )
    assert repr(Answer("answered", 2, question="How many?")) == "Answer('answered', 2, question='How many?')"
    assert (
        repr(MapResult(3, "a.png", Answer("refused", message="no"))) == "MapResult(3, 'a.png', 'refused: no')"
    )


def photo(width: int, height: int) -> Image:
    return Image(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))


@pytest.mark.parametrize(
    ("image", "kind"),
    [
        (picture(60, 40), "PNG"),
        (picture(4000, 30), "PNG"),
        (photo(1200, 900), "JPEG"),
        (photo(30, 2000), "JPEG"),
    ],
    ids=str,
)
def test_an_image_is_shown_small_in_one_format(image: Image, kind: str) -> None:
    found = [data for data in (image._repr_png_(), image._repr_jpeg_()) if data]
    assert len(found) == 1 and len(found[0]) < 400_000
    shown = PIL.Image.open(io.BytesIO(found[0]))
    assert shown.format == kind and max(shown.size) == min(max(image.size), SIDE)


def test_a_transparent_image_stays_transparent() -> None:
    pixels = np.zeros((40, 60, 4), np.uint8)
    shown = PIL.Image.open(io.BytesIO(Image.open(pixels)._repr_png_() or b""))
    assert shown.mode == "RGBA" and shown.size == (60, 40)


@pytest.mark.parametrize(
    "value",
    [
        Region(Box(10, 10, 50, 50), "dog", 0.5, ROOT), Circle(Point(30, 30), 20, "red", ROOT),
        Line(POINTS[:2], None, ROOT), Polygon(POINTS[:3], None, ROOT), Region(Box(199, 99, 200, 100), "", 1, ROOT),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_what_knows_its_image_is_shown_on_it(value: Any) -> None:
    html = value._repr_html_()
    assert html.count("<img ") == 1 and len(html) < 100_000


@pytest.mark.parametrize(
    "value",
    [
        Region(Box(1, 2, 3, 4)),
        Box(1, 2, 3, 4),
        Region(Box(900, 900, 901, 901), "", 1, ROOT),
        Grid(1, 1, Box(0, 0, 1, 1)),
    ],
)
def test_what_lies_in_no_image_is_text(value: Any) -> None:
    assert value._repr_html_() is None


@pytest.mark.parametrize("size", [(1, 1), (30, 20), (3000, 2000), (0, 0)])
def test_a_mask_is_shown(size: tuple[int, int]) -> None:
    html = Mask(np.ones(size[::-1], bool), Box(0, 0, *size))._repr_html_()
    assert ("<img " in html) == (0 not in size) and len(html) < 20_000


def test_results_are_a_table_of_bounded_size() -> None:
    row = MapResult(0, "a<b>.png", Answer("answered", 2, images=(photo(800, 600),)))
    html = results_html([row] * 200, 200)
    assert html.count("<img ") == MAX_ROWS and f"first {MAX_ROWS} of 200 results" in html
    assert len(html) < MAX_ROWS * 12_000 and "a&lt;b&gt;.png" in html
    assert "no image" in results_html([MapResult(0, "b.png", Answer("error", None, "no image"))])
    assert "first" not in results_html([row] * MAX_ROWS)


def test_tools_show_what_they_do() -> None:
    detect = REGISTRY["detect"]
    assert "Two things side by side" in detect._repr_html_()
    html = REGISTRY._repr_html_()
    assert all(name in html for name in REGISTRY) and html.count("<table") == 2


def test_what_is_shown_is_not_what_is_kept() -> None:
    edited = photo(1000, 700)
    answer = Answer("answered", edited)
    assert len(answer._repr_html_()) < 300_000
    (kept,) = answer.to_json()["pictures"].values()
    assert kept["scale"] == 1 and kept["mime"] == "image/png"
    assert json.dumps(answer.to_json(pictures=False)).count("pictures") == 0

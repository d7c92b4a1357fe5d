"""Tables and forms: what is read, and what is refused."""

from __future__ import annotations

import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from visprog.errors import Refused
from visprog.tools.documents import read_fields, read_table
from visprog.tools.words.cells import fields_of, pairs_of, rows_of, spread
from visprog.values import Box, Region
from visprog.values.image import Image

ROWS = [
    ["Item", "Qty", "Price"],
    ["Apples", "3", "1.20"],
    ["Orange juice", "12", "0.99"],
    ["Tea", "", "4.00"],
]


def page(texts: list[tuple[int, int, str]], rules: list[tuple[int, int, int, int]] | None = None) -> Image:
    canvas = PIL.Image.new("RGB", (640, 300), "white")
    draw = PIL.ImageDraw.Draw(canvas)
    for rule in rules or []:
        draw.line(rule, "black", 2)
    for x, y, text in texts:
        draw.text((x, y), text, "black", PIL.ImageFont.load_default(size=22))
    return Image.open(canvas)


def table(columns: tuple[int, int, int]) -> list[tuple[int, int, str]]:
    return [
        (x, 30 + 60 * i, cell)
        for i, row in enumerate(ROWS)
        for x, cell in zip(columns, row, strict=True)
        if cell
    ]


def line(text: str, left: float, top: float, width: float = 0, height: float = 20) -> Region:
    return Region(Box(left, top, left + (width or 10 * len(text)), top + height), text)


def test_a_ruled_table_whose_columns_are_narrow() -> None:
    across = [(20, 15 + 60 * i, 380, 15 + 60 * i) for i in range(5)]
    down = [(x, 15, x, 255) for x in (20, 180, 260, 380)]
    assert read_table(page(table((24, 184, 264)), across + down)) == ROWS


def test_an_unruled_table() -> None:
    assert read_table(page(table((20, 300, 450)))) == ROWS


def test_a_page_of_text_is_no_table() -> None:
    text = page([(20, 20 + 40 * i, f"The quick brown fox jumps, line {i}") for i in range(4)])
    with pytest.raises(Refused, match="no table"):
        read_table(text)
    with pytest.raises(Refused, match="no label"):
        read_fields(text)


def test_a_form() -> None:
    form = page(
        [(20, 20, "Name: Ada Lovelace"), (20, 70, "Born:"), (300, 70, "1815"), (20, 120, "At: 10:30")]
    )
    assert read_fields(form) == {"Name": "Ada Lovelace", "Born": "1815", "At": "10:30"}


def test_lines_over_rules_are_named_to_be_read_again() -> None:
    lines = [line("Apples 3", 20, 10), line("1.20", 210, 10), line("title", 20, -60)]
    texts, across = spread(lines, [0, 40, 80], [0, 80, 200, 300])
    assert texts == [["", "", "1.20"], ["", "", ""]]
    assert across == {(0, 0), (0, 1)} or across == set()


def test_titles_are_no_part_of_a_table() -> None:
    lines = [line("Prices of this year and the next", 0, 0), line("a", 0, 40), line("b", 90, 40)]
    lines += [line("c", 0, 80), line("d", 90, 80), line("Thank you for your visit", 0, 120)]
    assert rows_of(lines) == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [line("alone", 0, 0)],
        [line("a", 0, 0), line("b", 90, 0)],  # one row
        [
            line("a", 0, 0),
            line("b", 90, 0),
            line("c", 45, 40, 60),
            line("d", 200, 40),
            line("e", 0, 80),
            line("f", 150, 80),
        ],
    ],
)
def test_what_stands_in_no_columns(lines: list[Region]) -> None:
    assert rows_of(lines) is None


def test_colons_of_times_and_addresses_end_no_label() -> None:
    lines = [
        line("12:45 lunch", 0, 0),
        line("http://a.org", 0, 40),
        line("Web: http://a.org", 0, 80),
        line(": x", 0, 120),
    ]
    assert fields_of(lines) == {"Web": "http://a.org"}


def test_values_stand_beside_or_right_below() -> None:
    lines = [
        line("Name:", 0, 0),
        line("Ada", 100, 0),
        line("Street:", 0, 60),
        line("Elm 3", 2, 85),
        line("Note:", 0, 160),
    ]
    lines += [line("far below", 0, 260)]
    assert fields_of(lines) == {"Name": "Ada", "Street": "Elm 3"}


def test_a_label_that_comes_twice_keeps_both_values() -> None:
    assert fields_of([line("Tel: 1", 0, 0), line("Tel: 2", 0, 40)]) == {"Tel": "1\n2"}


def test_two_columns_are_pairs_if_the_left_one_names_things() -> None:
    assert pairs_of([["Coffee", "3.50"], ["Total", "7.70"]]) == {"Coffee": "3.50", "Total": "7.70"}
    assert pairs_of([["1", "2"], ["3", "4"]]) == {}
    assert pairs_of([["Coffee", "3.50"], ["Coffee", "3.50"]]) == {}
    assert pairs_of([["a", "b", "c"], ["d", "e", "f"]]) == {}


def test_the_smallest_image() -> None:
    with pytest.raises(Refused):
        read_table(Image.open(PIL.Image.new("RGB", (1, 1))))

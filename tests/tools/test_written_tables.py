"""Tables as models write them down."""

from __future__ import annotations

import pytest

from visprog.tools.words.written_tables import MAX_CELLS, written_tables


def test_html_of_glm_ocr() -> None:
    text = (
        'Here it is:\n<table border="1"><tr><td>Item</td><td>Price</td></tr>'
        "<tr><td>Tea &amp; milk</td><td> 4.00\n</td></tr><tr><td>Bun</td><td></td></tr></table>"
    )
    assert written_tables(text) == [[["Item", "Price"], ["Tea & milk", "4.00"], ["Bun", ""]]]


def test_cells_that_span_others() -> None:
    text = (
        '<table><thead><tr><th rowspan="2">Item</th><th colspan="2">Price</th></tr>'
        "<tr><th>2025</th><th>2026</th></tr></thead>"
        "<tbody><tr><td>Tea<br>green</td><td>3</td><td>4</td></tr></tbody></table>"
    )
    assert written_tables(text) == [[["Item", "Price", ""], ["", "2025", "2026"], ["Tea green", "3", "4"]]]


def test_html_that_is_not_well_formed() -> None:
    assert written_tables("<tr><td>a<td>b<tr><td>c") == [[["a", "b"], ["c", ""]]]
    assert written_tables("<td>a</td><td>b</td>") == [[["a", "b"]]]
    assert written_tables("<table><tr><td>a<table><tr><td>b</td></tr></table>c</td></tr></table>") == [
        [["abc"]]
    ]
    assert written_tables('<table><tr><td colspan="x" rowspan="-3">a</td></tr>') == [[["a"]]]
    with pytest.raises(ValueError, match="HTML that cannot be read"):
        written_tables("<table><![x[ <tr><td>a</td></tr></table>")


def test_otsl_of_paddleocr_vl() -> None:
    text = "<fcel>Item<fcel>Price<lcel><nl><ucel><fcel>2025<fcel>2026<nl><fcel>Tea<ecel><fcel>4 | 5<nl>"
    assert written_tables(text) == [[["Item", "Price", ""], ["", "2025", "2026"], ["Tea", "", "4 | 5"]]]


def test_markdown() -> None:
    text = "Prices:\n\n| Item | Price |\n|:-----|------:|\n| Tea \\| milk | 4 |\n| Bun |\n\nand\na | b\n--|--\nc | d"
    assert written_tables(text) == [
        [["Item", "Price"], ["Tea | milk", "4"], ["Bun", ""]],
        [["a", "b"], ["c", "d"]],
    ]


@pytest.mark.parametrize(
    "text", ["", "NO TABLE", "a | b", "| a |\n| b |", "<table></table>", "<nl><nl>", "<ecel><nl>"]
)
def test_no_table(text: str) -> None:
    assert written_tables(text) == []


def test_a_table_whose_size_is_made_up() -> None:
    with pytest.raises(ValueError, match=f"more than {MAX_CELLS} cells"):
        written_tables("<table>" + '<tr><td rowspan="999999" colspan="999999">a</td></tr>' * 100)
    with pytest.raises(ValueError, match="a table of 200 x 101 cells"):
        written_tables("<fcel>a<nl>" * 199 + "<fcel>b" * 101)

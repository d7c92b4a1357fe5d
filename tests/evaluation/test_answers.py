"""Answers of any type are read as what a benchmark asks for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprog.evaluation.answers import (
    box_of,
    choice_of,
    consensus,
    normalise,
    same,
    text_of,
    whole_number_of,
    yes_no_of,
)
from visprog.evaluation.metrics import yes_no
from visprog.values import Box, Point, Region


@pytest.mark.parametrize(
    ("value", "said"),
    [(True, True), ("Yes.", True), (" no, there is none", False), ("TRUE", True), ("nobody", None), (1, None),
     ("", None), (None, None), (["yes"], None)],
)  # fmt: skip
def test_yes_and_no(value: Any, said: bool | None) -> None:
    assert yes_no_of(value) is said


@pytest.mark.parametrize(
    ("value", "number"),
    [(3, 3), (3.0, 3), ("3", 3), (" three. ", 3), ("-2", -2), (3.5, None), (True, None), ("3 dogs", None),
     (float("nan"), None), (float("inf"), None), ("9" * 40, None), (None, None)],
)  # fmt: skip
def test_whole_numbers(value: Any, number: int | None) -> None:
    assert whole_number_of(value) == number


@pytest.mark.parametrize(
    ("text", "plain"),
    [("The Dog.", "dog"), ("two", "2"), ("none", "0"), ("dont", "don't"), ("couldntve", "couldn't've"),
     ("1,000", "1000"), ("black/white", "black white"), ("yes, it is", "yes it is"), ("3.5", "3.5"),
     ("an  apple ", "apple"), ("t-shirt", "t shirt"), ("let's go", "let's go")],
)  # fmt: skip
def test_the_normal_form_of_vqa(text: str, plain: str) -> None:
    assert normalise(text) == plain


@given(st.text())
def test_a_text_is_always_normalised(text: str) -> None:
    assert "  " not in normalise(text)


def test_consensus_leaves_each_person_out_once() -> None:
    assert consensus("red", ["red"] * 10) == 1
    assert consensus("Red", ["red"] * 3 + ["blue"] * 7) == pytest.approx((3 * 2 / 3 + 7) / 10)
    assert consensus("red", ["red"] * 2 + ["blue"] * 8) == pytest.approx((2 * 1 / 3 + 8 * 2 / 3) / 10)
    assert consensus("red", ["red"] + ["blue"] * 9) == pytest.approx(0.3)
    assert consensus("green", ["red"] * 10) == 0
    assert consensus("", [""] * 10) == 0


@pytest.mark.parametrize(
    ("value", "chosen"),
    [("open", 0), ("(b) Closed", 1), ("(B)", 1), ("b", 1), (" the open ", 0), ("half open", None), ("c", None),
     ("a door", None), ("b. closed it is", 1), ("a.m.", None),
     ("", None), (None, None), (True, None)],
)  # fmt: skip
def test_choices(value: Any, chosen: int | None) -> None:
    assert choice_of(value, ["Open", "Closed"]) == chosen


def test_yes_is_a_choice_that_a_bool_names() -> None:
    assert choice_of(True, ["Yes", "No"]) == 0
    assert choice_of(False, ["Yes", "No"]) == 1


def test_the_surest_region_is_the_box() -> None:
    sure, unsure = Region(Box(0, 0, 1, 1), score=0.9), Region(Box(5, 5, 9, 9), score=0.2)
    assert box_of([unsure, sure]) == sure.box
    assert box_of(sure.box) == sure.box
    assert box_of([]) is None
    assert box_of("left") is None


def test_texts_of_answers() -> None:
    assert [text_of(v) for v in (True, 3.0, 2.5, None, "x", [1, "a"])] == ["yes", "3", "2.5", "", "x", "1, a"]
    assert text_of(Region(Box(0, 0, 1, 1), "dog")) == "dog"
    assert text_of(Point(1, 2)) == str(Point(1, 2))


def test_the_same_answer() -> None:
    assert same("Yes", True)
    assert not same(1, True)
    assert same("two", 2)
    assert same("a Dog", "dog")
    assert not same("", "")


def test_yes_no_counts_against_a_table() -> None:
    found = yes_no([True, True, True, False, False], [True, False, None, True, False])
    assert found == pytest.approx(
        {"accuracy": 2 / 5, "precision": 1 / 2, "recall": 1 / 3, "f1": 0.4, "yes_share": 2 / 5}
    )
    assert yes_no([False], [False])["f1"] == 0

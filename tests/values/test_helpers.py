"""Choosing and ordering."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.values.test_geometry import boxes
from visprog.values import Box, Line, Point, Region, helpers
from visprog.values.helpers import NothingFound

A = Region(Box(0, 0, 10, 10), "a", 0.5)
B = Region(Box(20, 5, 60, 25), "b", 0.9)
C = Region(Box(70, 50, 75, 90), "c", 0.7)
ALL = [B, C, A]

some = st.lists(boxes, min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("best", B), ("largest", B), ("smallest", A), ("tallest", C), ("widest", B), ("leftmost", A),
        ("rightmost", C),
        ("topmost", A), ("bottommost", C), ("middle", B),
    ],
)  # fmt: skip
def test_choices(name: str, chosen: Region) -> None:
    choose: Callable[[Any], Any] = getattr(helpers, name)
    assert choose(ALL) is chosen
    with pytest.raises(NothingFound, match=f"{name} was given an empty list: nothing was found"):
        choose([])


def test_near_and_far() -> None:
    assert helpers.nearest(ALL, A) is B and helpers.farthest(ALL, A) is C
    assert helpers.nearest(ALL, Point(72, 40)) is C
    for choose in (helpers.nearest, helpers.farthest):
        with pytest.raises(NothingFound):
            choose([A], A)


def test_nth() -> None:
    assert helpers.nth(ALL, 1) is B and helpers.nth(ALL, 3) is A and helpers.nth(ALL, -1) is A
    with pytest.raises(NothingFound, match="number 4 of 3 found"):
        helpers.nth(ALL, 4)
    for n in (0, True, 1.0):
        with pytest.raises(ValueError, match="counts from 1"):
            helpers.nth(ALL, n)  # type: ignore[arg-type]


@given(some)
def test_orders_agree_with_choices(things: list[Box]) -> None:
    assert helpers.left_to_right(things)[0].center.x == helpers.leftmost(things).center.x
    assert helpers.top_to_bottom(things)[-1].center.y == helpers.bottommost(things).center.y
    assert helpers.by_size(things)[0].area == helpers.largest(things).area
    for order in (helpers.left_to_right, helpers.top_to_bottom, helpers.by_size):
        assert sorted(map(str, order(things))) == sorted(map(str, things))
    assert helpers.middle(things) in things


@given(some, boxes)
def test_nearest_is_not_farther_than_any(things: list[Box], to: Box) -> None:
    others = [t for t in things if t != to]
    if others:
        assert helpers.nearest(things, to).distance(to) == min(t.distance(to) for t in others)
        assert helpers.farthest(things, to).distance(to) == max(t.distance(to) for t in others)


def test_intersections() -> None:
    flat, steep = Line((Point(0, 5), Point(10, 5))), Line((Point(5, 0), Point(5, 10)))
    other = Line((Point(0, 2), Point(10, 2)))
    assert helpers.intersections([flat], [steep]) == [Point(5, 5)]
    assert helpers.intersections([flat, other], [steep]) == [Point(5, 5), Point(5, 2)]
    lines = [flat, steep, other]
    assert len(helpers.intersections(lines, lines)) == 2  # each crossing once
    assert helpers.intersections([], [flat]) == []


def test_points_are_chosen_by_their_place() -> None:
    points = [Point(9, 2), Point(1, 8), Point(5, 5)]
    assert helpers.left_to_right(points) == [Point(1, 8), Point(5, 5), Point(9, 2)]
    assert helpers.top_to_bottom(points)[0] == helpers.topmost(points) == Point(9, 2)
    assert helpers.middle(points) == helpers.nearest(points, Point(4, 5)) == Point(5, 5)
    assert helpers.farthest(points, Box(0, 7, 2, 9)) == Point(9, 2)


def test_nth_takes_any_list() -> None:
    assert helpers.nth(["a", "b"], -1) == "b"


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("TOTAL 1,340.26", [1340.26]), ("Summe 1.234,50 EUR", [1234.5]), ("Total: 12,50", [12.5]), ("3.99", [3.99]),
        ("1,234 of 1.234", [1234, 1.234]), ("1.234 and 2,50", [1234, 2.5]), ("0,125 l", [0.125]), ("$.99", [0.99]),
        ("$1,000,000", [1e6]), ("1'234.50", [1234.5]), ("1,50,00,000", [15e6]), ("1.234.567,89", [1234567.89]),
        ("-5", [-5]), ("-$5.00", [-5]), ("5-3", [5, 3]), ("(12.50)", [12.5]), ("1, 2, 3", [1, 2, 3]),
        ("12.03.2024 14:30", [12, 3, 2024, 14, 30]), ("2024-03-14", [2024, 3, 14]), ("NA52 BUU 96", [96]),
        ("3kg, 19%, A4, v1.2.3", [3, 19]), ("", []), ("none", []), ("9" * 400, []), (".1.2", []),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, numbers: list[float]) -> None:
    assert helpers.numbers_in(text) == numbers


@given(st.text(alphabet="0123456789.,'-−$€ aé٣²½\n"))
def test_numbers_of_any_text(text: str) -> None:
    assert all(math.isfinite(number) for number in helpers.numbers_in(text))


def test_every_helper_is_told_of() -> None:
    assert all(f.__doc__ and f.__module__ == helpers.__name__ for f in helpers.FUNCTIONS)

"""Answers that say the same count as the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from visprog.planner import vote
from visprog.values import Box, Region
from visprog.values.image import Image


@pytest.mark.parametrize(
    ("answers", "index", "votes"),
    [
        ([3], 0, 1),
        ([3, 2, 3], 0, 2),
        ([2, 3, 3.0, "3"], 1, 3),
        ([True, "Yes.", "no"], 0, 2),
        ([1, True, True], 1, 2),
        (["A red car", "red car.", "blue"], 0, 2),
        ([0.33333, 1 / 3, 1], 0, 2),
        ([[1, "Two"], [1, "two"], [2, 1]], 0, 2),
        ([(5, 4), [5, 4], [4, 5]], 0, 2),
        ([{"a": "Yes"}, {"a": True}, {"b": True}], 0, 2),
        ([None, None, 1], 0, 2),
        (["nan", "nan", "inf"], 0, 2),
        ([1, 2], 0, 1),
        (["b", "a", "a", "b"], 0, 2),
    ],
)
def test_vote(answers: list[Any], index: int, votes: int) -> None:
    won = vote(answers)
    assert (won.index, won.votes) == (index, votes)
    assert won.value is answers[index]
    assert won.share == votes / len(answers)


def test_regions_that_overlap_are_one_answer() -> None:
    near, nearer = Region(Box(0, 0, 10, 10), "dog"), Region(Box(1, 0, 11, 10), "puppy")
    assert vote([Region(Box(50, 50, 60, 60)), near, nearer]).index == 1


def test_images_are_compared_by_content() -> None:
    black, white = Image(np.zeros((4, 4, 3), np.uint8)), Image(np.full((4, 4, 3), 255, np.uint8))
    assert vote([white, black, Image(np.zeros((4, 4, 3), np.uint8))]).index == 1


def test_programs_without_an_answer_count_in_the_share() -> None:
    assert vote([3, 3], voters=5).share == 0.4


def test_no_answers() -> None:
    with pytest.raises(ValueError, match="at least one"):
        vote([])

"""The second judge: a program is refused unless it accounts for the question."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest
import yaml

from visprog.planner.embedded.planner import load_words
from visprog.planner.embedded.support import unsupported

READINGS = yaml.safe_load((Path(__file__).parent / "readings.yaml").read_text(encoding="utf-8"))


def _judged(case: dict[str, str]) -> list[str]:
    header = "def answer(images):\n" if "images" in case["program"] else "def answer(image):\n"
    return unsupported(case["question"], header + textwrap.indent(case["program"], "    "), load_words())


@pytest.mark.parametrize("case", READINGS["right"], ids=lambda case: case["question"])
def test_a_program_that_says_all_of_the_question_is_supported(case: dict[str, str]) -> None:
    assert _judged(case) == []


@pytest.mark.parametrize("case", READINGS["wrong"], ids=lambda case: case["question"])
def test_a_misreading_is_told_from_a_reading(case: dict[str, str]) -> None:
    reasons = _judged(case)
    assert any(case["why"] in reason for reason in reasons), reasons

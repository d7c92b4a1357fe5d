"""Visual question answering: what all backends have in common."""

from __future__ import annotations

from typing import Any

import pytest

from tests.small_tools import picture
from visprog import Agent


class Says:
    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, calls: list[dict[str, Any]]) -> list[str]:
        return [self.text for _ in calls]


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Yes.", "yes"),
        (" No ", "no"),
        ("YES!", "yes"),
        ("no", "no"),
        ("Yes, two.", "Yes, two."),
        ("Two", "Two"),
    ],
)
def test_a_bare_yes_or_no_has_the_form_that_programs_compare_with(said: str, wanted: str) -> None:
    program = 'def answer(image):\n    return vqa(image, "Is there a dog?")\n'
    with Agent(backends={"vqa": Says(said)}, in_process=True) as agent:
        assert agent.run(program, picture()).value == wanted

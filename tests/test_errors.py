"""What error messages are made of."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visprog.agent import Agent
from visprog.answer import Answer
from visprog.errors import MAX_ERROR, PlannerError, ToolError, VisprogError, close_match, readable
from visprog.registry import Registry, tool
from visprog.runtime.steps import Step
from visprog.values.image import Image


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("detekt", "detect"),
        ("DETECT", "detect"),
        ("findfaces", "find_faces"),
        ("Find_Face", "find_faces"),
        ("banana", None),
        ("", None),
    ],
)
def test_the_name_that_was_meant(name: str, expected: str | None) -> None:
    assert close_match(name, {"detect", "crop", "find_faces"}) == expected
    assert close_match(name, ()) is None


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT, st.integers(10, 200))
def test_a_readable_text_is_short_encodable_and_stays_as_it_is(text: str, limit: int) -> None:
    made = readable(text, limit)
    assert len(made) <= limit
    made.encode()
    assert all(c.isprintable() or c == "\n" for c in made)
    assert readable(made, limit) == made


HOSTILE = "\ud800 \x1b[31m " + "dog " * 60_000 + "\udce9"


def check_text(text: str) -> None:
    text.encode()
    assert "\x1b" not in text and len(text) <= MAX_ERROR


def test_texts_of_errors_answers_and_steps_can_be_shown() -> None:
    for error in (VisprogError(HOSTILE), ToolError(HOSTILE), PlannerError(HOSTILE)):
        check_text(str(error))
        assert str(error).startswith("\\ud800 \\x1b[31m dog")
    answer = Answer("error", message=HOSTILE)
    step = Step("", message=HOSTILE, feedback=HOSTILE)
    for text in (answer.message, step.message, step.feedback):
        check_text(text)
    assert Answer.from_json(answer.to_json()).message == answer.message
    assert str(VisprogError()) == ""


@tool
def wrong(image: Image) -> int:
    """Fails."""
    raise ToolError(HOSTILE)


@tool
def broken(image: Image) -> int:
    """Fails unexpectedly."""
    raise OSError(HOSTILE)


class Unable:
    name = "unable"

    def plan(self, request: object, **options: object) -> list[object]:
        raise PlannerError(HOSTILE)


def test_what_tools_and_planners_say_leaves_as_text_that_can_be_shown() -> None:
    image = Image(np.zeros((4, 4, 3), np.uint8))
    with Agent(planner=Unable(), registry=Registry([wrong, broken])) as agent:  # type: ignore[arg-type]
        answers = [
            agent.run(f"def answer(image):\n    return {name}(image)\n", image)
            for name in ("wrong", "broken")
        ]
        answers.append(agent.ask("How many?", image))
    for answer in answers:
        assert answer.status == "error" and "dog dog" in answer.message
        check_text(answer.message)
        for call in answer.trace:
            check_text(call.error)
        json.dumps(answer.to_json(), ensure_ascii=False).encode()

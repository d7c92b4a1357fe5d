"""Options that a question offers: an answer outside of them is met, and no other question is misread."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.planner.test_turns import Scripted
from tests.small_tools import HELPERS, REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.planner.options import outside_options
from visprog.registry import Registry, tool
from visprog.values.image import Image

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("question", "inside", "outside"),
    [
        ("Is it A, B or C?", ["A", "b", "B."], ["D", "gray"]),
        ("red or blue?", ["red", "Blue", "it is blue", "neither"], ["gray", "car", ""]),
        ("Is the car red or blue?", ["red", "reddish", "both", "yes", "unknown"], ["gray", "truck"]),
        ("Is the fence wood or metal", ["wooden", "metal"], ["brick"]),
        ("Is the photo sharp or blurred? Use one word.", ["blurry", "sharp"], ["dark"]),
        ("Is the bottle left or right of the glass?", ["left", "to the right"], ["above"]),
        ("was this taken in daylight or at night", ["night", "at night"], ["noon"]),
        (
            "Which is taller, the tree or the house?",
            ["tree", "the house", "They are equal"],
            ["car", "picture"],
        ),
        ("which one's taller, ladder or shed", ["shed"], ["roof"]),
        ("more lorries or more vans?", ["vans", "same"], ["cars"]),
        ("What is she carrying: a box, a bag or a child?", ["bag", "a child"], ["dog"]),
        ("4th drawer from the top - open or closed?", ["open"], ["shut"]),
        ("Is it 2 or 3?", ["two", "3"], ["four"]),
        ("Which is nearer? Options: bin, stool", ["bin", "the stool", "A"], ["table", "nearer"]),
        (
            "Where is it?\n(A) on the table\n(B) on the floor",
            ["B", "(a)", "floor", "on the table"],
            ["C", "it"],
        ),
        ("Where is it? A. table B. floor", ["B", "floor"], ["wall"]),
        ("Choose one: cat, dog", ["cat"], ["bird"]),
        ("Which is it: red, green or blue?", ["green"], ["black"]),
    ],
)
def test_questions_that_offer_options(question: str, inside: list[str], outside: list[str]) -> None:
    assert [a for a in inside if outside_options(question, a)] == []
    assert [a for a in outside if not outside_options(question, a)] == []
    for value in (7, 2.5, None, ["gray"]):
        assert outside_options(question, value) == ""


@pytest.mark.parametrize(
    ("question", "outside"),
    [
        ("Which is taller, the tree or the house?", True),
        ("more lorries or more vans?", True),
        ("red or blue?", True),
        ("Where is it? A. table B. floor", True),
        ("Choose one: cat, dog", True),
        ("Options: true, false", False),
        ("Is it red or blue?", False),  # it may ask whether it is one of them
        ("Is this photo too dark or blurred?", False),
        ("Is there a cat or a dog?", False),
        ("What color is the car or truck?", False),
    ],
)
def test_a_truth_is_no_choice(question: str, outside: bool) -> None:
    assert [bool(outside_options(question, value)) for value in (True, False)] == [outside] * 2


@pytest.mark.parametrize(
    "question",
    [
        "What color is the car or truck?",
        "What is on the table, chair or sofa?",
        "What color is the larger car, truck or bus?",
        "What is written on the sign, if it is a stop or yield sign?",
        "What brand or model is this?",
        "Brand or model of the car?",
        "Name or number on the shirt?",
        "Is there a cat or a dog?",
        "Do you know the brand or model of the car?",
        "Can you tell me what is on the table or the desk?",
        "Is there a name or a number on the shirt, and which?",
        "Is the cup on the table or somewhere else?",
        "Is it made by Ford or another brand?",
        "Is the gate open or not?",
        "Is it a car, yes or no?",
        "Is it red or blue? And what is beside it?",
        "How many of the balloons are red or blue?",
        "Find the dog or the cat.",
        "Describe the car or truck.",
        "Or what is this?",
        "Does the man carry an umbrella or a bag, and what colour is it?",
        "Note: the ball is red or blue. What is next to it?",
        "Question: what is on the table or desk?",
        "What happens at 10:30 or 11:00?",
        "Ist es rot oder blau?",
        "Is it " + "red or blue " * 1000,
        "What options does the driver have?",
    ],
)
def test_questions_in_which_or_means_something_else(question: str) -> None:
    assert [outside_options(question, value) for value in ("gray", True, False)] == [""] * 3


def written(program: str) -> Iterator[str]:
    """The texts that a program returns as they are written, or lets a tool choose among."""
    for node in ast.walk(ast.parse(program)):
        if isinstance(node, ast.Return) and node.value is not None:
            ends = [node.value]
            while ends:
                end = ends.pop()
                if isinstance(end, ast.IfExp):
                    ends += [end.body, end.orelse]
                elif isinstance(end, ast.Constant) and isinstance(end.value, str):
                    yield end.value
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("classify", "choose"):
            lists = [a for a in node.args if isinstance(a, ast.List)]
            yield from (e.value for a in lists for e in a.elts if isinstance(e, ast.Constant))  # type: ignore[misc]


def entries(data: Any) -> Iterator[tuple[str, str]]:
    for value in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield from entries(value)
    if (
        isinstance(data, dict)
        and isinstance(data.get("question"), str)
        and isinstance(data.get("program"), str)
    ):
        yield data["question"], data["program"]


def test_no_program_of_ours_is_refused() -> None:
    folders = ("prompts", "visprog/evaluation/planner/questions")
    asked = [
        entry
        for folder in folders
        for file in sorted((ROOT / folder).glob("*.yaml"))
        for entry in entries(yaml.load(file.read_text(encoding="utf-8"), Loader=LOADER))
    ]
    assert len(asked) > 300
    told = [(q, text) for q, program in asked for text in written(program)]
    assert [(q, text) for q, text in told if outside_options(q, text)] == []
    assert sum(bool(outside_options(q, "zzz")) for q, _ in asked) > 30


@tool
def dominant(image: Image) -> str:
    """Its colour."""
    return "gray"


COLOR = "def answer(image):\n    return dominant(image)\n"
CHOICE = "def answer(image):\n    return 'red' if image.width > 1 else 'blue'\n"
OPTIONS = "gray', which is none of the options that the question offers"


def test_an_answer_outside_is_repaired_or_refused() -> None:
    planner = FakePlanner(COLOR, CHOICE, COLOR, COLOR, COLOR, COLOR)
    with Agent(planner, {"repairs": 1}, registry=Registry([*REGISTRY.values(), dominant])) as agent:
        assert agent.ask("Is it red or blue?", picture()).value == "red"
        assert planner.asked[1][1] is not None and OPTIONS in planner.asked[1][1].feedback
        answer = agent.ask("Is it red or blue?", picture())
        assert (answer.status, answer.value) == ("refused", None) and OPTIONS in answer.message
        (result,) = agent.map("red or blue?", [picture()], progress=False)
        assert result.answer.status == "refused"
        planner.programs = [COLOR]
        assert agent.ask("What color is it?", picture()).value == "gray"
        assert agent.run(COLOR, picture()).value == "gray"  # nothing was asked


def test_turns_meet_it_too() -> None:
    look = f"```python\n{COLOR}```"
    chat = Scripted(look, "DONE", look + "\nDONE", f"```python\n{CHOICE}```\nDONE")
    chat.replies[3] = "```python\ndef answer(str1):\n    return 'red' if str1 else 'blue'\n```\nDONE"
    with Agent(chat, {}, registry=Registry([dominant, *HELPERS]), turns=5) as agent:
        answer = agent.ask("Is it red or blue?", picture())
    assert (answer.status, answer.value) == ("answered", "red")
    assert [OPTIONS in chat.text(n) for n in (1, 2, 3)] == [False, True, True]

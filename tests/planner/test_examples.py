"""The examples that a model is shown: each is a program that works, and the right ones are chosen."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import PIL.Image
import PIL.ImageDraw
import pytest

from visprog import prompts, values
from visprog.check import check, dry_run
from visprog.planner import PlanRequest
from visprog.planner.examples import bm25, calls, choose, words
from visprog.program import Program
from visprog.prompts import Example
from visprog.registry import Registry, default_registry
from visprog.registry.registry import METHOD_TOOLS
from visprog.sandbox import Limits, Sandbox
from visprog.values import library

EXAMPLES = prompts.examples()
VIDEO_EXAMPLES = prompts.examples("video_examples.yaml")
ALL = (*EXAMPLES, *VIDEO_EXAMPLES)
LIBRARY_TYPES = library.LIBRARY.types
LIBRARY = "visprog.values.library:LIBRARY"


def test_there_are_enough_and_each_question_once() -> None:
    assert len(EXAMPLES) >= 40
    assert len({e.question.casefold() for e in ALL}) == len(ALL)
    assert sum(e.images > 1 for e in EXAMPLES) >= 4


@pytest.mark.parametrize("example", ALL, ids=lambda e: e.question)
def test_each_parses_and_calls_only_tools(example: Example, registry: Registry) -> None:
    (function,) = [n for n in ast.parse(example.program).body if isinstance(n, ast.FunctionDef)]
    assert function.name == "answer"
    one = "video" if example.video else "image"
    assert [a.arg for a in function.args.args] == [one if example.images == 1 else "images"]
    assert example.video == (example in VIDEO_EXAMPLES)
    assert calls(example.program) <= registry.keys() | {kind.cls.__name__ for kind in LIBRARY_TYPES}
    assert example.returns
    assert (example.answer is not None) == bool(example.draw)


@pytest.fixture(scope="module")
def registry() -> Registry:
    """The real tools: an example that does not fit them is worse than none."""
    return default_registry()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(Limits(cpu=5.0, grace=1.0), library=LIBRARY) as made:
        yield made


@pytest.mark.parametrize("example", ALL, ids=lambda e: e.question)
def test_each_passes_the_check_and_the_dry_run(
    example: Example, registry: Registry, sandbox: Sandbox
) -> None:
    returns = eval(example.returns, {**vars(values), "Image": values.Image})
    program = Program.parse(example.program)
    assert check(program, registry, returns=returns) == []
    inputs = program.inputs(example.images)
    found = dry_run(program, registry, returns=returns, inputs=inputs, sandbox=sandbox)
    assert found == []


@pytest.mark.parametrize("example", [e for e in EXAMPLES if e.draw], ids=lambda e: e.question)
def test_each_drawing_gives_its_answer(example: Example, registry: Registry) -> None:
    recipes = example.draw if isinstance(example.draw, list) else [example.draw]
    names: dict[str, Any] = dict(registry)
    exec(example.program, names)
    given = [draw(recipe) for recipe in recipes]
    assert names["answer"](given[0] if example.images == 1 else given) == example.answer


def draw(recipe: Mapping[str, Any], scale: int = 4) -> values.Image:
    """A picture of shapes, with smooth edges."""
    canvas = PIL.Image.new("RGB", [side * scale for side in recipe["size"]], "white")
    pen = PIL.ImageDraw.Draw(canvas)
    for shape in recipe["shapes"]:
        color, width = shape["color"], shape.get("width", 0) * scale
        style: dict[str, Any] = {"outline": color, "width": width} if width else {"fill": color}
        for kind in ("circle", "rectangle", "polygon", "line"):
            at = [number * scale for number in shape.get(kind, [])]
            if kind == "line" and at:
                pen.line(at, fill=color, width=width, joint="curve")
            elif kind == "circle" and at:
                pen.circle(at[:2], at[2], **style)
            elif at:
                getattr(pen, kind)(at, **style)
    return values.Image.open(canvas.resize(recipe["size"], PIL.Image.Resampling.BOX))


def test_every_tool_has_an_example(registry: Registry) -> None:
    shown = {name for e in ALL for name in calls(e.program)}
    assert registry.called.keys() - METHOD_TOOLS <= shown
    methods = {
        n.attr for e in VIDEO_EXAMPLES for n in ast.walk(ast.parse(e.program)) if isinstance(n, ast.Attribute)
    }
    of_videos = {name for name in METHOD_TOOLS if name.startswith("video_")}
    assert {name.removeprefix("video_") for name in of_videos} <= methods


@pytest.mark.parametrize(
    ("question", "images", "wanted"),
    [
        ("How many zebras can you see?", 1, "len(detect"),
        ("Which lamp is nearest to the window?", 1, "nearest("),
        ("Pixelate the faces of the people", 1, 'style="pixelate"'),
        ("In how many of these photos is a dog left of a cat?", 5, "for image in images"),
        ("how many times do the blue line and the red line cross?", 1, "intersections("),
        ("What is written on the sign?", 1, "read_text("),
        ("Find the fourth bottle from the left", 1, "nth(left_to_right("),
        ("What colour is the smallest car?", 1, "dominant_color("),
        ("Is there a cat and no dog?", 1, "== 0"),
        ("There is a tower with two blocks", 1, "find_panels("),
        ("There is a red square touching the edge", 1, "< 1.5"),
        ("Which frame shows the door open first?", 4, "enumerate(images, 1)"),
        ("Keep the dog in color and grey out the rest", 1, "color_pop("),
    ],
)
def test_the_nearest_example_shows_how(
    question: str, images: int, wanted: str, plan_request: Callable[..., PlanRequest]
) -> None:
    shown = choose(plan_request(question, images), EXAMPLES, 4)
    assert any(wanted in e.program for e in shown)


def test_the_most_similar_comes_last(plan_request: Callable[..., PlanRequest]) -> None:
    shown = choose(plan_request("Is there a bicycle in the picture?"), EXAMPLES, 5)
    assert len(shown) == 5
    assert shown[-1].question == "Is there a bicycle in the picture?"


def test_pictures_and_type_of_answer_count(plan_request: Callable[..., PlanRequest]) -> None:
    one = Example("count the dogs", "def answer(image):\n    return 1\n", 1, "int")
    two = Example("count the dogs", "def answer(images):\n    return 1\n", 2, "int")
    text = Example("count the dogs", "def answer(image):\n    return 'a'\n", 1, "str")
    noise = [Example(f"other {i}", one.program, 1, "int") for i in range(9)]
    pool = [two, text, one, *noise]
    assert choose(plan_request("count the dogs", 1, int), pool, 1) == [one]
    assert choose(plan_request("count the dogs", 3, int), pool, 1) == [two]
    assert choose(plan_request("count the dogs", 1, str), pool, 1) == [text]


def test_examples_of_tools_that_are_not_there_are_not_shown() -> None:
    assert choose(PlanRequest("How many dogs?", registry=Registry()), EXAMPLES, 8) == []


def test_none_and_too_many(plan_request: Callable[..., PlanRequest]) -> None:
    assert choose(plan_request(), EXAMPLES, 0) == []
    assert choose(plan_request(), [], 5) == []
    assert len(choose(plan_request(), EXAMPLES, 1000)) == len(EXAMPLES)


def test_words_and_scores() -> None:
    assert words("Dogs, buses & berries: what colours?") == ["dog", "bus", "berry", "what", "color"]
    first, second, third = bm25("red dogs", ["a dog", "a red dog", "nothing"])
    assert second > first > third == 0
    assert bm25("is it of the", ["is it of the", "dog"]) == [0, 0]
    assert bm25("x", []) == []


def test_names_that_a_program_calls() -> None:
    program = "def f(g):\n    return g(1)\n\n\nresult = max(detect(image, 'a'), key=sharpness) or f(abs)\n"
    assert calls(program) == {"detect", "sharpness"}
    assert calls("def answer(image):\n    raise NothingFound(caption(image))\n") == {"caption"}


def test_unknown_prompt_file() -> None:
    with pytest.raises(FileNotFoundError):
        prompts.text("missing.txt")

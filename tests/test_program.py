"""A program, parsed once; its inputs; and images as users give them: one after another, in lists, within limits."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog.agent import Agent
from visprog.config import Config
from visprog.errors import ConfigError, ImageError
from visprog.program import Program, header, image_inputs, open_images
from visprog.values.image import Image

WIDTHS = "def answer(images):\n    return [i.width for i in images]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for width in (10, 20):
        Image.open(np.zeros((5, width, 3), np.uint8)).save(tmp_path / f"{width}.png")
    return tmp_path


FORMS: list[Callable[[Path, Path], list[Any]]] = [
    lambda a, b: [a, b],
    lambda a, b: [[a, b]],
    lambda a, b: [(str(a), b)],
    lambda a, b: [a, [b]],
    lambda a, b: [iter([a, b])],
    lambda a, b: [sorted(a.parent.glob("*.png"))],
    lambda a, b: [[a.read_bytes(), np.zeros((5, 20), np.uint8)], []],
    lambda a, b: [a.open("rb"), [b.open("rb")]],
]


@pytest.mark.parametrize("form", FORMS)
def test_images_one_after_another_or_in_lists(form: Callable[[Path, Path], list[Any]], folder: Path) -> None:
    opened = open_images(form(folder / "10.png", folder / "20.png"), Config())
    assert [image.width for image in opened] == [10, 20]


def test_an_agent_takes_lists(folder: Path) -> None:
    paths = [str(folder / "10.png"), str(folder / "20.png")]
    with Agent(FakePlanner(WIDTHS), {}, registry=REGISTRY) as agent:
        assert agent.ask("How wide are they?", paths).value == [10, 20]
        assert agent.run(WIDTHS, paths).value == [10, 20]


@pytest.mark.parametrize("given", [{"a": 1}, {1}, 3, None, [[["a.png"]]], [[0, 255]], [None]])
def test_what_is_no_image_is_refused(given: Any) -> None:
    with pytest.raises(ImageError, match="cannot read an image from"):
        open_images([given], Config())


def test_the_settings_limit_the_pixels(folder: Path) -> None:
    with pytest.raises(
        ImageError, match=r"10.png has 10 x 5 pixels, more than 40: .* max_pixels \(--max-pixels\)"
    ):
        open_images([folder / "10.png"], Config(max_pixels=40))
    with pytest.raises(ConfigError, match="'max_pixels' must be"):
        Config.of({"max_pixels": 0})
    with Agent(FakePlanner(), {"max_pixels": 40}, registry=REGISTRY) as agent:
        (mapped,) = agent.map("?", [folder / "10.png"], program="def answer(image):\n    return 1\n")
    assert mapped.answer.status == "error" and "--max-pixels" in mapped.answer.message


# -- programs ------------------------------------------------------------------------------------------


def test_a_program_is_parsed_once() -> None:
    source = "def answer(image):\n    return 1  # parsed once\n"
    program = Program.parse(source)
    assert Program.parse(source) is program and Program.parse(program) is program
    assert program == Program.parse(source) and hash(program) and "tree" not in repr(program)


def test_a_program_that_cannot_be_parsed_says_why() -> None:
    program = Program.parse("def answer(image):\n    return (")
    assert program.error is not None and program.error.code == "syntax-error" and program.error.line == 2
    assert program.tree.body == [] and program.form == "none" and program.parameters is None


@pytest.mark.parametrize(
    ("source", "form", "parameters"),
    [
        ("def answer(image):\n    return 1", "function", ("image",)),
        (
            "def answer(before, /, after, *, margin, scale=1.0):\n    return 1",
            "function",
            ("before", "after"),
        ),
        ("def answer(image, margin=2):\n    return 1", "function", ("image",)),
        ("def answer():\n    return 1", "function", ()),
        ("return image.width", "script", None),
        ("result = image.width", "script", None),
        ("def answer(image):\n    return 1\nresult = answer(image)", "script", None),
        ("def count(image):\n    return 1", "none", None),
    ],
)
def test_form_and_parameters(source: str, form: str, parameters: tuple[str, ...] | None) -> None:
    program = Program.parse(source)
    assert (program.form, program.parameters) == (form, parameters)


@pytest.mark.parametrize(
    ("head", "images", "bound", "inputs"),
    [
        ("image", 1, {"image": 0}, {"image": Image}),
        ("x", 1, {"x": 0}, {"x": Image}),
        ("images", 1, {"images": [0]}, {"images": tuple[Image]}),
        ("photos", 2, {"photos": [0, 1]}, {"photos": tuple[Image, Image]}),
        ("x", 2, {"x": [0, 1]}, {"x": tuple[Image, Image]}),
        ("before, after", 2, {"before": 0, "after": 1}, {"before": Image, "after": Image}),
        ("a, b, c", 3, {"a": 0, "b": 1, "c": 2}, {"a": Image, "b": Image, "c": Image}),
        ("a, b, c", 1, {"a": 0}, {"a": Image, "b": Image, "c": Image}),
        (None, 2, {"image": 0, "images": [0, 1]}, {"image": Image, "images": tuple[Image, Image]}),
        (None, 0, {}, {"image": Image, "images": tuple[Image]}),
    ],
)
def test_images_under_the_names_of_the_program(
    head: str | None, images: int, bound: dict[str, Any], inputs: dict[str, Any]
) -> None:
    program = Program.parse("return 1" if head is None else f"def answer({head}):\n    return 1")
    assert program.bind(range(images)) == bound
    assert program.inputs(images) == inputs


def test_any_number_of_images() -> None:
    assert Program.parse("def answer(images):\n    return 1").inputs() == {"images": list[Image]}
    assert Program.parse("return 1").inputs() == {"image": Image, "images": list[Image]}
    assert Program.parse("def answer(a, b):\n    return 1").inputs() == {"a": Image, "b": Image}


@pytest.mark.parametrize(
    ("head", "images", "message"),
    [
        ("image", 1, ""),
        ("images", 3, ""),
        ("x", 3, ""),
        ("before, after", 2, ""),
        ("", 2, ""),
        ("image", 2, "the program takes one image (image), and 2 were given; "
         "to take any number, write 'def answer(images)'"),
        ("images", 0, "the program takes one image (images), and none was given"),
        ("before, after", 1, "the program takes 2 images (before, after), and one was given"),
    ],
)  # fmt: skip
def test_a_program_that_cannot_be_given_so_many_images(head: str, images: int, message: str) -> None:
    assert Program.parse(f"def answer({head}):\n    return 1").mismatch(images) == message


def test_the_first_line_comes_from_the_inputs() -> None:
    assert header(image_inputs(1)) == "def answer(image):"
    assert header(image_inputs(3)) == "def answer(images):"
    assert header({"before": Image, "after": Image}) == "def answer(before, after):"


def test_how_often_a_program_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for all that reads it; and each run of the sandbox, which trusts nobody, parses it for its own check."""
    parsed: list[str] = []
    parse = ast.parse

    def count(source: Any, *args: Any, **options: Any) -> Any:
        parsed.append(source)
        return parse(source, *args, **options)

    monkeypatch.setattr(ast, "parse", count)
    run, asked = (f"def answer(image):\n    return len(detect(image, 'dog')) + {n}\n" for n in (1, 2))
    with Agent(FakePlanner(asked), {}, registry=REGISTRY) as agent:
        assert agent.run(run, picture()).value == 3
        assert parsed == [run] * 2
        assert agent.ask("How many dogs and two?", picture()).value == 4
        trial = 3
        assert parsed.count(asked) == 1 + trial + 1


def test_the_functions_that_a_program_calls() -> None:
    source = "dogs = detect(image, 'dog')\nresult = len(detect(image, 'cat')) + dogs[0].area()"
    assert set(Program.parse(source).called) == {"len", "detect"} and len(Program.parse(source).called) == 2
    assert Program.parse("not python").called == ()

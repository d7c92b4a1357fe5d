"""Limits of what tools are given, and of what they make, in a run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from visprog import Agent
from visprog.config import Config
from visprog.errors import BudgetExceeded, ImageError, ToolError
from visprog.files.limits import SizeLimits
from visprog.registry import Registry, tool
from visprog.runtime.host import Host, Run, RunEnded
from visprog.values import Box, Line, Mask, Point, Region
from visprog.values.image import Image

IMAGE = Image(np.zeros((60, 80, 3), np.uint8))
WORKED: list[Any] = []


@tool
def take(what: Region | Line | Image | str | int | list[str] | list[list[int]] | dict[str, int]) -> int:
    """Take anything."""
    WORKED.append(what)
    return 1


@tool
def paint(image: Image, color: int) -> Image:
    """A new image of one colour."""
    return Image(np.full_like(image.pixels, color))


@tool
def whole(image: Image) -> Image:
    """The same pixels as an image of their own."""
    return Image(image.pixels, name="whole")


@tool
def upper(image: Image) -> Image:
    """The upper half."""
    return image.crop(Box(0, 0, image.width, image.height / 2))


@tool
def left(image: Image) -> Image:
    """The left half."""
    return image.crop(Box(0, 0, image.width / 2, image.height))


@tool
def mask(image: Image, n: int) -> Region:
    """The whole image as a region with a mask."""
    return Region(image.box, image=image, mask=Mask(np.ones((image.height, image.width), bool), image.box))


@tool
def painted(image: Image) -> Image:
    """What another tool made."""
    return paint(image, 7)


def run_within(**limits: int) -> Run:
    registry = Registry([take, paint, whole, upper, left, mask, painted])
    return Host(registry, Config(in_process=True, limits=SizeLimits(**limits))).new_run()


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (
            "x" * 11,
            {"text_letters": 10},
            "a text of 11 characters, and a tool takes 10 at most.*'text_letters'",
        ),
        (["a"] * 11, {"list_items": 10}, "a list of 11 values"),
        (["a", "x" * 11], {"text_letters": 10}, "a text of 11 characters"),
        ({"a" * 11: 1}, {"text_letters": 10}, "a text of 11 characters"),
        (Region(Box(0, 0, 1, 1), "x" * 11), {"text_letters": 10}, "a text of 11 characters"),
        ([[1] * 9] * 9, {"values": 80}, "more than 80 values together.*raise 'values'"),
        (Line(tuple(Point(i, i) for i in range(50))), {"values": 40}, "more than 40 values"),
        (Image(np.zeros((1, 900, 3), np.uint8)), {"image_side": 800}, "an image with a side of 900 pixels"),
    ],
)
def test_arguments_that_are_too_large_never_reach_the_tool(
    value: Any, limits: dict[str, int], message: str
) -> None:
    WORKED.clear()
    run = run_within(**limits)
    with pytest.raises(ToolError, match=message) as caught:
        run.call(take, value)
    assert str(caught.value).startswith("take: ")
    assert not WORKED
    assert run.calls[0].error == str(caught.value)
    assert run_within().call(take, value) == 1


def test_the_defaults_hold_where_nothing_is_set() -> None:
    for value in ("x" * 4097, ["a"] * 1001, [[1] * 999] * 20):
        with pytest.raises(ToolError, match="take: "):
            run_within().call(take, value)
    for value in ("x" * 4096, ["a"] * 1000, [[1] * 998] * 20):
        assert run_within().call(take, value) == 1


def test_a_program_can_catch_it_and_go_on() -> None:
    program = (
        "try:\n    take('x' * 5000)\nexcept Exception as error:\n    answer = str(error)[:20]\nreturn answer"
    )
    source = "def answer(image):\n" + "".join(f"    {line}\n" for line in program.splitlines())
    with Agent(planner="embedded", registry=Registry([take]), in_process=True) as agent:
        answer = agent.run(source, IMAGE)
    assert answer.value == "take: 'what' holds a"[:20], answer


def test_new_images_have_a_budget() -> None:
    run = run_within(new_pixels=3 * 60 * 80)
    for color in range(3):
        run.call(paint, IMAGE, color)
    with pytest.raises(
        RunEnded, match="images of more than 14,400 pixels together; raise 'new_pixels'"
    ) as caught:
        run.call(paint, IMAGE, 3)
    assert isinstance(caught.value.reason, BudgetExceeded)
    assert run.calls[-1].error and run.calls[-1].result is None


def test_views_known_images_and_cached_results_are_free() -> None:
    run = run_within(new_pixels=60 * 80)
    made = run.call(paint, IMAGE, 1)
    for _ in range(3):
        run.call(paint, IMAGE, 1)  # from the cache
        run.call(whole, made)
        run.call(upper, IMAGE)
        run.call(upper, made)
    with pytest.raises(RunEnded):
        run.call(left, IMAGE)  # a copy


def test_images_of_nested_calls_count_once() -> None:
    run = run_within(new_pixels=60 * 80)
    assert run.call(painted, IMAGE).pixels[0, 0, 0] == 7
    with pytest.raises(RunEnded):
        run.call(paint, IMAGE, 1)


def test_masks_count_by_their_memory() -> None:
    run = run_within(new_pixels=60 * 80)
    for n in range(3):
        run.call(mask, IMAGE, n)
    with pytest.raises(RunEnded):
        run.call(mask, IMAGE, 3)


def test_a_program_beyond_its_pixels_ends_with_an_outcome() -> None:
    source = "def answer(image):\n    made = [paint(image, i) for i in range(100)]\n    return len(made)\n"
    with Agent(
        planner="embedded", registry=Registry([paint]), in_process=True, limits={"new_pixels": 60 * 80 * 10}
    ) as agent:
        answer = agent.run(source, IMAGE)
    assert answer.status == "error"
    assert "raise 'new_pixels' under [limits]" in answer.message
    assert len(answer.trace) == 11


def test_a_question_has_a_number_of_images() -> None:
    with Agent(planner="embedded", limits={"images": 3}) as agent:
        for images in ([IMAGE] * 4, [[IMAGE] * 4], [iter([IMAGE] * 4)]):
            with pytest.raises(ImageError, match="3 images at most"):
                agent.run("def answer(images):\n    return len(images)\n", *images)
        assert agent.run("def answer(images):\n    return len(images)\n", *[IMAGE] * 3).value == 3


def test_crops_that_a_process_returns_are_still_views() -> None:
    run = Host(Registry([paint, upper]), Config(limits=SizeLimits(new_pixels=60 * 80))).new_run()
    made = run.call(paint, IMAGE, 1)
    for image in (IMAGE, made):
        assert run.call(upper, image).size == (80, 30)
    with pytest.raises(RunEnded):
        run.call(paint, IMAGE, 2)

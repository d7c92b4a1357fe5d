"""What measuring tools would find is asked of `detect`, where a request lacks them."""

from __future__ import annotations

import re

import pytest

from visprog.check import check
from visprog.errors import Refused
from visprog.planner.base import PlanRequest
from visprog.planner.embedded.planner import EmbeddedPlanner
from visprog.planner.embedded.shapes import MEASURING, detect_instead, missing
from visprog.registry import Registry, default_registry


def without(*names: str) -> Registry:
    return Registry(tool for name, tool in default_registry().items() if name not in names)


LEARNED = without(*MEASURING, "find_lines", "find_grid", "find_panels")


def instead(line: str, question: str = "", registry: Registry = LEARNED) -> str | None:
    found = detect_instead(f"def answer(image):\n    {line}\n", question, missing(registry), registry)
    return found and found.splitlines()[1].strip()


@pytest.mark.parametrize(
    ("measured", "detected"),
    [
        ("return len(find_circles(image))", 'return len(detect(image, "circle"))'),
        ('return find_circles(image, "red")', 'return detect(image, "red circle")'),
        ('return find_polygons(image, "squares")', 'return detect(image, "squares")'),
        ('return find_polygons(image, "star", "light blue")', 'return detect(image, "light blue star")'),
        ("return find_polygons(image)", 'return detect(image, "polygon")'),
        (
            'return largest(find_circles(image) + find_polygons(image, "shape"))',
            'return largest(detect(image, "shape"))',
        ),
        (
            'return find_circles(image) + find_polygons(image, "star")',
            'return detect(image, "circle") + detect(image, "star")',
        ),
        ('return detect(image, "dogs")', 'return detect(image, "dogs")'),
    ],
)
def test_measures_become_words(measured: str, detected: str) -> None:
    assert instead(measured) == detected


def test_what_words_cannot_say_is_not_said() -> None:
    assert instead("return max(c.radius for c in find_circles(image))") is None
    assert instead('return find_polygons(image, "star")[0].sides') is None
    assert instead("return find_circles(crop_half(image, 'left'))") is None
    assert (
        instead("return len(find_circles(image)) > len(find_circles(image))", "More rings than circles?")
        is None
    )


def test_a_ring_is_no_circle_to_look_at() -> None:
    circles = "return find_circles(image)"
    assert instead(circles, "Where are the rings?") == 'return detect(image, "ring")'
    assert instead(circles, "Where are the discs and dots?") == 'return detect(image, "circle")'
    assert instead(circles, "What is striped?") == 'return detect(image, "circle")'


def test_only_what_is_missing_is_asked_of_detect() -> None:
    line = 'return find_circles(image) + find_polygons(image, "shape")'
    assert instead(line, registry=default_registry()) == line
    polygons = without("find_circles")
    assert (
        instead(line, registry=polygons) == 'return detect(image, "circle") + find_polygons(image, "shape")'
    )
    assert not missing(default_registry())
    assert not missing(without("detect", *MEASURING))
    assert set(missing(polygons)) == {"find_circles"}


@pytest.mark.parametrize(
    ("question", "asked"),
    [
        ("How many circles are there?", ['"circle"']),
        ("Is the red circle to the left of the blue square?", ['"red circle"', '"blue square"']),
        ("Is there a green square?", ['"green square"']),
        ("Is there a red star and a blue ring?", ['"red star"', '"blue ring"']),
        ("Are there more triangles than stars?", ['"triangles"', '"stars"']),
        ("What color is the largest shape?", ['"shape"']),
    ],
)
def test_questions_about_shapes_are_planned_without_measuring_tools(question: str, asked: list[str]) -> None:
    (plan,) = EmbeddedPlanner().plan(PlanRequest(question, registry=LEARNED))
    assert check(plan.program, LEARNED) == []
    # The measuring tool's "squares" stands for a square as well.
    assert all(re.search(rf"detect\(image, {phrase[:-1]}s?\"\)", plan.program) for phrase in asked), (
        plan.program
    )
    (measured,) = EmbeddedPlanner().plan(PlanRequest(question))
    assert plan.probability == pytest.approx(measured.probability, rel=0.01)


def test_without_a_detector_such_questions_are_refused() -> None:
    blind = without("detect", *MEASURING)
    with pytest.raises(Refused, match="not sure"):
        EmbeddedPlanner().plan(PlanRequest("How many circles are there?", registry=blind))

"""Relative depth tells an order: a program that gives its numbers as distances is refused before it runs."""

from __future__ import annotations

import pytest

from visprog.check import check, dry_run
from visprog.config import Config
from visprog.registry import Registry, default_registry
from visprog.runtime.host import Host


def registry(**options: str) -> Registry:
    settings = {"tools": {"depth": {"backend": "depth-anything", **options}}}
    return Host(default_registry(), Config.of(settings)).in_force


RELATIVE, METRIC = registry(), registry(values="metres")


def codes(body: str, tools: Registry) -> set[str]:
    lines = body.replace("\n", "\n    ")
    source = f"def answer(image):\n    far = depth(image)\n    {lines}\n"
    return {d.code for d in [*check(source, tools), *dry_run(source, tools)]}


DISTANCES = (
    "return far.at(Point(3, 4))",
    "return depth(image).at(Point(3, 4))",
    "d = far.at(Point(3, 4))\nreturn round(d, 1)",
    "return 2 * far.at(Point(3, 4)) + 0.5",
    "return f'{far.at(Point(3, 4)):.1f} m'",
    "return str(far.at(Point(3, 4))) + ' m'",
    "return [far.at(p) for p in [Point(3, 4), Point(5, 6)]]",
    "return {'a': far.at(Point(3, 4))}",
    "ds = [far.at(p) for p in [Point(3, 4), Point(5, 6)]]\nreturn min(ds)",
    "if image.width > 3:\n    return far.at(Point(3, 4))\nreturn 0.0",
    "return abs(far.at(Point(3, 4)) - far.at(Point(5, 6)))",
)


@pytest.mark.parametrize("body", DISTANCES)
def test_its_numbers_are_no_answer(body: str) -> None:
    assert codes(body, RELATIVE) == {"relative-depth"}
    assert codes(body, METRIC) == set()


@pytest.mark.parametrize(
    "body",
    [
        "return far.at(Point(3, 4)) < far.at(Point(5, 6))",
        "return sorted([Point(3, 4), Point(5, 6)], key=lambda p: far.at(p))",
        "return min([Point(3, 4), Point(5, 6)], key=lambda p: far.at(p))",
        "return 'a' if far.at(Point(3, 4)) > 0.5 else 'b'",
        "if not far.metric:\n    raise NothingFound('no distances')\nreturn far.at(Point(3, 4))",
        "def near(p):\n    return far.at(p)\nreturn sorted([Point(3, 4)], key=near)",
    ],
)
def test_comparing_them_is_what_they_are_for(body: str) -> None:
    assert codes(body, RELATIVE) == codes(body, METRIC) == set()


def test_metres_are_refused_by_the_backend_in_force() -> None:
    assert codes("return far.metres(Point(3, 4))", RELATIVE) >= {"absent-tool"}
    assert codes("return far.metres(Point(3, 4))", METRIC) == set()
    (found,) = check("def answer(image):\n    return depth(image).metres(Point(3, 4))\n", RELATIVE)
    assert found.refusal and "which of two is nearer" in found.message and "Metric-Indoor" in found.message
    assert "not how many metres" in RELATIVE["depth"].description
    assert "distances in metres" in METRIC["depth"].description


@pytest.mark.parametrize("tools", [METRIC, registry(model="nobody/has-fetched-it")])
def test_a_number_of_metres_is_compared_with_what_may_be_metres(tools: Registry) -> None:
    assert codes("return far.at(Point(3, 4)) < 5", tools) == set()
    assert codes("return far.at(Point(3, 4)) < 5", RELATIVE) == {"out-of-range"}

"""Points in the answers of vision-language models: each published form, and nothing that only looks like one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.tools.backends import vlm
from visprog.tools.backends.pointing import EndpointPointer, VlmPointer, parse_points, point_prompt, points_in
from visprog.tools.point import point
from visprog.values import Box, Point
from visprog.values.image import Image

IMAGE = Image(np.zeros((100, 200, 3), np.uint8))


@pytest.mark.parametrize(
    ("answer", "points"),
    [
        ('<point x="61.5" y="40.4" alt="dog">dog</point>', [(0.615, 0.404)]),
        (' <points x1="10" y1="20" x2="30.5" y2="40" alt="dogs">dogs</points>', [(0.1, 0.2), (0.305, 0.4)]),
        ('<points coords="1 1 615 404 2 700 100">dogs</points>', [(0.615, 0.404), (0.7, 0.1)]),
        ('Two: <point x="1" y="2">a</point> and <point x="3" y="4">b</point>.', [(0.01, 0.02), (0.03, 0.04)]),
        ('```json\n[{"point_2d": [615, 404], "label": "dog"}]\n```', [(0.615, 0.404)]),
        ('[{"point": [404, 615], "label": "dog"}]', [(0.615, 0.404)]),
        ('{"x": 0, "y": 1000}', [(0.0, 1.0)]),
        ("[]", []),
        ("There are none.", []),
        ("There is no dog in the image.", []),
    ],
)
def test_each_form(answer: str, points: list[tuple[float, float]]) -> None:
    assert parse_points(answer) == [pytest.approx(point) for point in points]


@pytest.mark.parametrize(
    "answer",
    ["the dog", "There are 3 dogs.", "12, 40", "null", "[[1, 2]]", '[{"box": 1}]', '[{"point_2d": [1, 2, 3]}]',
     '[{"point_2d": [true, 2]}]', '[{"point_2d": [1, "2"]}]', '[{"point_2d": [1400, 2]}]', '[{"point_2d": [NaN, 2]}]',
     '<point x="101" y="3">', '<point x="10">', '<point alt="x">', '<points coords="1 1 2">', '<points coords="a b">',
     '<points coords="2 1 2 3">', '<points coords="">', "[" * 100_000, "There is no dog at [100, 200], but", ""],
)  # fmt: skip
def test_anything_else_is_no_answer(answer: str) -> None:
    with pytest.raises(ValueError):
        parse_points(answer)
    found = points_in(IMAGE, "m", answer)
    assert isinstance(found, ToolError) and "in a known form" in str(found)


def test_points_lie_in_the_frame_of_the_root() -> None:
    crop = IMAGE.crop(Box(100, 50, 200, 100))
    assert points_in(crop, "m", '<point x="50" y="50">') == [Point(150, 75)]
    broken = ToolError("no reply")
    assert points_in(crop, "m", broken) is broken


def test_models_are_asked_in_their_own_form() -> None:
    assert point_prompt(" the  dogs", "allenai/Molmo2-4B", "auto") == "Point to the dogs."
    assert "point_2d" in point_prompt("dogs", "Qwen/Qwen3-VL-4B-Instruct", "auto")
    assert point_prompt("dogs", "my/folder", "molmo") == "Point to dogs."
    with pytest.raises(ToolError, match="what to point to"):
        point_prompt(" ", "x", "auto")


def test_a_folder_is_asked_as_its_type_is(checkpoint: Callable[[str], str]) -> None:
    assert VlmPointer(checkpoint("molmo2"))._prepare(IMAGE, "dogs").text == "Point to dogs."
    assert "point_2d" in VlmPointer(checkpoint("qwen3-vl"))._prepare(IMAGE, "dogs").text


def test_the_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    def said(self: Any, asked: Any) -> list[str]:
        return ['<point x="50" y="50">' for _ in asked]

    monkeypatch.setattr(vlm.VlmBackend, "_answer", said)
    monkeypatch.setattr("visprog.tools.backends.endpoint.EndpointModel._answer", said)
    calls = [{"image": IMAGE, "what": "dogs"}, {"image": IMAGE, "what": ""}]
    for backend in (VlmPointer(), EndpointPointer("m")):
        good, bad = backend(calls)
        assert good == [Point(100, 50)] and isinstance(bad, ToolError)
    assert isinstance(point.load("vlm"), VlmPointer)
    with pytest.raises(Refused, match="no model that points"):
        point(IMAGE, "dogs")

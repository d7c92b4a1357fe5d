"""Depth: what is farther has the larger number, whatever the model says, in the frame of the root."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.agent import Agent
from visprog.check import check, dry_run
from visprog.errors import ToolError
from visprog.registry import Registry, default_registry, tool
from visprog.registry.types import json_schema
from visprog.values import Box, Depth, Mask, Point, Region
from visprog.values.codec import Reader, drawing, fingerprint, show, to_json, words
from visprog.values.helpers import NothingFound, nearest_to_camera
from visprog.values.image import Image

WIDE = Image(np.full((100, 200, 3), 90, np.uint8))
RAMP = np.tile(np.arange(20, dtype=np.float32), (10, 1))
"""Values that grow from left to right, one a cell of 10 x 10 pixels of WIDE."""


@tool(name="ramp")
def ramp_tool(image: Image) -> Depth:
    """Relative depth that grows to the right."""
    return Depth.of(image, np.tile(np.arange(image.width / 10), (3, 1)))


@pytest.mark.parametrize(
    ("metric", "inverse", "right"), [(False, False, 1), (False, True, 0), (True, False, 19)]
)
def test_larger_is_farther_whatever_the_model_says(metric: bool, inverse: bool, right: float) -> None:
    depth = Depth.of(WIDE, RAMP, metric=metric, inverse=inverse)
    left_edge, right_edge = depth.at(Point(1, 50)), depth.at(Point(199, 50))
    assert right_edge == right and (left_edge > right_edge) == inverse
    assert depth.metric == metric


def test_the_median_of_the_middle_of_a_box_and_of_a_mask() -> None:
    values = np.full((100, 200), 9.0)
    values[30:70, 60:140] = 2.0  # an object in front of a wall
    depth = Depth.of(WIDE, values, metric=True)
    box = Box(45, 20, 155, 80)  # a loose box: much of it is wall
    assert depth.at(box) == depth.at(Region(box, "cup")) == 2.0
    ring = np.ones((60, 110), bool)
    ring[10:50, 15:95] = False
    assert depth.at(Mask(ring, box)) == 9.0
    assert depth.at(Region(box, "frame", mask=Mask(ring, box))) == 9.0


def test_small_and_thin_things_and_those_that_reach_out() -> None:
    depth = Depth.of(WIDE, RAMP, metric=True)
    assert depth.at(Box(52, 50, 53, 51)) == 5.0
    assert depth.at(Mask(np.ones((1, 1), bool), Box(58, 50, 59, 51))) == 5.0
    assert depth.at(Box(195, 90, 260, 150)) == 19.0
    assert depth.at(Mask(np.zeros((4, 4), bool), Box(50, 50, 54, 54))) == 5.0
    assert depth.at(Point(200, 100)) == 19.0


def test_a_crop_and_its_image_share_one_frame() -> None:
    crop = WIDE.crop(Box(100, 0, 200, 100))
    depth = Depth.of(crop, RAMP[:, :10], metric=True)
    assert depth.box == crop.box and depth.image is WIDE
    assert depth.at(Point(155, 50)) == 5.0
    with pytest.raises(ToolError, match="lies outside the image"):
        depth.at(Box(0, 0, 40, 40))


def test_a_region_of_another_image_is_refused() -> None:
    other = Image(np.zeros((100, 200, 3), np.uint8))
    depth = Depth.of(WIDE, RAMP)
    with pytest.raises(ToolError, match="of another image"):
        depth.at(Region(Box(0, 0, 9, 9), "cat", image=other))
    assert depth.at(Region(Box(0, 0, 9, 9), "cat", image=Image(WIDE.pixels.copy()))) == 0.0


@pytest.mark.parametrize("values", [np.zeros((0, 4)), np.zeros(4), [[np.nan, 1.0]], [[np.inf]]])
def test_what_is_no_depth_is_refused(values: object) -> None:
    with pytest.raises(ValueError, match="depth"):
        Depth.of(WIDE, values)


def test_an_even_image_has_no_nearer_part_and_metres_are_not_inverse() -> None:
    assert Depth.of(WIDE, np.full((3, 3), 7.0), inverse=True).values.max() == 1.0
    with pytest.raises(ValueError, match="not inverse"):
        Depth.of(WIDE, RAMP, metric=True, inverse=True)


def test_as_json_as_a_key_and_as_evidence() -> None:
    depth = Depth.of(WIDE, RAMP + 0.123, metric=True)
    data = to_json(depth)
    again = Reader(lambda form: WIDE).value(data)
    assert np.array_equal(again.values, depth.values) and again.metric and again.box == depth.box
    assert fingerprint(again) == fingerprint(depth) != fingerprint(Depth.of(WIDE, RAMP, metric=True))
    drawn = drawing(data)
    assert drawn is not None and drawn.veil is not None and drawn.box == (0, 0, 200, 100)
    assert "metres" in words(data) and "m" in show(depth) and "<img" in depth._repr_html_()
    assert json_schema(Depth)["type"] == "string"


def test_programs_ask_it_and_every_question_is_in_the_trace() -> None:
    source = """
def answer(image):
    far = ramp(image)
    posts = [Box(150, 0, 160, 20), Box(20, 0, 30, 20), Box(90, 0, 100, 20)]
    order = sorted(posts, key=lambda post: far.at(post))
    return [nearest_to_camera(posts, far).left, order[-1].left, far.metric]
"""
    registry = Registry([*default_registry().values(), ramp_tool])
    assert check(source, registry) == [] and dry_run(source, registry) == []
    with Agent(registry=registry) as agent:
        answer = agent.run(source, WIDE)
    assert answer.value == [20, 150, False]
    assert [call.tool for call in answer.trace] == ["ramp", *["depth_at"] * 6]
    assert set(answer.trace[1].arguments) == {"where"}


@pytest.mark.parametrize(
    ("body", "part"),
    [("ramp(image).at(3)", "'where' must be"), ("ramp(image).values", "no attribute 'values'"),
     ("ramp(image).att(image)", "did you mean 'at'"), ("nearest_to_camera(ramp(image), [])", "depth")],
)  # fmt: skip
def test_misuse_is_told_before_it_runs(body: str, part: str) -> None:
    found = check(
        f"def answer(image):\n    return {body}\n", Registry([*default_registry().values(), ramp_tool])
    )
    assert any(part in f"{d.message} {d.suggestion}" for d in found)


def test_nothing_is_nearest_among_nothing() -> None:
    with pytest.raises(NothingFound, match="nearest_to_camera"):
        nearest_to_camera([], Depth.of(WIDE, RAMP))


@pytest.mark.parametrize(
    "body",
    ["return [point.x for point in [Point(1, 2)]]", "point = Point(1, 2)\n    return [point.x]",
     "near = lambda point: point.x\n    return [near(Point(1, 2))]",
     "def x_of(point):\n        return point.x\n    return [x_of(Point(1, 2))]"],
)  # fmt: skip
def test_a_variable_may_have_the_name_of_a_tool_that_is_not_called(body: str) -> None:
    source = f"def answer(image):\n    {body}\n"
    assert check(source, default_registry()) == [] and dry_run(source, default_registry()) == []
    with Agent("embedded") as agent:
        assert agent.run(source, WIDE).value == [1]
        called = "def answer(image):\n    depth = depth(image)\n    return depth.at(Point(1, 2))\n"
        assert [d.code for d in check(called, agent.registry)].count("rebound-tool") == 1

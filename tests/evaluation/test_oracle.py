"""Tools that answer from a described scene."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.errors import ToolError
from visprog.evaluation.oracle import DrawnObject, ShapesOracle
from visprog.registry import default_registry
from visprog.values import Box
from visprog.values.image import Image

LEFT, RIGHT = Box(0, 0, 100, 100), Box(150, 0, 250, 100)
OBJECTS = (
    DrawnObject(Box(40, 80, 60, 100), "square", "yellow", "medium"),
    DrawnObject(Box(40, 59, 60, 79), "square", "blue", "medium"),
    DrawnObject(Box(160, 10, 190, 40), "circle", "yellow", "large"),
    DrawnObject(Box(200, 90, 210, 100), "triangle", "black", "small"),
)


@pytest.fixture
def oracle() -> ShapesOracle:
    return ShapesOracle(OBJECTS, [LEFT, RIGHT])


@pytest.fixture
def image() -> Image:
    return Image(np.zeros((100, 250, 3), np.uint8))


@pytest.mark.parametrize(
    ("what", "boxes"),
    [
        ("yellow squares", [OBJECTS[0].box]),
        ("block", [OBJECTS[0].box, OBJECTS[1].box]),
        ("the yellow items", [OBJECTS[0].box, OBJECTS[2].box]),
        ("small object", [OBJECTS[3].box]),
        ("big circle", [OBJECTS[2].box]),
        ("grey boxes", [LEFT, RIGHT]),
        ("gray square", [LEFT, RIGHT]),
        ("tower", [Box(40, 59, 60, 100)]),
        ("red square", []),
    ],
)
def test_detect(oracle: ShapesOracle, image: Image, what: str, boxes: list[Box]) -> None:
    found = oracle.detect(image, what)
    assert sorted(map(str, (r.box for r in found))) == sorted(map(str, boxes))


def test_detect_looks_only_where_the_crop_lies(oracle: ShapesOracle, image: Image) -> None:
    assert [r.label for r in oracle.detect(image.crop(RIGHT), "shape")] == ["yellow circle", "black triangle"]
    assert [r.box for r in oracle.find_panels(image.crop(RIGHT))] == [RIGHT]


def test_words_that_the_scene_does_not_know(oracle: ShapesOracle, image: Image) -> None:
    with pytest.raises(ToolError, match="bicycle"):
        oracle.detect(image, "bicycle")


def test_shapes(oracle: ShapesOracle, image: Image) -> None:
    assert [p.color for p in oracle.find_polygons(image, "squares")] == ["blue", "yellow"]
    assert [p.sides for p in oracle.find_polygons(image, "shape")] == [4, 4, 3]
    assert oracle.find_polygons(image, "triangle", "yellow") == []
    (circle,) = oracle.find_circles(image, "yellow")
    assert (circle.center.x, circle.radius) == (175, 15)


def test_what_things_are_like(oracle: ShapesOracle, image: Image) -> None:
    circle = oracle.detect(image, "circle")[0]
    assert oracle.dominant_color(circle) == "yellow"
    assert oracle.has_color(circle, "yellow")
    assert not oracle.has_color(image.crop(LEFT), "yellow")
    assert oracle.classify(circle, ["square", "circle"]) == "circle"
    assert oracle.verify(circle, "a large yellow circle")
    assert not oracle.verify(circle, "it is black")
    with pytest.raises(ToolError, match="touching"):
        oracle.verify(circle, "touching the wall")


def test_its_tools_take_the_arguments_of_the_real_ones(oracle: ShapesOracle) -> None:
    import inspect

    registry = default_registry()
    for name, function in oracle.tools().items():
        assert list(inspect.signature(function).parameters) == [p.name for p in registry[name].parameters]

"""What classify, match, verify, caption and vqa do with nothing downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from visprog.errors import Refused, ToolError
from visprog.tools.caption import caption
from visprog.tools.classify import classify, match, verify
from visprog.tools.vqa import vqa
from visprog.values import Box, Mask, Region
from visprog.values.image import Image


@pytest.fixture
def scene() -> Image:
    """200 x 100, white, with a red square, a navy one, and a dark grey right half."""
    pixels = np.full((100, 200, 3), 255, np.uint8)
    pixels[10:40, 10:40] = (220, 20, 30)
    pixels[50:90, 10:50] = (0, 0, 110)
    pixels[:, 100:] = (30, 30, 32)
    return Image.open(pixels)


@pytest.fixture
def car(scene: Image) -> Region:
    return Region(Box(10, 10, 40, 40), "car", 1.0, scene)


def test_statements_that_pixels_tell(scene: Image, car: Region) -> None:
    navy = Region(Box(10, 50, 50, 90), "red car", 1.0, scene)
    right = scene.crop(Box(100, 0, 200, 100))
    for thing, statement, truth in (
        (car, "red", True),
        (car, "is red", True),
        (car, "The car is red.", True),
        (car, "a red car", True),
        (car, "red cars", True),
        (car, "a blue car", False),
        (car, "not blue", True),
        (car, "the car isn't red", False),
        (navy, "dark blue", True),
        (navy, "navy", True),
        (navy, "light-blue", False),
        (right, "dark", True),
        (right, "a dark picture", True),
        (right, "bright", False),
        (right, "square", True),
        (scene, "landscape", True),
        (scene, "in portrait format", False),
        (scene, "vertical", False),
    ):
        assert verify(thing, statement) is truth, statement


@pytest.mark.parametrize(
    "statement",
    ["empty", "a person wearing a hat", "smiling", "an orange", "a rose", "lemon", "the sky is blue", "a car",
     "red and blue", "black and white", "a landscape", "red and shiny", "not not red", ""],
)  # fmt: skip
def test_everything_else_is_refused(scene: Image, car: Region, statement: str) -> None:
    for thing in (scene, car):
        with pytest.raises(Refused) as caught:
            verify(thing, statement)
        message = str(caught.value)
        assert f"'{statement}'" in message and "\n" not in message
        assert 'backend = "siglip" under [tools.verify]' in message and "visprog[hf]" in message
    with pytest.raises(Refused, match=r"\[tools.match\]"):
        match(car, statement)


def test_the_colour_of_a_person_is_not_that_of_the_pixels(scene: Image) -> None:
    for label in ("person", "man", "woman", "face"):
        person = Region(Box(10, 10, 40, 40), label, 1.0, scene)
        with pytest.raises(Refused):
            verify(person, "red")
        with pytest.raises(Refused):
            classify(person, ["black", "white"])


def test_match_measures(scene: Image, car: Region) -> None:
    assert match(car, "red") == 1.0
    assert match(car, "a green car") == 0.0
    assert match(scene.crop(Box(0, 0, 100, 100)), "red") == pytest.approx(0.09, abs=0.001)
    assert match(scene.crop(Box(100, 0, 200, 100)), "dark") > 0.8
    assert match(scene, "landscape") == 1.0
    assert match(scene, "not landscape") == 0.0


def test_only_the_mask_counts(scene: Image) -> None:
    box = Box(0, 0, 60, 45)
    inside = np.zeros((45, 60), bool)
    inside[10:40, 10:40] = True
    region = Region(box, "car", 1.0, scene, Mask(inside, box))
    assert match(region, "red") == 1.0
    assert match(Region(box, "car", 1.0, scene), "red") < 0.5


def test_classify(scene: Image, car: Region) -> None:
    assert classify(car, ["blue", "Red", "green"]) == "Red"
    assert classify(car, ["a blue car", "a red car"]) == "a red car"
    assert classify(scene.crop(Box(100, 0, 200, 100)), ["dark", "bright"]) == "dark"
    assert classify(scene.crop(Box(60, 0, 90, 40)), ["dark", "bright"]) == "bright"
    assert classify(scene, ["portrait", "landscape"]) == "landscape"
    navy = Region(Box(10, 50, 50, 90), "", 1.0, scene)
    assert classify(navy, ["light blue", "dark blue"]) == "dark blue"


def test_classify_refuses(scene: Image, car: Region) -> None:
    with pytest.raises(Refused, match=r"which it is of 'cat', 'dog'.*\[tools.classify\]"):
        classify(car, ["cat", "dog"])
    with pytest.raises(Refused):
        classify(car, ["red", "dog"])
    with pytest.raises(Refused):
        classify(car, ["red", "dark"])
    with pytest.raises(Refused):
        classify(car, ["apple", "orange"])
    with pytest.raises(Refused, match="sees red, which is none of blue, green"):
        classify(car, ["blue", "green"])
    with pytest.raises(ToolError, match="no options"):
        classify(car, [])


def test_a_region_without_its_image(car: Region) -> None:
    with pytest.raises(ToolError, match=r"crop\(image, "):
        match(Region(car.box, "car"), "dark")
    with pytest.raises(ToolError):
        verify(Region(car.box, "car"), "red")


def test_caption_and_vqa_say_what_would(scene: Image) -> None:
    with pytest.raises(Refused, match=r'\[tools.caption\].*"blip" or "llava".*visprog\[hf\].*"openai"'):
        caption(scene)
    with pytest.raises(Refused, match=r"'Who is it\?'.*\[tools.vqa\].*\"llava\".*visprog\[hf\].*\"openai\""):
        vqa(scene, "Who is it?")


def test_a_model_needs_its_backend(tmp_path: Path) -> None:
    for tool in (classify, match, verify, caption, vqa):
        with pytest.raises(ToolError, match=r'set backend = "'):
            tool.load(options=(("model", str(tmp_path)),))

"""Every built-in tool that takes an image, with images of sizes that nobody plans for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from visprog.errors import VisprogError
from visprog.registry import Tool, default_registry
from visprog.registry.types import accepts
from visprog.values import Circle, Point, Region
from visprog.values.image import Image

SIZES = [(1, 1), (2, 3), (17, 1), (1, 2000), (2000, 1), (5000, 3), (9000, 5)]

Content = Callable[[int, int], Image]


def noise(width: int, height: int) -> Image:
    return Image(np.random.default_rng(width).integers(0, 255, (height, width, 3), dtype=np.uint8))


def clear(width: int, height: int) -> Image:
    return Image.open(np.dstack([noise(width, height).pixels, np.full((height, width), 90, np.uint8)]))


def arguments(image: Image) -> dict[str, Any]:
    """A value for each parameter that built-in tools have beside the image."""
    whole = Region(image.box, "thing", 1.0, image)
    return {
        "what": "people", "region": whole, "regions": [whole, Circle(Point(0, 0), 1.0)], "keep": [whole],
        "options": ["red", "blue"], "text": "red", "statement": "the image is red", "question": "red?",
        "side": "left", "color": "red", "emoji": "smile", "prompt": "a red ball",
        "images": [image], "factor": 1.5, "clockwise": 30.0,
    }  # fmt: skip


def tools() -> list[Tool]:
    return [t for t in default_registry().called.values() if any(p.name == "image" for p in t.parameters)]


@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("content", [noise, clear])
@pytest.mark.parametrize("tool", tools(), ids=lambda t: t.name)
def test_odd_sizes_give_values_or_one_sentence(tool: Tool, content: Content, size: tuple[int, int]) -> None:
    image = content(*size)
    known = arguments(image)
    given = {p.name: known[p.name] for p in tool.parameters if p.required and p.name != "image"}
    try:
        result = tool(image=image, **given)
    except VisprogError as error:
        assert str(error)
        assert "Traceback" not in str(error)
    else:
        assert accepts(tool.returns, result)


@pytest.mark.parametrize("what", ["face", "person", "eyes", "smile", "QR code", "circle", "text", "dot"])
@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_everything_can_be_looked_for_in_odd_sizes(what: str, size: tuple[int, int]) -> None:
    image = noise(*size)
    try:
        found = default_registry()["detect"](image, what)
    except VisprogError as error:
        assert "drawings" in str(error)
    else:
        assert all(region.box.intersection(image.box) for region in found)


@pytest.mark.parametrize("style", ["box", "blur", "pixelate", "emoji"])
@pytest.mark.parametrize("size", SIZES, ids="{0[0]}x{0[1]}".format)
def test_odd_sizes_can_be_covered(style: str, size: tuple[int, int]) -> None:
    image = noise(*size)
    made = default_registry()["cover"](image, [image.box], style)
    assert made.size == image.size

"""Filled shapes with letters on them: the bundled image."""

from __future__ import annotations

from pathlib import Path

import pytest

from visprog.tools.shapes import find_circles, find_polygons
from visprog.tools.text import find_text, read_text
from visprog.values import Region
from visprog.values.image import Image


@pytest.fixture(scope="module")
def signs() -> Image:
    return Image.open(Path(__file__).resolve().parents[2] / "examples" / "signs.png")


def test_signs_are_found_and_letters_are_not(signs: Image) -> None:
    octagon, triangle = find_polygons(signs)
    assert (octagon.sides, octagon.color, triangle.sides) == (8, "red", 3)
    assert abs(octagon.width - 204) < 3 and abs(octagon.center.x - 200) < 2
    (circle,) = find_circles(signs)
    assert circle.color == "blue" and abs(circle.radius - 105) < 1.5


def test_what_is_written_on_a_sign(signs: Image) -> None:
    (octagon,) = find_polygons(signs, "octagons", "red")
    assert read_text(Region(octagon.box, image=octagon.image)) == "STOP"
    (slow,) = find_text(signs, "slow")
    (triangle,) = find_polygons(signs, "triangle")
    assert slow.inside(triangle)

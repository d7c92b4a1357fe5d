"""Labels beside their objects, lines that show on any ground, images of bounded size."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import PIL.Image
import pytest

from visprog.report.figures import (
    COLORS,
    GIVEN,
    MAX_BYTES,
    MAX_LABELS,
    MIN_DRAWN_SIDE,
    DrawnValue,
    draw,
    encode,
    figure,
)
from visprog.report.label_layout import Rectangle, layout
from visprog.values import Box, Circle, Grid, Line, Mask, Point, Polygon, Region, codec

CANVAS = (400.0, 300.0)
SIZE = (60.0, 14.0)


def overlap(a: Rectangle, b: Rectangle) -> bool:
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize(
    "item",
    [
        (100, 100, 200, 200), (0, 0, 50, 50), (350, 0, 400, 50), (0, 250, 50, 300), (350, 250, 400, 300),
        (0, 0, 400, 100), (0, 0, 50, 300), (350, 0, 400, 300), (0, 200, 400, 300), (399, 299, 400, 300),
    ],
)  # fmt: skip
def test_a_label_is_beside_its_object_and_within_the_image(item: Rectangle) -> None:
    (place,) = layout([item], [SIZE], CANVAS)
    assert place is not None and not overlap(place, item)
    assert place[0] >= 0 and place[1] >= 0 and place[2] <= CANVAS[0] and place[3] <= CANVAS[1]


def test_a_label_of_what_fills_the_image_is_within_it() -> None:
    (place,) = layout([(0, 0, 400, 300)], [SIZE], CANVAS)
    assert place is not None and overlap(place, (0, 0, 400, 300))


@pytest.mark.parametrize("step", [3, 12, 40])
def test_labels_do_not_cover_each_other(step: int) -> None:
    objects = [(i * step % 360, i * 7 % 270, i * step % 360 + 30, i * 7 % 270 + 25) for i in range(40)]
    places = [p for p in layout(objects, [SIZE] * 40, CANVAS) if p]
    assert len(places) > 10
    assert not any(overlap(a, b) for i, a in enumerate(places) for b in places[:i])


def test_a_label_avoids_other_objects() -> None:
    item, above = (100, 100, 160, 160), (90, 60, 300, 98)
    (place,) = layout([item, above], [SIZE], CANVAS)
    assert place is not None and not overlap(place, above) and not overlap(place, item)


def test_a_label_that_fits_nowhere_is_left_out() -> None:
    assert layout([(0, 0, 9, 9)], [(500, 14)], CANVAS) == [None]
    assert layout([(0, 0, 9, 9)], [(0, 14)], CANVAS) == [None]


def shape(value: Any) -> DrawnValue:
    drawn = codec.drawing(codec.to_json(value))
    assert drawn is not None
    return drawn


def drawing(
    ground: str, value: Any, color: str = COLORS[0], size: tuple[int, int] = (400, 300)
) -> PIL.Image.Image:
    return draw(PIL.Image.new("RGB", size, ground), (0, 0, *size), [(shape(value), color)], 640)


CORNERS = (Point(100, 100), Point(200, 110), Point(150, 200))


@pytest.mark.parametrize("color", [COLORS[0], GIVEN])
@pytest.mark.parametrize("ground", ["#d01f38", "#ffffff", "#000000", "#808080", "#1766c4"])
@pytest.mark.parametrize(
    "value",
    [
        Region(Box(100, 100, 200, 200), "dog", 0.5), Box(100, 100, 200, 200), Point(150, 150),
        Circle(Point(150, 150), 50), Line(CORNERS), Polygon(CORNERS), Grid(3, 4, Box(100, 100, 200, 200)),
        Mask(np.ones((100, 100), bool), Box(100, 100, 200, 200)),
    ],
    ids=lambda v: type(v).__name__,
)  # fmt: skip
def test_every_shape_shows_on_every_ground(value: Any, ground: str, color: str) -> None:
    before = np.asarray(PIL.Image.new("RGB", (400, 300), ground)).astype(int)
    after = np.asarray(drawing(ground, value, color)).astype(int)
    assert (np.abs(after - before).max(2) > 60).sum() > 40
    assert not (np.abs(after - before)[:60, :60] > 0).any()  # and nowhere else


@pytest.mark.parametrize(
    "box", [Box(0, 0, 400, 300), Box(-50, -50, 600, 500), Box(0, 0, 0, 0), Box(-9e9, -9e9, 9e9, 9e9)]
)
def test_an_outline_at_the_edge_is_within_the_image(box: Box) -> None:
    after = np.asarray(drawing("#ffffff", box)).astype(int)
    assert (after.min(2) < 200).sum() > 10


@pytest.mark.parametrize(
    "label", ["dog", "a very long label that goes on and on and on", "café", "日本語", "\n", "\u200b"]
)
@pytest.mark.parametrize("size", [(400, 300), (12, 9), (900, 20), (20, 900), (1, 1)])
def test_any_label_on_any_size(label: str, size: tuple[int, int]) -> None:
    image = drawing("#808080", Region(Box(0, 0, size[0], size[1]), label, 0.5), size=size)
    assert max(image.size) >= MIN_DRAWN_SIDE and max(image.size) <= 640


def test_labels_of_crowds_are_bounded() -> None:
    shapes = [(shape(Region(Box(i, i, i + 5, i + 5), "x", 0.5)), COLORS[0]) for i in range(3 * MAX_LABELS)]
    image = draw(PIL.Image.new("RGB", (300, 300)), (0, 0, 300, 300), shapes, 640)
    assert image.size == (320, 320)


def test_transparency_is_a_checkerboard() -> None:
    clear = draw(PIL.Image.new("RGBA", (40, 30)), (0, 0, 40, 30), (), 640)
    assert clear.mode == "RGB" and len(clear.getcolors() or ()) == 2


@pytest.mark.parametrize("size", [(2000, 1500), (640, 480), (3000, 30), (30, 3000)])
def test_an_encoded_image_is_of_bounded_size(size: tuple[int, int]) -> None:
    noise = PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8))
    made = encode(draw(noise, (0, 0, *size), (), 640))
    assert max(made.width, made.height) == 640
    assert len(base64.b64decode(made.url.partition(",")[2])) <= 1.1 * MAX_BYTES


@pytest.mark.parametrize(("size", "mime"), [((200, 200), "image/png"), ((600, 400), "image/jpeg")])
def test_the_smaller_format_is_taken(size: tuple[int, int], mime: str) -> None:
    flat = np.full((size[1], size[0], 3), 90, np.uint8)
    noise = np.random.default_rng(0).integers(0, 255, flat.shape, np.uint8)
    made = encode(PIL.Image.fromarray(flat if mime == "image/png" else noise))
    assert made.url.startswith(f"data:{mime};base64,")


def test_what_is_no_image_is_none() -> None:
    gif = io.BytesIO()
    PIL.Image.new("RGB", (9, 9)).save(gif, "gif")
    for data in (b"", b"nothing", gif.getvalue(), b"\x89PNG\r\n\x1a\n"):
        assert figure(data, (0, 0, 9, 9), (), 100) is None

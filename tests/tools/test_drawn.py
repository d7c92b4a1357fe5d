"""Things in drawings by their everyday names, on drawings made here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import PIL.Image
import PIL.ImageDraw
import pytest

from visprog.errors import Refused
from visprog.tools.backends.opencv import OpenCVDetector, read_what
from visprog.tools.crop import crop
from visprog.tools.imaging.flatness import is_drawing
from visprog.tools.shapes import find_polygons
from visprog.tools.words.drawn import Drawn, read_drawn
from visprog.tools.words.phrase import read_phrase
from visprog.values import Box, Region
from visprog.values.image import Image

Find = Callable[[str], list[Region]]


def draw(
    size: tuple[int, int], *shapes: tuple[str, tuple[float, ...], str], ground: str = "lightgrey"
) -> Image:
    """Shapes with their boxes: square, triangle (point up) or circle."""
    over = 4
    picture = PIL.Image.new("RGB", (size[0] * over, size[1] * over), ground)
    pen = PIL.ImageDraw.Draw(picture)
    for kind, box, color in shapes:
        left, top, right, bottom = (over * v for v in box)
        if kind == "circle":
            pen.ellipse((left, top, right - 1, bottom - 1), color)
        elif kind == "triangle":
            pen.polygon([((left + right) / 2, top), (right - 1, bottom - 1), (left, bottom - 1)], color)
        else:
            pen.rectangle((left, top, right - 1, bottom - 1), color)
    return Image.open(picture.resize(size, PIL.Image.Resampling.BOX))


@pytest.fixture(scope="module")
def scattered() -> Image:
    """Three boxes between darker bars; a small triangle stands on the lower edge."""
    return draw(
        (400, 100),
        ("square", (100, 0, 150, 100), "grey"), ("square", (250, 0, 300, 100), "grey"),
        ("triangle", (40, 90, 50, 100), "black"), ("circle", (10, 10, 40, 40), "yellow"),
        ("square", (60, 20, 90, 50), "black"), ("triangle", (160, 40, 180, 60), "black"),
        ("circle", (200, 70, 220, 90), "blue"), ("square", (205, 10, 215, 20), "yellow"),
        ("triangle", (310, 15, 340, 45), "blue"), ("square", (350, 60, 370, 80), "yellow"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def stacked() -> Image:
    """Three boxes with a stack of three, a single block on the ground, and a stack of two."""
    return draw(
        (400, 100),
        ("square", (100, 0, 150, 100), "grey"), ("square", (250, 0, 300, 100), "grey"),
        ("square", (40, 80, 60, 100), "blue"), ("square", (40, 59, 60, 79), "black"),
        ("square", (40, 38, 60, 58), "black"), ("square", (190, 80, 210, 100), "yellow"),
        ("square", (340, 80, 360, 100), "black"), ("square", (340, 59, 360, 79), "black"),
    )  # fmt: skip


def finder(image: Image) -> Find:
    detector = OpenCVDetector()
    return lambda what: detector.detect(image, what)


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("objects", 8), ("things", 8), ("items", 8), ("figures", 8), ("shapes", 8), ("elements", 8), ("pieces", 8),
        ("blocks", 3), ("bricks", 3), ("dots", 2), ("black items", 3), ("yellow block", 2), ("blue things", 2),
        ("small black triangle", 1), ("black small triangle", 1), ("a tiny triangle", 1), ("small items", 2),
        ("medium-sized objects", 3), ("big blue item", 1), ("large shapes", 3), ("huge circle", 1),
        ("boxes", 3), ("panels", 3), ("left box", 1), ("middle panel", 1), ("grey boxes", 3),
        ("object on the left", 4), ("left items", 4), ("items at the top", 4),
        ("top left object", 2), ("green item", 0), ("everything", 8), ("anything", 8), ("sections", 3),
        ("square blocks", 3), ("square object", 3), ("round items", 2), ("yellow circular shape", 1),
        ("triangular things", 3), ("small triangle-shaped object", 1), ("rectangular block", 3),
        ("grey squares", 3), ("large grey square", 3), ("grey triangle", 0), ("white square", 0),
    ],
)  # fmt: skip
def test_scattered_shapes(scattered: Image, what: str, wanted: int) -> None:
    assert len(finder(scattered)(what)) == wanted


def test_places_and_labels_are_those_of_the_shapes(scattered: Image) -> None:
    find = finder(scattered)
    (triangle,) = find("small black triangle")
    assert triangle.label == "black triangle"
    assert triangle.box.iou(Box(40, 90, 50, 100)) > 0.75
    assert Counter(r.label for r in find("object")) == {
        "black triangle": 2, "blue triangle": 1, "black square": 1, "yellow square": 2, "yellow circle": 1,
        "blue circle": 1,
    }  # fmt: skip
    (last,) = find("right box")
    assert last.box.iou(Box(300, 0, 400, 100)) > 0.95


def test_a_crop_is_seen_as_a_part_of_its_drawing(scattered: Image) -> None:
    find = finder(crop(scattered, Box(150, 0, 250, 100)))
    assert len(find("item")) == 3
    (small,) = find("small item")  # small in the whole drawing
    assert small.label == "yellow square"
    assert find("large item") == []
    (box,) = find("box")
    assert box.box == Box(150, 0, 250, 100)


@pytest.mark.parametrize(
    ("what", "heights"),
    [
        ("tower", [62, 20, 41]), ("stacks", [62, 20, 41]), ("towers of blocks", [62, 20, 41]), ("yellow tower", [20]),
        ("black tower", [41]), ("tall tower", None), ("big tower", [62]), ("left tower", [62]), ("middle tower", [20]),
        ("tower on the right", [41]), ("tower of three blocks", [62]), ("towers with exactly 2 blocks", [41]),
        ("one-block tower", [20]), ("tower of four blocks", []), ("tower of black blocks", [41]),
        ("stack made of two black bricks", [41]), ("tower of two blue blocks", []),
        ("stack of blocks on the left", [62]), ("tower with two black blocks", None),
        ("tower of circles", None),
    ],
)  # fmt: skip
def test_towers_are_blocks_that_stand_on_each_other(
    stacked: Image, what: str, heights: list[int] | None
) -> None:
    if heights is None:
        with pytest.raises(Refused, match="'tower', which includes it"):
            finder(stacked)(what)
        return
    assert [round(t.height) for t in finder(stacked)(what)] == pytest.approx(heights, abs=2)


def test_blocks_of_one_colour_in_a_stack_are_counted_once(stacked: Image) -> None:
    assert len(finder(stacked)("block")) == len(find_polygons(stacked)) == 6
    assert len(finder(stacked)("black block")) == 4


@pytest.mark.parametrize(
    ("what", "boxes"),
    [
        ("top block", [(40, 38), (190, 80), (340, 59)]), ("bottom blocks", [(40, 80), (190, 80), (340, 80)]),
        ("black block on top", [(40, 38), (340, 59)]), ("base block", [(40, 80), (190, 80), (340, 80)]),
        ("bottom left block", [(40, 80)]), ("blue block at the top", []),
    ],
)  # fmt: skip
def test_the_top_block_is_that_of_its_tower(
    stacked: Image, what: str, boxes: list[tuple[float, float]]
) -> None:
    found = finder(stacked)(what)
    assert [(r.left, r.top) for r in found] == [pytest.approx(place, abs=1) for place in boxes]


@pytest.mark.parametrize(
    ("what", "top"), [("top block", 80), ("bottom block", 80), ("yellow block at the base", 80)]
)
def test_a_single_block_is_the_top_and_the_bottom_of_its_tower(stacked: Image, what: str, top: float) -> None:
    (block,) = finder(crop(stacked, Box(150, 0, 250, 100)))(what)
    assert block.top == pytest.approx(top, abs=1)


def test_among_other_shapes_a_place_is_a_half_for_blocks_too(scattered: Image) -> None:
    assert [r.label for r in finder(scattered)("top block")] == ["black square", "yellow square"]


def test_a_block_in_the_air_is_no_tower_and_blocks_side_by_side_are_two() -> None:
    image = draw((200, 100), ("square", (20, 30, 40, 50), "red"), ("square", (100, 80, 120, 100), "red"),
                 ("square", (121, 80, 141, 100), "red"), ground="white")  # fmt: skip
    assert len(finder(image)("tower")) == 2


def test_sizes_of_shapes_that_are_alike_are_refused() -> None:
    image = draw(
        (200, 100), ("circle", (20, 30, 50, 60), "red"), ("circle", (100, 30, 130, 60), "red"), ground="white"
    )
    with pytest.raises(Refused, match="about one size"):
        finder(image)("small circle")
    assert finder(image)("small square") == []
    assert finder(draw((200, 100)))("small circle") == []


def test_two_sizes_are_small_and_large() -> None:
    image = draw(
        (200, 100), ("circle", (20, 30, 40, 50), "red"), ("circle", (100, 30, 140, 70), "red"), ground="white"
    )
    find = finder(image)
    assert [len(find(f"{size} circle")) for size in ("small", "medium", "big")] == [1, 0, 1]


@pytest.mark.parametrize("side", range(10, 17))
def test_small_triangles_on_the_edge_are_triangles(side: int) -> None:
    for left in (40, 41.5):
        image = draw((400, 100), ("triangle", (left, 100 - side, left + side, 100), "blue"))
        assert len(find_polygons(image, "triangle")) == 1


@pytest.mark.parametrize("what", ["object", "block", "box", "tower", "figure", "balls", "panel", "blue item"])
@pytest.mark.parametrize("name", ["dog", "truck", "cats", "street1", "groceries"])
def test_in_photographs_such_nouns_are_refused(photo: Callable[[str], Image], name: str, what: str) -> None:
    with pytest.raises(Refused, match="in drawings alone"):
        finder(photo(name))(what)


def test_photographs_are_told_from_drawings(photo: Callable[[str], Image], scattered: Image) -> None:
    assert is_drawing(scattered)
    assert is_drawing(crop(scattered, Box(10, 10, 40, 40)))
    dog = photo("dog")
    assert not is_drawing(dog)
    assert not is_drawing(crop(dog, Box(0, 0, 60, 60)))
    cut_out = np.full((900, 1200, 3), 255, np.uint8)
    cut_out[100:367, 100:500] = dog.pixels[::2, ::2]
    assert not is_drawing(Image(cut_out))


@pytest.mark.parametrize(
    ("what", "wanted"),
    [
        ("small black triangle", Drawn("triangle", "triangle", "black", "small")),
        ("regular hexagons", Drawn("hexagon", "hexagon")),
        ("dark blue discs", Drawn("circle", "disc", "dark blue")),
        ("the top-left block", Drawn("block", "block", places=("top", "left"))),
        ("block in the lower right corner", Drawn("block", "block", places=("bottom", "right"))),
        ("stack of two blocks", Drawn("tower", "stack", count=2)),
        ("green tower of 4 cubes on the left", Drawn("tower", "tower", "green", places=("left",), count=4)),
        ("three-block tower of red bricks", Drawn("tower", "tower", "red", count=3)),
        ("square red object", Drawn("square", "object", "red")),
        ("base block", Drawn("block", "block", places=("bottom",))),
        ("block at the base", Drawn("block", "block", places=("bottom",))),
        ("star-shaped thing", Drawn("star", "thing")), ("round square", None), ("square box", None),
        ("tower with blocks", None), ("tower of a black and a blue block", None),
        ("tower of blocks with a hole", None), ("two-block circle", None),
        ("dog", None), ("black dog", None), ("small person", None), ("dark circle", None), ("small line", None),
        ("middle circle", None), ("triangle with a hole", None),
    ],
)  # fmt: skip
def test_phrases_of_drawings(what: str, wanted: Drawn | None) -> None:
    assert read_drawn(read_phrase(what)) == wanted


def test_a_square_object_may_be_a_real_one_and_a_square_shape_is_drawn() -> None:
    assert not Drawn("square", "object").is_shape
    assert Drawn("square", "shape").is_shape
    assert Drawn("square", "square").is_shape


def test_people_are_not_taken_for_shapes() -> None:
    assert not isinstance(read_what("person"), Drawn)
    assert not isinstance(read_what("red faces"), Drawn)

from __future__ import annotations

import math

import cv2
import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest

from tests.tools.drawings import Canvas, regular
from visprog.errors import Refused, ToolError
from visprog.tools.drawing.grid import read_grid
from visprog.tools.shapes import find_circles, find_grid, find_lines, find_polygons
from visprog.values import Box
from visprog.values.helpers import intersections
from visprog.values.image import Image

BLACK, WHITE, NIGHT = (0, 0, 0), (255, 255, 255), (18, 20, 34)
RED, BLUE, GREEN, YELLOW = (210, 30, 40), (30, 70, 210), (40, 150, 60), (250, 215, 40)


def blank(ground: tuple[int, int, int] = WHITE) -> Canvas:
    return Canvas(420, 360, ground)


# -- circles -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 15])
@pytest.mark.parametrize(("ground", "color"), [(WHITE, BLACK), (NIGHT, YELLOW)])
@pytest.mark.parametrize("pen", [0, 1.2, 5])
def test_circles_apart(
    count: int, ground: tuple[int, int, int], color: tuple[int, int, int], pen: float
) -> None:
    canvas = blank(ground)
    for i in range(count):
        canvas.circle(45 + 80 * (i % 5), 60 + 110 * (i // 5), 14 + i, color, pen)
    found = find_circles(canvas.image())
    assert len(found) == count
    assert sorted(round(c.radius - pen / 2) for c in found) == pytest.approx(range(14, 14 + count), abs=1)


def test_a_circle_is_placed_to_a_part_of_a_pixel() -> None:
    canvas = blank()
    canvas.circle(203.4, 151.7, 61.3, RED)
    (circle,) = find_circles(canvas.image())
    assert math.hypot(circle.center.x - 203.4, circle.center.y - 151.7) < 0.5
    assert abs(circle.radius - 61.3) < 0.6
    assert circle.color == "red"


@pytest.mark.parametrize("pen", [1.0, 2.5])
@pytest.mark.parametrize("colors", [[BLACK], [RED, BLUE, GREEN], [(235, 150, 150), (150, 180, 220)]])
def test_interlocked_rings(pen: float, colors: list[tuple[int, int, int]]) -> None:
    canvas = blank()
    for i in range(9):
        canvas.circle(50 + 33 * i, 120 + 31 * (i % 2), 30, colors[i % len(colors)], pen)
    assert len(find_circles(canvas.image())) == 9


@pytest.mark.parametrize(("noise", "jpeg"), [(6, 0), (0, 70), (3, 85)])
def test_noise_and_compression(noise: float, jpeg: int) -> None:
    canvas = blank()
    canvas.circle(120, 120, 50, BLUE, 3)
    canvas.circle(180, 140, 50, RED, 3)
    canvas.circle(330, 240, 40, GREEN)
    found = find_circles(canvas.image(noise, jpeg))
    assert [c.color for c in found] == ["blue", "red", "green"]


def test_discs_that_hide_parts_of_each_other() -> None:
    canvas = blank()
    canvas.circle(150, 150, 60, BLUE)
    canvas.circle(230, 170, 60, RED)
    a, b = find_circles(canvas.image())
    assert (a.color, b.color) == ("blue", "red")
    assert a.touches(b) and a.overlaps(b)


@pytest.mark.parametrize("gap", [-8.0, 3.0, 8.0])
@pytest.mark.parametrize("pen", [0, 4])
def test_touching_is_where_the_ink_meets(gap: float, pen: float) -> None:
    canvas = blank()
    radius = 50 - pen / 2  # of the middle of the outline; the ink reaches to 50
    canvas.circle(120, 150, radius, BLUE, pen)
    canvas.circle(220 + gap, 150, radius, RED, pen)
    a, b = find_circles(canvas.image())
    assert a.touches(b) == a.overlaps(b) == (gap < 0)
    assert a.distance(b) == pytest.approx(max(gap, 0), abs=1.2)


def test_touching_exactly() -> None:
    canvas = blank()
    canvas.circle(120, 150, 45, BLUE)
    canvas.circle(120 + 90 * math.cos(0.7), 150 + 90 * math.sin(0.7), 45, RED)
    a, b = find_circles(canvas.image())
    assert a.touches(b)


def test_rings_in_rings_and_discs_on_cards() -> None:
    canvas = blank((200, 200, 200))
    for r in (20, 45, 70):
        canvas.circle(110, 120, r, BLACK, 3)
    canvas.polygon(np.array([[220, 40], [400, 40], [400, 200], [220, 200]]), WHITE)
    canvas.circle(310, 120, 30, YELLOW)
    found = find_circles(canvas.image())
    assert len(found) == 4
    assert [c.color for c in found].count("yellow") == 1


def test_a_disc_with_an_outline_is_one_circle_of_its_inner_colour() -> None:
    canvas = blank()
    canvas.circle(150, 150, 60, YELLOW)
    canvas.circle(150, 150, 60, BLACK, 3)
    (circle,) = find_circles(canvas.image())
    assert circle.color == "yellow"


def test_circles_of_one_colour() -> None:
    canvas = blank()
    canvas.circle(80, 80, 30, RED)
    canvas.circle(200, 80, 30, BLUE)
    canvas.circle(320, 80, 30, BLUE, 4)
    image = canvas.image()
    assert len(find_circles(image, "navy")) == 2
    assert len(find_circles(image, "red")) == 1
    assert find_circles(image, "green") == []


def test_polygons_and_strokes_are_no_circles() -> None:
    canvas = blank()
    for i, sides in enumerate((3, 4, 5, 6)):
        canvas.polygon(regular(sides, 60 + 95 * i, 80, 38), BLACK, 2)
        canvas.polygon(regular(sides, 60 + 95 * i, 200, 38), BLUE)
    canvas.line([(20, 300), (200, 330), (400, 280)], RED, 3)
    assert find_circles(canvas.image()) == []


# -- polygons ----------------------------------------------------------------------------------------

KINDS = {3: "triangle", 4: "square", 5: "pentagon", 6: "hexagon", 7: "heptagon", 8: "octagon"}


@pytest.mark.parametrize("sides", KINDS)
@pytest.mark.parametrize("pen", [0, 1.5, 5])
@pytest.mark.parametrize(("ground", "color"), [(WHITE, BLUE), (NIGHT, WHITE)])
def test_regular_polygons(
    sides: int, pen: float, ground: tuple[int, int, int], color: tuple[int, int, int]
) -> None:
    canvas = blank(ground)
    canvas.polygon(regular(sides, 130, 130, 70, 0.2), color, pen)
    canvas.polygon(regular(sides, 310, 240, 60, 0.5), color, pen)
    image = canvas.image()
    assert len(find_polygons(image, KINDS[sides] + "s")) == 2
    assert [p.sides for p in find_polygons(image)] == [sides, sides]
    assert find_polygons(image, "hexagon" if sides != 6 else "pentagon") == []


def test_corners_are_placed_to_a_pixel() -> None:
    canvas = blank()
    corners = regular(3, 200, 180, 100, 0.3)
    canvas.polygon(corners, BLACK, 3)
    (triangle,) = find_polygons(canvas.image(), "triangle")
    for x, y in corners:
        assert min(math.hypot(p.x - x, p.y - y) for p in triangle.points) < 1.5


@pytest.mark.parametrize("count", [2, 5, 9])
@pytest.mark.parametrize("colors", [[BLACK], [RED, BLUE, GREEN]])
def test_interlocked_pentagons(count: int, colors: list[tuple[int, int, int]]) -> None:
    canvas = blank()
    for i in range(count):
        canvas.polygon(regular(5, 55 + 35 * i, 120 + 30 * (i % 2), 34), colors[i % len(colors)], 1.5)
    assert len(find_polygons(canvas.image(), "pentagons")) == count


@pytest.mark.parametrize("count", [1, 3, 6])
@pytest.mark.parametrize("pen", [1, 3])
def test_nested_squares(count: int, pen: float) -> None:
    canvas = blank()
    x, y, side = 30.0, 20.0, 320.0
    for i in range(count):
        canvas.polygon(np.array([[x, y], [x + side, y], [x + side, y + side], [x, y + side]]), BLACK, pen)
        x, y, side = x + 3 * pen + 2 * i, y + 0.2 * side, 0.68 * side
    assert len(find_polygons(canvas.image(), "squares")) == count


def test_kinds_of_quadrilateral() -> None:
    canvas = blank()
    canvas.polygon(np.array([[20, 20], [100, 20], [100, 100], [20, 100]]), BLUE)
    canvas.polygon(np.array([[130, 20], [260, 20], [260, 90], [130, 90]]), RED, 3)
    canvas.polygon(regular(4, 340, 60, 45), GREEN)
    canvas.polygon(np.array([[20, 220], [140, 220], [110, 150], [50, 150]]), BLACK, 2)
    canvas.polygon(np.array([[180, 220], [280, 220], [320, 150], [220, 150]]), YELLOW)
    image = canvas.image()
    count = {
        k: len(find_polygons(image, k)) for k in ("square", "Rectangles", "diamonds", "trapezoid", "shape")
    }
    assert count == {"square": 2, "Rectangles": 3, "diamonds": 1, "trapezoid": 1, "shape": 5}
    assert len(find_polygons(image, "parallelograms")) == 4
    assert len(find_polygons(image, "quadrilaterals")) == 5


def test_stars() -> None:
    canvas = blank()
    tips, dents = regular(5, 120, 120, 80), regular(5, 120, 120, 32, np.pi / 5)
    points = np.stack([tips, dents], 1).reshape(-1, 2)
    canvas.polygon(points, YELLOW)
    canvas.polygon(points + np.array([180, 100]), BLACK, 2)
    image = canvas.image()
    assert len(find_polygons(image, "stars")) == 2
    assert find_polygons(image, "pentagon") == []


def test_polygons_have_the_colour_of_their_inside() -> None:
    canvas = blank()
    square = np.array([[60, 60], [160, 60], [160, 160], [60, 160]])
    canvas.polygon(square, RED)
    canvas.polygon(square, BLACK, 3)
    canvas.polygon(square + np.array([180, 0]), GREEN, 3)
    image = canvas.image()
    assert [p.color for p in find_polygons(image, "square")] == ["red", "green"]
    assert len(find_polygons(image, "square", "red")) == 1


def test_circles_and_the_frame_of_the_picture_are_no_polygons() -> None:
    canvas = blank()
    canvas.polygon(np.array([[1, 1], [418, 1], [418, 358], [1, 358]]), BLACK, 3)
    canvas.circle(120, 120, 60, BLACK, 2)
    canvas.circle(280, 200, 50, BLUE)
    assert find_polygons(canvas.image()) == []


def test_panels_are_areas_of_their_ground() -> None:
    """Their grey fills the most of the picture, and is no background where a colour is asked for."""
    canvas = Canvas(400, 100, WHITE)
    for left in (0, 150, 300):
        corners = [(left, 0), (left + 100, 0), (left + 100, 100), (left, 100)]
        canvas.polygon(np.array(corners), (180, 180, 180), 0)
    canvas.circle(50, 50, 20, BLUE, 0)
    image = canvas.image()
    grey = find_polygons(image, "square", "grey")
    assert [p.color for p in grey] == ["grey"] * 3
    assert [p.box.iou(Box(x, 0, x + 100, 100)) > 0.98 for p, x in zip(grey, (0, 150, 300), strict=True)] == [
        True
    ] * 3
    assert find_polygons(image, "triangle", "grey") == find_polygons(image, "square", "red") == []
    assert find_polygons(image.crop(Box(0, 0, 100, 100)), "square", "grey") == []


def test_unknown_kinds_and_colours_are_refused() -> None:
    image = blank().image()
    with pytest.raises(Refused, match=r"'heart' is not a kind of polygon .* use one of polygon, triangle"):
        find_polygons(image, "heart")
    with pytest.raises(Refused, match="call find_circles"):
        find_polygons(image, "circles")
    with pytest.raises(Refused, match="'reddd' is not known"):
        find_circles(image, "reddd")


# -- lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pen", [1, 3, 7])
def test_polylines_of_two_colours_cross(pen: float) -> None:
    canvas = blank()
    canvas.line([(20, 40), (210, 300), (400, 60)], BLUE, pen)
    canvas.line([(20, 200), (210, 120), (400, 220)], RED, pen)
    image = canvas.image()
    (blue,), (red,) = find_lines(image, "blue"), find_lines(image, "red")
    assert len(blue.points) == len(red.points) == 3
    assert blue.color == "blue"
    ends = sorted([blue.points[0], blue.points[-1]], key=lambda p: p.x)
    assert math.hypot(ends[0].x - 20, ends[0].y - 40) < 2 + pen / 2
    assert math.hypot(blue.points[1].x - 210, blue.points[1].y - 300) < 2
    assert len(intersections([blue], [red])) == 2


def test_lines_that_only_come_near() -> None:
    canvas = blank()
    canvas.line([(20, 40), (210, 150), (400, 60)], BLUE, 2)
    canvas.line([(20, 250), (210, 160), (400, 220)], RED, 2)
    image = canvas.image()
    assert intersections(find_lines(image, "blue"), find_lines(image, "red")) == []


def test_all_lines_with_their_colours() -> None:
    canvas = blank(NIGHT)
    canvas.line([(20, 40), (400, 40)], YELLOW, 3)
    canvas.line([(60, 20), (60, 340)], WHITE, 3)
    canvas.line([(100, 340), (400, 100)], (240, 90, 90), 3)
    found = find_lines(canvas.image())
    assert sorted(line.color or "" for line in found) == ["red", "white", "yellow"]
    assert sorted(line.length for line in found) == pytest.approx([320, 380, 384], abs=5)


def test_no_lines() -> None:
    assert find_lines(blank().image()) == []
    assert find_lines(blank().image(), "red") == []


# -- grids -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (3, 4), (9, 8), (12, 5)])
@pytest.mark.parametrize("pen", [1, 4])
@pytest.mark.parametrize("margin", [2, 30])
@pytest.mark.parametrize(
    ("ground", "color", "words"), [(WHITE, BLACK, True), (NIGHT, (200, 200, 220), False)]
)
def test_tables(
    rows: int, columns: int, pen: float, margin: float,
    ground: tuple[int, int, int], color: tuple[int, int, int], words: bool,
) -> None:  # fmt: skip
    canvas = blank(ground)
    ys, xs = np.linspace(margin, 360 - margin, rows + 1), np.linspace(margin, 420 - margin, columns + 1)
    for y in ys:
        canvas.line([(margin, y), (420 - margin, y)], color, pen)
    for x in xs:
        canvas.line([(x, margin), (x, 360 - margin)], color, pen)
    if words:
        high, wide = ys[1] - ys[0], xs[1] - xs[0]
        for i in range(rows):
            for j in range(columns):
                size = min(0.3 * high, 0.14 * wide)
                canvas.text("mill" if i % 2 else "HE-H", xs[j] + 0.2 * wide, ys[i] + 0.65 * high, size, color)
    grid = find_grid(canvas.image())
    assert (grid.rows, grid.columns) == (rows, columns)
    assert grid.box.iou(Box(margin, margin, 420 - margin, 360 - margin)) > 0.95


def test_a_grid_without_an_outer_frame() -> None:
    canvas = blank()
    for k in (1, 2):
        canvas.line([(60 + 100 * k, 30), (60 + 100 * k, 330)], BLACK, 4)
        canvas.line([(60, 30 + 100 * k), (360, 30 + 100 * k)], BLACK, 4)
    grid = find_grid(canvas.image())
    assert (grid.rows, grid.columns, grid.cells) == (3, 3, 9)


def test_no_grid_is_said() -> None:
    canvas = blank()
    canvas.circle(120, 120, 60, BLACK, 2)
    canvas.line([(20, 300), (400, 310)], BLACK, 2)
    with pytest.raises(ToolError, match="no grid was found"):
        find_grid(canvas.image())


@pytest.mark.parametrize("number", [3, 5, 7])
def test_a_row_of_outlined_shapes_is_no_text(number: int) -> None:
    canvas = blank()
    for i in range(number):
        x = 40 + 55 * i
        if i == number // 2:
            canvas.circle(x, 150, 20, BLACK, 3)
        else:
            canvas.polygon(regular(4, x, 150, 26, 0.785), BLACK, 3)
    image = canvas.image()
    assert (len(find_circles(image)), len(find_polygons(image, "square"))) == (1, number - 1)


@pytest.mark.parametrize("text", ["BOOK OF POOLS", "A B D O P Q R", "LOOK OUT 808"])
def test_round_letters_are_no_circles(text: str) -> None:
    page = PIL.Image.new("RGB", (640, 300), "white")
    PIL.ImageDraw.Draw(page).text((30, 100), text, "black", PIL.ImageFont.load_default(size=44))
    assert find_circles(Image.open(page)) == find_polygons(Image.open(page)) == []


def test_gaps_between_letters_are_no_rules() -> None:
    page = PIL.Image.new("RGB", (500, 700), "white")
    draw = PIL.ImageDraw.Draw(page)
    for i in range(12):
        word = ("MENU", "Soup", "Drinks", "Tea", "Juice", "Desserts")[i % 6]
        draw.text((40, 40 + 44 * i), word, "black", PIL.ImageFont.load_default(size=30), stroke_width=1)
    with pytest.raises(ToolError, match="no grid was found"):
        find_grid(Image.open(page))


def test_rules_lighter_than_a_light_ground() -> None:
    canvas = blank((210, 225, 240))
    for k in range(4):
        canvas.line([(60 + 100 * k, 30), (60 + 100 * k, 330)], (255, 255, 255), 4)
        canvas.line([(60, 30 + 100 * k), (360, 30 + 100 * k)], (255, 255, 255), 4)
    grid = find_grid(canvas.image())
    assert (grid.rows, grid.columns) == (3, 3)


def test_a_grid_in_a_photograph_is_refused() -> None:
    draw = np.random.default_rng(0)
    pixels = sum(
        cv2.resize(
            draw.normal(0, 30, (size, size, 3)).astype(np.float32), (480, 360), interpolation=cv2.INTER_CUBIC
        )
        for size in (6, 30, 120)
    )
    pixels = np.clip(pixels + 150, 60, 255).astype(np.uint8)
    for k in range(4):
        pixels[30 + 100 * k : 36 + 100 * k, 40:440] = pixels[30:336, 40 + 130 * k : 46 + 130 * k] = 0
    image = Image(pixels)
    assert read_grid(image).cells == 9
    with pytest.raises(Refused, match="photograph"):
        find_grid(image)


# -- frames ------------------------------------------------------------------------------------------


def test_shapes_in_a_crop_are_placed_in_the_whole() -> None:
    canvas = blank()
    canvas.circle(300, 250, 40, RED)
    canvas.polygon(regular(4, 120, 100, 50, 0.785), BLUE)
    image = canvas.image()
    (circle,) = find_circles(image.crop(Box(210, 180, 420, 360)))
    assert math.hypot(circle.center.x - 300, circle.center.y - 250) < 1
    (square,) = find_polygons(image.crop(Box(50, 40, 200, 180)), "square")
    assert math.hypot(square.center.x - 120, square.center.y - 100) < 1.5


def test_tiny_and_empty_pictures() -> None:
    for size in ((1, 1), (3, 7), (30, 1)):
        image = Image(np.full((*size, 3), 128, np.uint8))
        assert find_circles(image) == [] and find_polygons(image) == [] and find_lines(image) == []
        with pytest.raises(ToolError, match="no grid"):
            find_grid(image)

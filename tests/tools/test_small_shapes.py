from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from tests.tools.drawings import Canvas, regular
from visprog.errors import Refused
from visprog.tools.shapes import find_circles, find_lines, find_polygons
from visprog.values.image import Image

BLACK, WHITE, NIGHT, YELLOW = (0, 0, 0), (255, 255, 255), (18, 20, 34), (250, 215, 40)
RED, BLUE = (210, 30, 40), (30, 70, 210)
SIDES = {"triangle": 3, "square": 4, "pentagon": 5, "hexagon": 6}
Color = tuple[int, int, int]


def corners(kind: str, size: float, turn: float = 0.3) -> np.ndarray:
    """The corners of a regular polygon with sides of about `size` (of a square), from (12, 12) on."""
    points = regular(SIDES[kind], 0, 0, size * 0.6, turn)
    return points - points.min(0) + 12.25


def draw(
    kind: str, size: float, pen: int = 0, soft: bool = True, color: Color = BLACK, ground: Color = WHITE
) -> np.ndarray:
    """The pixels of a shape alone, antialiased or with hard edges."""
    side = int(1.4 * size) + 24
    canvas = Canvas(side, side, ground)
    if kind == "circle":
        canvas.circle(side / 2, side / 2, size / 2, color, pen)
    else:
        canvas.polygon(corners(kind, size), color, pen)
    if soft:
        return canvas.image().pixels
    pixels = np.full((side, side, 3), ground, np.uint8)
    if kind == "circle":
        cv2.circle(pixels, (side // 2, side // 2), round(size / 2), color, pen or -1)
    elif pen:
        cv2.polylines(pixels, [np.rint(corners(kind, size)).astype(np.int32)], True, color, pen)
    else:
        cv2.fillPoly(pixels, [np.rint(corners(kind, size)).astype(np.int32)], color)
    return pixels


def on_canvas(shape: np.ndarray, width: int, height: int, x: int, y: int) -> Image:
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = shape[0, 0]
    pixels[y : y + shape.shape[0], x : x + shape.shape[1]] = shape
    return Image(pixels)


def found(image: Image, x: int = 0, y: int = 0) -> list[tuple[int, float, float]]:
    """Number of sides (0 for a circle) and centre of each shape, from (x, y) on."""
    shapes = [(len(p.points), p.center) for p in find_polygons(image)]
    shapes += [(0, c.center) for c in find_circles(image)]
    return [(sides, center.x - x, center.y - y) for sides, center in shapes]


# -- sides ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 13, 16, 22, 30, 44])
@pytest.mark.parametrize("kind", [*SIDES, "circle"])
@pytest.mark.parametrize("pen", [0, 1])
@pytest.mark.parametrize("soft", [True, False])
def test_small_shapes_have_their_sides(kind: str, size: int, pen: int, soft: bool) -> None:
    assert [s for s, _, _ in found(Image(draw(kind, size, pen, soft)))] == [SIDES.get(kind, 0)]


@pytest.mark.parametrize("side", [8, 9, 10, 11, 12, 14, 16, 20])
@pytest.mark.parametrize("soft", [True, False])
def test_small_triangles_are_triangles(side: int, soft: bool) -> None:
    height = side * 0.866
    points = np.array([(40, 30 + height), (40 + side, 30 + height), (40 + side / 2, 30)])
    canvas = Canvas(100, 100)
    canvas.polygon(points, BLUE)
    pixels = canvas.image().pixels if soft else np.full((100, 100, 3), 255, np.uint8)
    if not soft:
        cv2.fillPoly(pixels, [np.rint(points).astype(np.int32)], BLUE)
    (triangle,) = find_polygons(Image(pixels))
    assert len(triangle.points) == 3
    if soft:  # a corner's place, from one pixel's corner to the other
        tip = min(triangle.points, key=lambda p: p.y)
        assert (tip.x, tip.y) == pytest.approx((40 + side / 2, 30), abs=0.5)


@pytest.mark.parametrize("side", [8, 12, 16, 24])
@pytest.mark.parametrize("edge", ["top", "bottom", "left", "right"])
def test_a_small_triangle_on_an_edge_is_seen(side: int, edge: str) -> None:
    canvas = Canvas(100, 100)
    canvas.polygon(np.array([(40, 100), (40 + side, 100), (40 + side / 2, 100 - side)]), BLUE)
    turns = ["bottom", "right", "top", "left"].index(edge)
    (triangle,) = find_polygons(Image(np.rot90(canvas.image().pixels, turns)))
    assert len(triangle.points) == 3


# -- the canvas ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*SIDES, "circle"])
@pytest.mark.parametrize(("size", "pen"), [(9, 0), (12, 1), (24, 0), (24, 2), (70, 0), (70, 1)])
@pytest.mark.parametrize(("ground", "color"), [(WHITE, BLACK), (NIGHT, YELLOW)])
@pytest.mark.parametrize("soft", [True, False])
def test_what_is_found_does_not_depend_on_the_canvas(
    kind: str, size: int, pen: int, ground: Color, color: Color, soft: bool
) -> None:
    shape = draw(kind, size, pen, soft, color, ground)
    alone = found(Image(shape))
    assert len(alone) == 1
    far = draw("square", 30, 0, True, RED if ground == WHITE else WHITE, ground)
    for width, height, x, y in [(150, 140, 20, 11), (420, 200, 250, 60), (900, 800, 770, 670)]:
        assert found(on_canvas(shape, width, height, x, y), x, y) == [pytest.approx(alone[0], abs=1)]
    both = on_canvas(shape, 700, 600, 10, 20).pixels.copy()
    both[500 : 500 + len(far), 600 : 600 + len(far)] = far
    assert pytest.approx(alone[0], abs=1) in found(Image(both), 10, 20)


@pytest.mark.parametrize("size", [(60, 60), (400, 100), (1600, 1200)])
@pytest.mark.parametrize("pen", [1, 3])
def test_short_lines_on_any_canvas(size: tuple[int, int], pen: int) -> None:
    canvas = Canvas(60, 60)
    canvas.line([(20, 30), (34, 24)], BLACK, pen)
    image = on_canvas(canvas.image().pixels, *size, 0, size[1] - 60)
    (line,) = find_lines(image)
    assert not find_polygons(image)
    assert line.length == pytest.approx(15, abs=3)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_pixel_art_enlarged_shows_the_same(scale: int) -> None:
    pixels = np.full((60, 90, 3), 255, np.uint8)
    pixels[10:22, 10:30] = RED
    pixels[30:50, 40:60] = BLUE
    cv2.circle(pixels, (75, 20), 7, BLACK, -1)
    cv2.fillPoly(pixels, [np.array([(8, 55), (28, 53), (15, 38)])], BLUE, cv2.LINE_AA)
    large = Image(pixels.repeat(scale, 0).repeat(scale, 1))
    assert [s for s, _, _ in found(large)] == [s for s, _, _ in found(Image(pixels))] == [3, 4, 4, 0]


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
@pytest.mark.parametrize("mirrored", [False, True])
def test_turned_and_mirrored_drawings_show_the_same(turn: int, mirrored: bool) -> None:
    canvas = Canvas(240, 160)
    for i, kind in enumerate(SIDES):
        canvas.polygon(corners(kind, 10 + 6 * i) + np.array([55 * i, 20 * i]), RED, i % 3)
    canvas.circle(30, 120, 11, BLUE)
    pixels = np.rot90(canvas.image().pixels, turn)
    image = Image(np.ascontiguousarray(pixels[:, ::-1] if mirrored else pixels))
    assert sorted(s for s, _, _ in found(image)) == [0, 3, 4, 5, 6]


# -- shapes that nearly touch --------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [0.3, 0.6, 1.0, 1.5, 2.5])
@pytest.mark.parametrize("size", [12, 20, 40])
@pytest.mark.parametrize("first", ["square", "circle"])
@pytest.mark.parametrize("width", [140, 500])
def test_nothing_is_seen_between_shapes_that_nearly_touch(
    first: str, size: int, gap: float, width: int
) -> None:
    canvas = Canvas(width, 120)
    if first == "circle":
        canvas.circle(20.3 + size / 2, 60, size / 2, BLUE)
    else:
        box = np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
        canvas.polygon(box * size + (20.3, 60 - size / 2), BLUE)
    canvas.polygon(
        np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) * size + (20.3 + size + gap, 60 - size / 2), YELLOW
    )
    assert sorted(s for s, _, _ in found(canvas.image())) == ([0, 4] if first == "circle" else [4, 4])


# -- images that cannot be read ------------------------------------------------------------------------


def checkered(contrast: float, noise: float) -> Image:
    y, x = np.mgrid[:256, :256] / 18
    waves = np.clip(0.5 + 2 * np.cos(x + 0.3 * y) * np.cos(y - 0.3 * x), 0, 1)
    pixels = 120 + contrast * waves + np.random.default_rng(0).normal(0, noise, (256, 256))
    return Image(np.repeat(np.clip(pixels, 0, 255).astype(np.uint8)[..., None], 3, 2))


@pytest.mark.parametrize("find", [find_polygons, find_circles, find_lines])
@pytest.mark.parametrize("name", ["dog", "truck", "cats", "street1", "groceries"])
def test_photographs_are_refused(
    photo: Callable[[str], Image], name: str, find: Callable[[Image], list[object]]
) -> None:
    with pytest.raises(Refused, match="photograph or has a texture"):
        find(photo(name))


@pytest.mark.parametrize("find", [find_polygons, find_circles, find_lines])
def test_textures_and_noise_are_refused(find: Callable[[Image], list[object]]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)
    for image in (checkered(100, 5), Image(noise)):
        with pytest.raises(Refused, match="photograph or has a texture"):
            find(image)


@pytest.mark.parametrize("jpeg", [95, 90])
def test_compressed_drawings_show_the_same(jpeg: int) -> None:
    canvas = Canvas(260, 180)
    for i, kind in enumerate(SIDES):
        canvas.polygon(
            corners(kind, 20 + 6 * i) + np.array([55 * i, 20 * i]), [RED, BLUE][i % 2], 2 * (i % 2)
        )
    canvas.circle(30, 130, 15, BLUE)
    assert sorted(s for s, _, _ in found(canvas.image(jpeg=jpeg))) == [0, 3, 4, 5, 6]


@pytest.mark.parametrize(("noise", "jpeg"), [(0, 0), (6, 0), (0, 60)])
def test_many_shapes_are_no_texture(noise: float, jpeg: int) -> None:
    canvas = Canvas(500, 400)
    for i in range(100):
        canvas.circle(20 + 28 * (i % 15), 20 + 50 * (i // 15), 9, BLACK, 1.5 if i % 2 else 0)
    assert len(find_circles(canvas.image(noise, jpeg))) == 100


def test_dense_squares_are_no_texture() -> None:
    y, x = np.mgrid[:120, :160] // 10
    pixels = np.where((x + y) % 2, 230, 30).astype(np.uint8)
    assert len(find_polygons(Image(np.repeat(pixels[..., None], 3, 2)))) > 60


@pytest.mark.parametrize("ground", ["gradient", "checkered"])
def test_a_soft_ground_is_no_texture(ground: str) -> None:
    canvas = Canvas(256, 256)
    canvas.polygon(corners("triangle", 60) + 30, RED)
    pixels = canvas.image().pixels.astype(float)
    y, x = np.mgrid[:256, :256]
    shade = x / 5 if ground == "gradient" else 9.0 * ((x // 16 + y // 16) % 2)
    pixels = np.clip(pixels - shade[..., None] * (pixels.min(2, keepdims=True) > 250), 0, 255)
    (triangle,) = find_polygons(Image(pixels.astype(np.uint8)), color="red")
    assert len(triangle.points) == 3

"""Boxes, circles, lines: laws that hold for all of them, and the edges."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from visprog.values import Box, Circle, Grid, Line, Point, Polygon, Region

numbers = st.floats(-1000, 1000, width=32)
sizes = st.floats(0, 500, width=32)
boxes = st.builds(lambda x, y, w, h: Box(x, y, x + w, y + h), numbers, numbers, sizes, sizes)
points = st.builds(Point, numbers, numbers)
circles = st.builds(Circle, points, st.floats(0, 300, width=32))
located = st.one_of(boxes, circles, st.builds(Region, boxes))


# -- boxes ---------------------------------------------------------------------------------------


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a: Box, b: Box) -> None:
    assert a.iou(b) == pytest.approx(b.iou(a), abs=1e-9)
    assert 0 <= a.iou(b) <= 1 + 1e-9


@given(boxes)
def test_iou_with_itself(a: Box) -> None:
    assert a.iou(a) == (1 if a.area > 0 else 0)


@given(boxes, boxes)
def test_intersection_lies_in_both_and_union_around_both(a: Box, b: Box) -> None:
    shared, around = a.intersection(b), a.union(b)
    assert shared == b.intersection(a) and around == b.union(a)
    assert (shared is not None) == a.overlaps(b) == b.overlaps(a)
    if shared is not None:
        assert shared.width > 0 and shared.height > 0
        assert max(a.left, b.left) == shared.left and min(a.bottom, b.bottom) == shared.bottom
    for box in (a, b):
        assert around.left <= box.left and around.top <= box.top
        assert around.right >= box.right and around.bottom >= box.bottom


@given(boxes, boxes)
def test_clipping(a: Box, b: Box) -> None:
    cut = a.clip(b)
    assert b.left <= cut.left <= cut.right <= b.right and b.top <= cut.top <= cut.bottom <= b.bottom
    assert cut.clip(b) == cut and a.clip(a) == a
    shared = a.intersection(b)
    assert cut == shared if shared is not None else cut.area == 0


def test_edges_are_half_open() -> None:
    a, b = Box(0, 0, 10, 10), Box(10, 0, 20, 10)
    assert not a.overlaps(b) and a.intersection(b) is None and a.iou(b) == 0
    assert a.touches(b) and a.distance(b) == 0
    assert a.contains(Point(0, 0)) and not a.contains(Point(10, 5)) and not a.contains(Point(5, 10))
    assert b.contains(Point(10, 5))


@given(boxes, points)
def test_two_halves_share_no_point(box: Box, point: Point) -> None:
    middle = box.center.x
    assume(box.left < middle < box.right)
    left = Box(box.left, box.top, middle, box.bottom)
    right = Box(middle, box.top, box.right, box.bottom)
    assert left.contains(point) + right.contains(point) == box.contains(point)


@given(boxes, numbers, numbers)
def test_shift_and_back(box: Box, dx: float, dy: float) -> None:
    there = box.shift(dx, dy)
    assert there.width == pytest.approx(box.width, abs=1e-3)
    back = there.shift(-dx, -dy)
    assert (back.left, back.bottom) == pytest.approx((box.left, box.bottom), abs=1e-3)


@given(boxes, st.floats(0, 50))
def test_expand(box: Box, margin: float) -> None:
    grown = box.expand(margin)
    assert grown.width == pytest.approx(box.width + 2 * margin, abs=1e-6)
    assert grown.center.distance(box.center) < 1e-6
    shrunk = box.expand(-1000)
    assert shrunk.area == pytest.approx(0, abs=1e-6) and shrunk.center.distance(box.center) < 1e-6


@pytest.mark.parametrize(
    "edges",
    [(1, 0, 0, 1), (0, 1, 1, 0), (math.nan, 0, 1, 1), (0, 0, math.inf, 1), (0, 0, "1", 1), (0, 0, True, 1)],
)
def test_what_is_no_box(edges: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"Box|box"):
        Box(*edges)


# -- relations -----------------------------------------------------------------------------------


@given(located, located)
def test_relations_mirror_each_other(a: Any, b: Any) -> None:
    assert a.left_of(b) == b.right_of(a) and a.above(b) == b.below(a)
    assert not (a.left_of(b) and a.right_of(b))
    assert a.distance(b) == pytest.approx(b.distance(a), abs=1e-6)
    assert a.distance(b) >= 0
    assert a.contains(b) == b.inside(a)


@given(located, located)
def test_what_overlaps_has_no_gap(a: Any, b: Any) -> None:
    if a.overlaps(b):
        assert a.distance(b) <= 1e-6 and a.touches(b)


def test_a_box_in_the_corner_of_a_circles_box_does_not_overlap_the_circle() -> None:
    corner, circle = Box(0, 0, 10, 10), Circle(Point(50, 50), 50)
    assert not corner.overlaps(circle) and not circle.overlaps(corner)
    assert corner.distance(circle) == circle.distance(corner) == pytest.approx(math.hypot(40, 40) - 50)


@given(located, located)
def test_overlap_mirrors_itself(a: Any, b: Any) -> None:
    assert a.overlaps(b) == b.overlaps(a)


@given(boxes, boxes, numbers, numbers)
def test_relations_do_not_depend_on_the_frame(a: Box, b: Box, dx: float, dy: float) -> None:
    dx, dy = round(dx), round(dy)
    c, d = a.shift(dx, dy), b.shift(dx, dy)
    assert c.distance(d) == pytest.approx(a.distance(b), abs=1e-3)


@given(boxes)
def test_nothing_is_inside_itself(a: Box) -> None:
    assert not a.inside(a)


def test_inside_with_tolerance() -> None:
    outer = Box(0, 0, 100, 100)
    assert Box(10, 10, 20, 20).inside(outer)
    assert Box(-1, 0, 9, 10).inside(outer)  # a tenth of it is outside
    assert not Box(-2, 0, 8, 10).inside(outer)
    assert not Box(-2, 0, 8, 10).inside(outer, 0.1) and Box(-2, 0, 8, 10).inside(outer, 0.2)


# -- circles, lines, polygons --------------------------------------------------------------------


@given(circles, circles)
def test_circles_are_round(a: Circle, b: Circle) -> None:
    gap = a.center.distance(b.center) - a.radius - b.radius
    assert a.distance(b) == pytest.approx(max(gap, 0), abs=1e-9)
    assert a.overlaps(b) == (gap < 0) or abs(gap) < 1e-9


def test_corners_of_the_boxes_of_circles_do_not_count() -> None:
    a, b = Circle(Point(0, 0), 10), Circle(Point(15, 15), 10)
    assert a.box.overlaps(b.box) and not a.overlaps(b)
    assert not a.overlaps(Box(8, 8, 20, 20)) and a.overlaps(Box(7, 7, 20, 20))
    assert Circle(Point(1, 1), 2).inside(a) and not Circle(Point(9, 0), 4).inside(a)
    assert a.area == pytest.approx(100 * math.pi)


def test_crossings() -> None:
    flat, steep = Line((Point(0, 5), Point(10, 5))), Line((Point(5, 0), Point(5, 10)))
    assert flat.crossings(steep) == [Point(5, 5)]
    assert flat.crossings(Line((Point(0, 7), Point(10, 7)))) == []
    zigzag = Line((Point(0, 0), Point(3, 10), Point(6, 0), Point(9, 10)))
    assert len(flat.crossings(zigzag)) == 3
    touching = Line((Point(10, 5), Point(20, 15)))
    assert len(flat.crossings(touching)) == 1
    assert flat.length == 10 and zigzag.length == pytest.approx(3 * math.hypot(3, 10))


segments = st.builds(lambda a, b: Line((a, b)), points, points)


@given(segments, segments)
def test_crossings_are_symmetric_and_near_both(a: Line, b: Line) -> None:
    assume(a.length > 1 and b.length > 1)
    there, back = a.crossings(b), b.crossings(a)
    assert len(there) == len(back) <= 1
    for point in there:
        reach = 1 + 1e-3
        assert a.box.expand(reach).distance(point) == 0 and b.box.expand(reach).distance(point) == 0


def test_polygons() -> None:
    triangle = Polygon((Point(0, 0), Point(10, 0), Point(0, 10)), "red")
    assert (triangle.sides, triangle.area, triangle.box) == (3, 50, Box(0, 0, 10, 10))
    assert Polygon((Point(0, 0), Point(0, 10), Point(10, 0))).area == 50
    for wrong in (lambda: Line((Point(0, 0),)), lambda: Polygon((Point(0, 0), Point(1, 1)))):
        with pytest.raises(ValueError, match="at least"):
            wrong()
    with pytest.raises(ValueError, match="radius of at least 0"):
        Circle(Point(0, 0), -1)
    assert Grid(3, 4, Box(0, 0, 8, 6)).cells == 12


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Point(1, 2), "x"),
        (Box(0, 0, 1, 1), "left"),
        (Circle(Point(0, 0), 1), "radius"),
        (Grid(1, 1, Box(0, 0, 1, 1)), "rows"),
    ],
)
def test_values_do_not_change(value: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(value, name, 3)
    assert hash(value) == hash(pickle.loads(pickle.dumps(value)))


def test_iou_of_whatever_has_a_place() -> None:
    box, half = Box(0, 0, 10, 10), Region(Box(0, 0, 10, 5))
    assert box.iou(half) == half.iou(box) == 0.5
    assert half.iou(half) == 1.0
    assert half.iou(Box(0, 5, 10, 10)) == 0.0
    assert Circle(Point(5, 5), 5).iou(half) == 0.5
    assert Grid(1, 1, Box(0, 0, 0, 5)).iou(Box(0, 0, 0, 5)) == 0.0

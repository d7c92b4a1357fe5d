"""Tracks and spans: places in time, direction, crossings, zones, counts that are smoothed."""

from __future__ import annotations

import pytest

from visprog.values import Box, Line, Point, Span, Track
from visprog.values.track import crossings, seconds_inside, smoothed, spans_where, thinned


def track(*places: tuple[float, float, float], side: float = 10.0) -> Track:
    """A track by (time, left, top) of each place."""
    made = tuple((time, Box(x, y, x + side, y + side)) for time, x, y in places)
    return Track("dog", 0.9, (Span(made[0][0], made[-1][0]),), made)


def test_a_place_between_two_places_is_on_the_way() -> None:
    dog = track((1, 0, 0), (3, 100, 20))
    assert dog.at(2) == Box(50, 10, 60, 20)
    assert dog.at(1) == Box(0, 0, 10, 10) and dog.at(3) == Box(100, 20, 110, 30)
    assert dog.at(0.9) is None and dog.at(3.1) is None
    assert (dog.first_seen, dog.last_seen, dog.duration) == (1, 3, 2)


def test_it_is_not_in_view_between_its_spans() -> None:
    places = tuple((float(t), Box(t, 0, t + 5, 5)) for t in range(10))
    dog = Track("dog", 0.9, (Span(0, 3), Span(6, 9)), places)
    assert dog.seen(2) and not dog.seen(5) and dog.at(5) is None and dog.duration == 6


@pytest.mark.parametrize(
    ("x", "y", "wanted"),
    [(50, 10, "right"), (-50, 10, "left"), (10, 50, "down"), (10, -50, "up"), (3, 2, "none")],
)
def test_directions(x: float, y: float, wanted: str) -> None:
    assert track((0, 100, 100), (2, 100 + x, 100 + y)).direction == wanted


def test_a_line_is_crossed_once_on_each_way() -> None:
    line = Line((Point(50, 0), Point(50, 100)))
    once = track((0, 0, 20), (1, 45, 20), (2, 90, 20))  # its centre lies on the line at 1 s
    back = track((0, 0, 40), (1, 90, 40), (4, 0, 40))
    beside = track((0, 0, 200), (1, 90, 200))
    assert crossings([back, once, beside], line) == [back, once, back]
    assert crossings([], line) == []


def test_seconds_in_a_zone() -> None:
    dog = track((0, -5, 0), (10, 95, 0))
    assert seconds_inside(dog, Box(20, 0, 50, 50)) == pytest.approx(3, abs=0.15)
    assert seconds_inside(dog, Box(200, 0, 250, 50)) == 0


def test_spans_where_something_holds() -> None:
    samples = [(0.0, True), (1.0, True), (2.0, False), (3.0, True)]
    assert spans_where(samples) == [Span(0, 2), Span(3, 3)]
    assert spans_where([]) == [] and spans_where([(0.0, False)]) == []


def test_numbers_that_last_for_a_moment_are_left_out() -> None:
    numbers = [2] * 10 + [1] + [2] * 10 + [3] * 10
    counts = smoothed([(i / 5, n) for i, n in enumerate(numbers)], 1.0)
    assert [n for _, n in counts] == [2] * 21 + [3] * 10


def test_a_long_track_keeps_its_first_and_last_place() -> None:
    places = [(float(t), Box(t, 0, t + 1, 1)) for t in range(1000)]
    kept = thinned(places, 20)
    assert len(kept) == 20 and kept[0] == places[0] and kept[-1] == places[-1]
    assert thinned(places[:5], 20) == tuple(places[:5])


def test_spans_overlap_with_spans_and_tracks() -> None:
    assert Span(1, 3).overlaps(Span(3, 4)) and not Span(1, 3).overlaps(Span(3.1, 4))
    assert Span(1, 3).overlaps(track((2, 0, 0), (9, 0, 0)))


def test_what_is_no_span_and_no_track() -> None:
    with pytest.raises(ValueError, match="before its start"):
        Span(3, 1)
    with pytest.raises(ValueError, match="at least one span"):
        Track("dog", 0.9, (), ())
    with pytest.raises(ValueError, match="order of their times"):
        Track("dog", 0.9, (Span(1, 2),), ((2.0, Box(0, 0, 1, 1)), (1.0, Box(0, 0, 1, 1))))

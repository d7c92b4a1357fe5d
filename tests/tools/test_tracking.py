"""Boxes joined to tracks: the assignment, the filter, the stages of the association, motion and looks."""

from __future__ import annotations

import numpy as np
import pytest

from visprog.tools.tracking.bytetrack import NO_MATCH, ByteTracker, Motion, _augmented, assign, iou
from visprog.tools.tracking.motion import Looks, MovingRegions


def box(left: float, top: float, side: float = 20.0) -> list[float]:
    return [left, top, left + side, top + side]


def feed(tracker: ByteTracker, frames: list[list[tuple[list[float], float]]], step: float = 0.1) -> None:
    for number, found in enumerate(frames):
        tracker.update(number * step, np.array([b for b, _ in found]), [score for _, score in found])


@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (6, 4), (7, 7), (0, 3)])
def test_the_own_solver_costs_as_little_as_that_of_scipy(shape: tuple[int, int]) -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    for _ in range(20):
        cost = np.where(rng.random(shape) < 0.3, NO_MATCH, rng.random(shape))
        pairs = _augmented(cost) if 0 not in shape else assign(cost)
        rows, columns = optimize.linear_sum_assignment(cost)
        assert len({r for r, _ in pairs}) == len({c for _, c in pairs}) == min(shape)
        assert sum(cost[r, c] for r, c in pairs) == pytest.approx(cost[rows, columns].sum())


def test_iou_of_boxes() -> None:
    shared = iou(np.array([box(0, 0), box(100, 0)]), np.array([box(10, 0)]))
    assert shared[:, 0].tolist() == pytest.approx([1 / 3, 0])


def test_the_filter_learns_a_velocity_and_goes_on_with_it() -> None:
    motion = Motion(np.array(box(0, 0)))
    for i in range(1, 15):
        motion.predict()
        motion.correct(np.array(box(5.0 * i, 0)))
    motion.predict(2.0)
    assert motion.box[0] == pytest.approx(5.0 * 16, abs=1.5)
    assert motion.box[2] - motion.box[0] == pytest.approx(20, abs=1)


def test_two_objects_that_cross_keep_their_identities() -> None:
    tracker = ByteTracker()
    frames = [[(box(6.0 * i, 0), 0.9), (box(180 - 6.0 * i, 12), 0.9)] for i in range(31)]
    feed(tracker, frames)
    ends = sorted((track.boxes[0][0], track.boxes[-1][0]) for track in tracker.tracks)
    assert ends == [(0, 180), (180, 0)]


def test_a_doubtful_detection_continues_a_track_and_starts_none() -> None:
    tracker = ByteTracker()
    frames = [[(box(3.0 * i, 0), 0.9 if i < 5 else 0.2)] for i in range(10)]
    feed(tracker, frames)
    (track,) = tracker.tracks
    assert track.hits == 10
    feed(doubtful := ByteTracker(), [[(box(0, 0), 0.2)]] * 5)
    assert doubtful.tracks == []


def test_a_track_survives_a_gap_and_ends_after_a_second() -> None:
    tracker = ByteTracker()
    feed(tracker, [[(box(4.0 * i, 0), 0.9)] if not 5 <= i < 10 else [] for i in range(15)])
    assert len(tracker.tracks) == 1
    feed(later := ByteTracker(), [[(box(4.0 * i, 0), 0.9)] if i < 5 or i > 18 else [] for i in range(22)])
    assert len(later.tracks) == 2


def test_a_moving_region_is_the_object_that_the_detector_misses() -> None:
    """The detector knows the object at its first and last frames alone, far apart."""
    tracker, none = ByteTracker(), np.zeros((0, 4))
    for i in range(40):
        place = np.array([box(8.0 * i, 0)])
        known = i < 2 or i > 37
        tracker.update(i * 0.1, place if known else none, [0.9] if known else [], place)
    (track,) = [t for t in tracker.tracks if t.hits]
    assert len(track.times) == 40 and track.hits == 4


def scene(*squares: tuple[int, int, int], seed: int = 3) -> np.ndarray:
    """A textured wall (120 x 160) with squares (left, top, grey) of 24 pixels on it, each with a pattern of its own."""
    noise = np.random.default_rng(seed).integers(90, 120, (120, 160, 1))
    pixels = np.repeat(noise, 3, 2).astype(np.uint8)
    for left, top, grey in squares:
        pattern = np.full((24, 24, 3), grey, np.uint8)
        pattern[4:12, 4:20] = 255 - grey
        pixels[top : top + 24, left : left + 24] = pattern
    return pixels


def test_what_moves_is_found_and_what_was_taken_away_is_not() -> None:
    moving = MovingRegions()
    for _ in range(5):
        assert not len(moving.update(scene((100, 60, 20))))
    for i in range(10):
        found = moving.update(scene((100, 60, 20), (5 + 4 * i, 20, 230)))
    assert len(found) == 1
    assert iou(found, np.array([[41, 20, 65, 44]]))[0, 0] > 0.6
    moving.update(scene((41, 20, 230)))  # the other square is taken away
    for _ in range(3):
        assert not len(moving.update(scene((41, 20, 230))))


def test_a_change_of_the_whole_light_is_no_motion() -> None:
    moving = MovingRegions()
    for level in (0, 0, 30, 60):
        found = moving.update(scene((60, 40, 20)) + np.uint8(level // 3))
    assert not len(found)


def test_an_object_at_rest_is_seen_while_it_looks_so_and_again_when_it_is_back() -> None:
    looks = Looks()
    tracker = ByteTracker(look=lambda track, place: looks.find(id(track), place))
    here, gone, none = scene((60, 40, 20)), scene(), np.zeros((0, 4))
    there = [*[True] * 12, *[False] * 20, *[True] * 10]
    for i, is_there in enumerate(there):
        looks.begin(here if is_there else gone)
        detected = i < 8
        for track in tracker.update(
            i * 0.1, np.array([box(60, 40, 24)]) if detected else none, [0.9] * detected
        ):
            if track.scores[-1] and track.place is track.boxes[-1]:
                looks.learn(id(track), track.boxes[-1], track.scores[-1])
    (track,) = tracker.tracks
    seen = {round(time * 10) for time in track.times}
    assert seen == {i for i, is_there in enumerate(there) if is_there}


def test_an_object_that_stops_where_another_one_stood_is_another_one() -> None:
    """Even if it looks like it: it came from elsewhere, as one object."""
    tracker = ByteTracker(look=lambda track, place: place)
    way = [*range(0, 100, 5), *[100] * 25]  # it comes from the left, and stops
    for start in (0.0, 20.0):
        for i, left in enumerate(way):
            tracker.update(start + i * 0.1, np.array([box(left, 40)]), [0.9])
        tracker.look = None  # away
        for i in range(30):
            tracker.update(start + 5 + i * 0.1, np.zeros((0, 4)), [])
        tracker.look = lambda track, place: place
    assert len(tracker.tracks) == 2
    assert [round(track.times[0]) for track in tracker.tracks] == [0, 20]

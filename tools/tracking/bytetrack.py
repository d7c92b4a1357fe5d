"""ByteTrack: boxes of single frames joined to tracks, each the same object over time.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection Box" (ECCV 2022, arXiv:2110.06864).
Tracks are predicted by a Kalman filter of constant velocity (Wojke et al., "Simple Online and Realtime Tracking",
2017), and matched by overlap in two stages: with the sure detections first, and what is left of them with the doubtful
ones. Two further stages are for weak detectors: a track that is still unmatched takes a moving region of the image, and
one without that stays where the image still looks as it did there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Look = Callable[["BoxTrack", Array], "Array | None"]
"""Finds an object again by its looks near a box (4,); None if it is not there."""

NO_MATCH = 1e5
"""Cost of a pair that must not be matched."""
REST_SECONDS = 0.5
"""Time without motion after which an object is at rest."""


@dataclass(frozen=True)
class Rules:
    """Thresholds of the association.

    Attributes:
        high: Lowest score of a sure detection; the others are doubtful.
        overlap: Lowest IoU of a sure detection with a track.
        doubtful_overlap: Lowest IoU of a doubtful detection, or of a moving region, with a track.
        lost_seconds: Time for which a track that moves goes on without a match.
        absent_seconds: Time within which an object at rest may come back to its place, and is the same.
    """

    high: float = 0.5
    overlap: float = 0.15
    doubtful_overlap: float = 0.3
    lost_seconds: float = 1.0
    absent_seconds: float = 30.0


@dataclass
class BoxTrack:
    """A track: what was matched with it, and where it is expected.

    Attributes:
        times: Seconds of the frames in which it was seen.
        boxes: Its box (left, top, right, bottom) in each of them.
        scores: Score of the detection in each of them; 0 if it was followed without one.
        place: Its box where it was at rest last; None if it never was.
    """

    motion: Motion
    times: list[float] = field(default_factory=list)
    boxes: list[Array] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    place: Array | None = None

    def take(self, time: float, box: Array, score: float) -> None:
        """Note where it was seen."""
        self.motion.correct(box)
        self.times.append(time)
        self.boxes.append(box)
        self.scores.append(score)
        if self._rests:
            self.place = box

    @property
    def hits(self) -> int:
        """Number of detections."""
        return sum(score > 0 for score in self.scores)

    @property
    def _rests(self) -> bool:
        """Whether it was seen for some time, and has hardly moved in it."""
        last = self.boxes[-1]
        since = self.times[-1] - REST_SECONDS
        if self.times[0] > since:
            return False
        recent = [
            box for time, box in zip(self.times[:-30:-1], self.boxes[:-30:-1], strict=True) if time >= since
        ]
        return bool(np.abs(np.array(recent) - last).max() < 0.15 * _sides(last).max())


class Motion:
    """Kalman filter of a box: its centre, width and height, and their velocities.

    The noise is in proportion to the sides, with the weights of the paper's code. The width takes the place of the
    aspect ratio, which leaps where an object enters the image (Aharon et al., "BoT-SORT", arXiv:2206.14651).
    """

    POSITION, VELOCITY = 1 / 20, 1 / 160

    def __init__(self, box: Array) -> None:
        self.mean = np.concatenate([_measured(box), np.zeros(4)])
        self.covariance = np.diag(
            np.square(np.concatenate([2 * self.POSITION * self._scale, 10 * self.VELOCITY * self._scale]))
        )

    @property
    def _scale(self) -> Array:
        """Width and height, by which the noise of centre and sides goes."""
        scale: Array = np.maximum(np.tile(self.mean[2:4], 2), 1.0)
        return scale

    @property
    def box(self) -> Array:
        """The box (4,) that is expected."""
        middle, half = self.mean[:2], np.maximum(self.mean[2:4], 1.0) / 2
        box: Array = np.concatenate([middle - half, middle + half])
        return box

    def predict(self, steps: float = 1.0) -> None:
        """Go on by so many steps between frames."""
        move = np.eye(8)
        move[:4, 4:] = steps * np.eye(4)
        noise = np.diag(np.square(np.concatenate([self.POSITION * self._scale, self.VELOCITY * self._scale])))
        self.mean = move @ self.mean
        self.covariance = move @ self.covariance @ move.T + steps * noise

    def correct(self, box: Array) -> None:
        """Take in a box that was measured."""
        noise = np.diag(np.square(self.POSITION * self._scale))
        gain = np.linalg.solve(self.covariance[:4, :4] + noise, self.covariance[:4]).T  # (8, 4)
        self.mean = self.mean + gain @ (_measured(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ self.covariance[:4]


class ByteTracker:
    """Joins the boxes of one frame after another to tracks.

    Args:
        rules: Thresholds of the association.
        look: Finds a track again by its looks where no box fits it.

    Attributes:
        tracks: All tracks so far, those that have ended included.
    """

    def __init__(self, rules: Rules | None = None, look: Look | None = None) -> None:
        self.rules = rules or Rules()
        self.look = look
        self.tracks: list[BoxTrack] = []
        self._open: list[BoxTrack] = []
        self._time: float | None = None
        self._step = 0.0

    def update(
        self, time: float, boxes: Array, scores: Sequence[float], moving: Array | None = None
    ) -> list[BoxTrack]:
        """Take in a frame.

        Args:
            time: Its time in seconds.
            boxes: Detections (N, 4), left, top, right, bottom.
            scores: Their scores (N,).
            moving: Boxes (M, 4) of what moves, whatever it is.

        Returns:
            The tracks that were seen in this frame.
        """
        self._go_on(time)
        sure = np.asarray(scores, np.float64) >= self.rules.high
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        since = time - self.rules.lost_seconds
        left = [track for track in self._open if track.times[-1] >= since]
        absent = [track for track in self._open if since > track.times[-1] >= time - self._patience(track)]
        left, unmatched = self._match(left, boxes, np.flatnonzero(sure), self.rules.overlap, time, scores)
        left, _ = self._match(left, boxes, np.flatnonzero(~sure), self.rules.doubtful_overlap, time, scores)
        regions = np.zeros((0, 4)) if moving is None else np.asarray(moving, np.float64).reshape(-1, 4)
        regions = regions[_free(regions, boxes)]
        left, rest = self._match(
            left, regions, np.arange(len(regions)), self.rules.doubtful_overlap, time, None
        )
        for track in [*left, *absent]:
            place = self._found_again(track, time)
            if place is None:
                continue
            there = [i for i in unmatched if iou(place[None], boxes[i][None])[0, 0] >= self.rules.overlap]
            if there:
                unmatched.remove(there[0])
                track.take(time, boxes[there[0]], float(scores[there[0]]))
            else:
                track.take(time, place, 0.0)
        seen = [track for track in self._open if track.times[-1] == time]
        # A part of an object that is known, or its rim, is no other one.
        recent = [
            _widened(track.motion.box) for track in self._open if track.hits and track.times[-1] >= since
        ]
        known = np.array([*(track.boxes[-1] for track in seen), *recent]).reshape(-1, 4)
        rest = [i for i, is_free in zip(rest, _free(regions[rest], known), strict=True) if is_free]
        fresh = [(boxes[i], float(scores[i])) for i in unmatched] + [(regions[i], 0.0) for i in rest]
        for box, score in fresh:
            started = BoxTrack(Motion(box))
            started.take(time, box, score)
            seen.append(started)
            self._open.append(started)
            self.tracks.append(started)
        self._open = [track for track in self._open if track.times[-1] >= time - self._patience(track)]
        return seen

    def _found_again(self, track: BoxTrack, time: float) -> Array | None:
        """The box at which an object that rested looks as it did, if no other object is there."""
        if self.look is None or track.place is None:
            return None
        found = self.look(track, track.place)
        others = [other.boxes[-1] for other in self._open if other is not track and other.times[-1] == time]
        if found is None or not _free(found[None], np.array(others).reshape(-1, 4))[0]:
            return None
        return found

    def _go_on(self, time: float) -> None:
        """Predict all open tracks; a step is the usual time between two frames."""
        if self._time is not None and time > self._time:
            gap = time - self._time
            self._step = self._step or gap
            for track in self._open:
                track.motion.predict(min(gap / self._step, 10.0))
        self._time = time

    def _patience(self, track: BoxTrack) -> float:
        """Seconds for which a track may be unseen."""
        keeps = self.look is not None and track.hits > 0 and track.place is not None
        return self.rules.absent_seconds if keeps else self.rules.lost_seconds

    def _match(
        self,
        tracks: list[BoxTrack],
        boxes: Array,
        among: NDArray[np.intp],
        overlap: float,
        time: float,
        scores: Sequence[float] | None,
    ) -> tuple[list[BoxTrack], list[int]]:
        """Match tracks with some boxes; the tracks and the numbers of the boxes that are left."""
        shared = np.zeros((len(tracks), len(among)))
        for places in (
            [track.motion.box for track in tracks],
            [track.boxes[-1] for track in tracks],
            [track.boxes[-1] if track.place is None else track.place for track in tracks],
        ):
            shared = np.maximum(shared, iou(np.array(places).reshape(-1, 4), boxes[among]))
        pairs = assign(np.where(shared >= overlap, 1 - shared, NO_MATCH))
        taken = {row: among[column] for row, column in pairs if shared[row, column] >= overlap}
        for row, number in taken.items():
            tracks[row].take(time, boxes[number], 0.0 if scores is None else float(scores[number]))
        left = [track for row, track in enumerate(tracks) if row not in taken]
        return left, [int(n) for n in among if n not in taken.values()]


def iou(a: Array, b: Array) -> Array:
    """Intersection over union (N, M) of boxes (N, 4) and (M, 4)."""
    shared = _intersection(a, b)
    areas = _sides(a).prod(-1)[:, None] + _sides(b).prod(-1)[None]
    found: Array = shared / np.maximum(areas - shared, 1e-9)
    return found


def assign(cost: Array) -> list[tuple[int, int]]:
    """The pairs (row, column) of least total cost, each row and column once.

    SciPy's solver if it is installed, else the same by shortest augmenting paths (Jonker and Volgenant, 1987).
    """
    if 0 in cost.shape:
        return []
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        return _augmented(cost)
    rows, columns = linear_sum_assignment(cost)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True)]


def _augmented(cost: Array) -> list[tuple[int, int]]:
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in _augmented(cost.T))
    n, m = cost.shape
    u, v = np.zeros(n), np.zeros(m)
    row_of = np.full(m, -1)
    for start in range(n):
        shortest, before = np.full(m, np.inf), np.full(m, -1)
        done = np.zeros(m, bool)
        row, last, least = start, -1, 0.0
        while True:
            reduced = least + cost[row] - u[row] - v
            better = ~done & (reduced < shortest)
            shortest[better], before[better] = reduced[better], last
            column = int(np.where(done, np.inf, shortest).argmin())
            least = float(shortest[column])
            done[column] = True
            last = column
            if row_of[column] < 0:
                break
            row = int(row_of[column])
        u[start] += least
        for column in np.flatnonzero(done).tolist():
            if row_of[column] >= 0:
                u[row_of[column]] += least - shortest[column]
            v[column] -= least - shortest[column]
        while last >= 0:  # along the path back to its start
            previous = int(before[last])
            row_of[last] = row_of[previous] if previous >= 0 else start
            last = previous
    return sorted((int(row_of[c]), c) for c in range(m) if row_of[c] >= 0)


def _measured(box: Array) -> Array:
    return np.concatenate([(box[:2] + box[2:]) / 2, np.maximum(_sides(box), 1.0)])


def _sides(boxes: Array) -> Array:
    sides: Array = boxes[..., 2:] - boxes[..., :2]
    return sides


def _widened(box: Array) -> Array:
    """A box (4,) with a quarter of its sides around it."""
    margin = _sides(box) / 4
    wide: Array = np.concatenate([box[:2] - margin, box[2:] + margin])
    return wide


def _intersection(a: Array, b: Array) -> Array:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: Array = np.maximum(high - low, 0).prod(-1)
    return shared


def _free(regions: Array, boxes: Array) -> NDArray[np.bool_]:
    """Which moving regions (M, 4) are not those of detections (N, 4): half of neither lies in the other."""
    if not len(regions) or not len(boxes):
        return np.ones(len(regions), bool)
    shared = _intersection(regions, boxes)
    inside = shared / np.maximum(_sides(regions).prod(-1)[:, None], 1e-9)
    holds = shared / np.maximum(_sides(boxes).prod(-1)[None], 1e-9)
    free: NDArray[np.bool_] = (np.maximum(inside, holds) < 0.5).all(1)
    return free

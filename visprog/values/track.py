"""Objects over time: tracks, and spans of time. Standard library only: this file also runs in the sandbox."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import TYPE_CHECKING, Literal

from .geometry import Box, Line, Located, Point, _finite

if TYPE_CHECKING:
    from .region import Region

_STILL = 0.5
"""Way that an object must go, as a share of its size, to have a direction."""


@dataclass(frozen=True, slots=True)
class Span:
    """A time, from its start to its end.

    Attributes:
        start: Seconds from the start of the video.
        end: Seconds from the start of the video.
    """

    start: float
    end: float

    def __post_init__(self) -> None:
        _finite(self, "start", "end")
        if self.end < self.start:
            raise ValueError(f"a span ends at {self.end:g} s, before its start at {self.start:g} s")

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.end - self.start

    def contains(self, time: float) -> bool:
        return self.start <= time <= self.end

    def overlaps(self, other: Span | Track) -> bool:
        """Whether a span, or the time of a track, shares a moment with it."""
        first, last = (
            (other.first_seen, other.last_seen) if isinstance(other, Track) else (other.start, other.end)
        )
        return self.start <= last and first <= self.end


@dataclass(frozen=True, slots=True)
class Track:
    """One object followed through a video.

    Attributes:
        label: Name of the object.
        score: Confidence, 0 to 1.
        spans: Times at which it is in view, in order.
        places: Times, and its box at each, in order.
        view: It where it is seen best, if that frame was kept.
    """

    label: str
    score: float
    spans: tuple[Span, ...]
    places: tuple[tuple[float, Box], ...]
    view: Region | None = None

    def __post_init__(self) -> None:
        if not self.spans or not self.places:
            raise ValueError("a track has at least one span and one place")
        if any(a[0] >= b[0] for a, b in pairwise(self.places)):
            raise ValueError("the places of a track are in the order of their times")
        _finite(self, "score")

    @property
    def first_seen(self) -> float:
        """Time at which it comes into view, in seconds."""
        return self.spans[0].start

    @property
    def last_seen(self) -> float:
        """Time at which it is in view last, in seconds. An object that is in view at the end of the video has one too,
        and has not left."""
        return self.spans[-1].end

    @property
    def duration(self) -> float:
        """Seconds for which it is in view."""
        return sum(span.duration for span in self.spans)

    @property
    def start(self) -> Box:
        """Its first place."""
        return self.places[0][1]

    @property
    def end(self) -> Box:
        """Its last place."""
        return self.places[-1][1]

    @property
    def direction(self) -> Literal["left", "right", "up", "down", "none"]:
        """Where it goes from first to last: "left", "right", "up", "down", or "none" if it hardly moves."""
        a, b = self.start.center, self.end.center
        x, y = b.x - a.x, b.y - a.y
        size = min(max(self.start.width, self.start.height), max(self.end.width, self.end.height))
        if max(abs(x), abs(y)) < _STILL * size:
            return "none"
        if abs(x) >= abs(y):
            return "right" if x > 0 else "left"
        return "down" if y > 0 else "up"

    def seen(self, time: float) -> bool:
        """Whether it is in view at a time in seconds."""
        return any(span.contains(time) for span in self.spans)

    def at(self, time: float) -> Box | None:
        """Its place at a time in seconds; None if it is not in view then."""
        if not self.seen(time):
            return None
        number = bisect_right(self.places, time, key=lambda place: place[0])
        if number in (0, len(self.places)):
            return self.places[min(number, len(self.places) - 1)][1]
        (t0, a), (t1, b) = self.places[number - 1], self.places[number]
        share = (time - t0) / (t1 - t0)
        edges = zip(_edges(a), _edges(b), strict=True)
        return Box(*((1 - share) * p + share * q for p, q in edges))

    def __repr__(self) -> str:
        return f"Track({self.label!r}, {self.first_seen:.1f}–{self.last_seen:.1f} s, going {self.direction})"


# -- what programs compute with them ------------------------------------------------------------------


def crossings(tracks: Sequence[Track], line: Line) -> list[Track]:
    """The tracks whose centre crosses a line, in the order of time; one that crosses twice comes twice. A line from a
    to b is Line((Point(ax, ay), Point(bx, by)))."""
    found: list[tuple[float, Track]] = []
    for track in tracks:
        for (t0, a), (t1, b) in pairwise(track.places):
            times = sum(_cross(p, q, a.center, b.center) for p, q in pairwise(line.points))
            found += [((t0 + t1) / 2, track)] * times
    return [track for _, track in sorted(found, key=lambda each: each[0])]


def seconds_inside(track: Track, zone: Located) -> float:
    """Seconds for which the centre of a track is in the box of a zone."""
    box, step, inside = zone.box, 0.1, 0
    for span in track.spans:
        for i in range(max(1, round(span.duration / step))):
            place = track.at(min(span.start + (i + 0.5) * step, span.end))
            inside += place is not None and _holds(box, place.center)
    return inside * step


def spans_where(samples: Sequence[tuple[float, bool]]) -> list[Span]:
    """The times during which something holds, from samples (time, whether it holds) in order:
    spans_where([(t, n < 2) for t, n in count_over_time(video, "bottle")])."""
    found: list[Span] = []
    start: float | None = None
    for time, holds in samples:
        if holds and start is None:
            start = time
        if not holds and start is not None:
            found.append(Span(start, time))
            start = None
    if start is not None:
        found.append(Span(start, samples[-1][0]))
    return found


VIDEO_FUNCTIONS = (crossings, seconds_inside, spans_where)
"""What programs about videos may call, in the order in which planners see it."""


def smoothed(samples: Sequence[tuple[float, int]], seconds: float) -> list[tuple[float, int]]:
    """Counts over time without those that last for less than half of so many seconds: a running median."""
    times = [time for time, _ in samples]
    result, low, high = [], 0, 0
    for time in times:
        while times[low] < time - seconds / 2:
            low += 1
        while high < len(times) and times[high] <= time + seconds / 2:
            high += 1
        result.append((time, median_low(n for _, n in samples[low:high])))
    return result


def thinned(places: Sequence[tuple[float, Box]], most: int) -> tuple[tuple[float, Box], ...]:
    """At most so many of the places of a track, evenly chosen; the first and the last are kept."""
    if len(places) <= most:
        return tuple(places)
    last = len(places) - 1
    return tuple(places[round(i * last / (most - 1))] for i in range(most))


def _holds(box: Box, point: Point) -> bool:
    return box.left <= point.x < box.right and box.top <= point.y < box.bottom


def _cross(p: Point, q: Point, a: Point, b: Point) -> bool:
    """Whether the way from a to b crosses the line from p to q. An end belongs to one side: none counts twice."""

    def is_left(u: Point, v: Point, of: Point) -> bool:
        return (v.x - u.x) * (of.y - u.y) - (v.y - u.y) * (of.x - u.x) > 0

    return is_left(p, q, a) != is_left(p, q, b) and is_left(a, b, p) != is_left(a, b, q)


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom

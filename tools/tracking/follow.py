"""Objects of one kind followed through a video: detection of frame after frame, while the next ones are decoded."""

from __future__ import annotations

import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Region, Span, Track
from visprog.values.image import Image
from visprog.values.track import thinned
from visprog.values.video import Video

from .bytetrack import BoxTrack, ByteTracker
from .motion import Looks, MovingRegions

Detect = Callable[[Sequence[Image]], list[Any]]
"""Finds the objects in several frames: the regions of each, or the error in its place."""

RATE = 10.0
"""Frames per second that are looked at."""
ALL_DETECTED = 1_500
"""Number of frames of a video up to which objects are detected in each, however long that takes."""
MAX_PACE = 1.0
"""Share of the length of a longer video that detection may take: if it is slower, objects are detected in every second,
third, … frame, and motion alone is followed between them."""
MIN_TIMED = 64
"""Number of frames after which the time of a detection is known."""
MIN_HITS = 2
"""Number of frames in which an object must be detected."""
MIN_SHARE = 0.04
"""Share of the frames with detection in which it is in view, and must be detected."""
LOOK_SECONDS, MAX_LOOKS = 0.3, 10
"""Time between two closer looks at something that moves and is not detected, and their number at most."""
LOOK_MARGIN = 0.3
"""Margin around it, as a share of its longer side."""
MIN_SEEN = 0.3
"""Share of the closer looks at something in which it must be detected."""
SAME = 0.7
"""Share of its area, and of its time, for which a track that lies on another is no object of its own."""
MAX_GAP = 1.0
"""Seconds for which an object may be unseen and is taken to be in view."""
MAX_PLACES = 2_000
"""Number of places of all tracks together: they cross to the program in one message."""


@dataclass(frozen=True)
class Followed:
    """What was followed in a video.

    Attributes:
        tracks: The objects, in the order in which they appear.
        frames: Number of frames that were looked at.
        detected: Number of those in which objects were detected.
        step: Seconds between two frames.
    """

    tracks: list[Track]
    frames: int
    detected: int
    step: float


def follow(video: Video, detect: Detect) -> Followed:
    """Follow the objects that `detect` finds.

    Raises:
        Exception: The error of a detection.
    """
    step = max(1 / RATE, 1 / video.fps)
    pace = Pace(video.duration / step, step)
    moving, looks = MovingRegions(), Looks()
    tracker = ByteTracker(look=lambda track, box: looks.find(id(track), box))
    labels: dict[int, str] = {}
    closer = CloserLooks(detect)
    frames = detected = 0
    for chunk, found in _looked_at(video.chunks(step), pace, detect):
        for frame, regions in zip(chunk, found, strict=True):
            frames, detected = frames + 1, detected + (regions is not None)
            looks.begin(frame.pixels)
            boxes = np.array([_edges(r.box) for r in regions or ()], np.float64).reshape(-1, 4)
            scores = [r.score for r in regions or ()]
            seen = tracker.update(frame.time, boxes, scores, moving.update(frame.pixels))
            for track in seen:
                if track.scores[-1] > 0:
                    labels.setdefault(id(track), (regions or [])[_nearest(boxes, track.boxes[-1])].label)
                    if track.place is track.boxes[-1]:
                        looks.learn(id(track), track.boxes[-1], track.scores[-1])
                else:
                    closer.want(track, frame)
        for track, label in closer.take():
            labels.setdefault(id(track), label)
    few = 1 if detected < 2 * MIN_HITS else MIN_HITS
    kept = [
        t
        for t in tracker.tracks
        if t.hits >= max(few, MIN_SHARE * len(t.times) * detected / frames, closer.needed(t))
    ]
    most = min(60, max(4, MAX_PLACES // max(1, len(kept))))
    made: list[Track] = []
    for track in sorted(kept, key=lambda t: -t.hits):
        found_track = _track(track, labels[id(track)], most, step)
        detected_at = [
            (time, _box(box))
            for time, box, score in zip(track.times, track.boxes, track.scores, strict=True)
            if score
        ]
        if not any(_is_part(found_track.places, other) or _is_part(detected_at, other) for other in made):
            made.append(found_track)
    return Followed(sorted(made, key=lambda t: t.first_seen), frames, detected, step)


class Pace:
    """In which frames objects are detected: in all, or in a long video and with a slow detector in every n-th.

    Args:
        frames: Number of frames of the video.
        step: Seconds between two of them.
    """

    def __init__(self, frames: float, step: float) -> None:
        self.stride = 1
        self._open = frames > ALL_DETECTED
        self._step = step
        self._frames, self._seconds = -1, 0.0  # the first batch loads the detector

    def timed(self, frames: int, seconds: float) -> None:
        """Note how long the detection in some frames took; when enough is known, `stride` is set once."""
        if not self._open or not frames:
            return
        if self._frames < 0:
            self._frames = 0
            return
        self._frames, self._seconds = self._frames + frames, self._seconds + seconds
        if self._frames >= MIN_TIMED:
            self.stride = max(1, math.ceil(self._seconds / self._frames / self._step / MAX_PACE))
            self._open = False


class CloserLooks:
    """Detection in the enlarged surroundings of what moves: a small object in a large frame is often missed there.

    Args:
        detect: Finds the objects in several images.
    """

    def __init__(self, detect: Detect) -> None:
        self._detect = detect
        self._last: dict[int, tuple[int, float]] = {}
        self._wanted: list[tuple[BoxTrack, int, Image]] = []

    def number(self, track: BoxTrack) -> int:
        """Number of closer looks at a track."""
        return self._last.get(id(track), (0, 0.0))[0]

    def needed(self, track: BoxTrack) -> int:
        """Number of detections that a track needs, by the number of closer looks at it."""
        return math.floor(MIN_SEEN * self.number(track))

    def want(self, track: BoxTrack, frame: Image) -> None:
        """Look closer at a track in a frame, unless it is known well enough, or was looked at just now."""
        number, last = self._last.get(id(track), (0, -1.0))
        enough = track.hits >= max(MIN_HITS, self.needed(track)) or number >= MAX_LOOKS
        if enough or len(track.times) < 2 or frame.time - last < LOOK_SECONDS:
            return
        box = Box(*(float(v) for v in track.boxes[-1]))
        around = box.expand(LOOK_MARGIN * max(box.width, box.height)).clip(frame.box)
        if min(around.width, around.height) < 8 or around.area > 0.7 * frame.box.area:
            return
        self._last[id(track)] = number + 1, frame.time
        self._wanted.append((track, len(track.times) - 1, frame.crop(around)))

    def take(self) -> list[tuple[BoxTrack, str]]:
        """Make the looks that are wanted; the tracks that were detected so, and their labels.

        Raises:
            Exception: The error of a detection.
        """
        wanted, self._wanted = self._wanted, []
        seen: list[tuple[BoxTrack, str]] = []
        results = self._detect([crop for _, _, crop in wanted]) if wanted else []
        for (track, number, _), regions in zip(wanted, results, strict=True):
            if isinstance(regions, Exception):
                raise regions
            place = Box(*(float(v) for v in track.boxes[number]))
            fitting = [r for r in regions if _is_of(r.box, place)]
            if fitting:
                best = max(fitting, key=lambda region: region.score)
                track.scores[number] = best.score
                seen.append((track, best.label))
        return seen


def _is_of(box: Box, place: Box) -> bool:
    """Whether a box is most of the place of something that moves, or lies in it for the most part."""
    shared = box.intersection(place)
    return shared is not None and shared.area >= 0.5 * min(box.area, place.area) and box.iou(place) >= 0.2


def _looked_at(
    chunks: Iterator[list[Image]], pace: Pace, detect: Detect
) -> Iterator[tuple[list[Image], list[list[Region] | None]]]:
    """Chunks of frames with what is detected in each frame, None in those that were skipped.

    While one chunk is worked on by the caller, objects are detected in the next, and the one after it is decoded.
    """

    def timed(frames: list[Image]) -> list[Any]:
        started = perf_counter()
        found = detect(frames)
        pace.timed(len(frames), perf_counter() - started)
        return found

    with ThreadPoolExecutor(1) as decoding, ThreadPoolExecutor(1) as detecting:
        first, pending = 0, None
        coming: Future[list[Image] | None] = decoding.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = decoding.submit(next, chunks, None)
            numbers = [i for i in range(len(chunk)) if (first + i) % pace.stride == 0]
            work = detecting.submit(contextvars.copy_context().run, timed, [chunk[i] for i in numbers])
            first += len(chunk)
            if pending is not None:
                yield _joined(*pending)
            pending = (chunk, numbers, work)
        if pending is not None:
            yield _joined(*pending)


def _joined(
    chunk: list[Image], numbers: list[int], work: Future[list[Any]]
) -> tuple[list[Image], list[list[Region] | None]]:
    found: list[list[Region] | None] = [None] * len(chunk)
    for number, regions in zip(numbers, work.result(), strict=True):
        if isinstance(regions, Exception):
            raise regions
        found[number] = regions
    return chunk, found


def _track(track: BoxTrack, label: str, most: int, step: float) -> Track:
    spans: list[Span] = []
    for time in track.times:
        if spans and time - spans[-1].end <= max(MAX_GAP, 2 * step):
            spans[-1] = Span(spans[-1].start, time)
        else:
            spans.append(Span(time, time))
    boxes = [_box(box) for box in track.boxes]
    places = thinned(list(zip(track.times, boxes, strict=True)), most)
    return Track(label, max(track.scores), tuple(spans), places)


def _is_part(places: Sequence[tuple[float, Box]], other: Track) -> bool:
    """Whether places are those of another track, or a part of it: they lie on it nearly all the time. A hand that holds
    an object is detected with it, as one, and followed without it."""
    shared = 0
    for time, box in places:
        there = other.at(time)
        common = there.intersection(box) if there is not None else None
        if common is not None and there is not None:
            shared += common.area >= SAME * min(box.area, there.area)
    return shared >= SAME * len(places)


def _box(edges: NDArray[np.float64]) -> Box:
    return Box(*(float(v) for v in edges))


def _nearest(boxes: NDArray[np.float64], box: NDArray[np.float64]) -> int:
    return int(np.abs(boxes - box).sum(1).argmin())


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom

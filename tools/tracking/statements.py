"""The times at which a statement is true: coarse samples first, then a closer look at where frames or truth change."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values import Span
from visprog.values.image import Image
from visprog.values.video import Video

Judge = Callable[[Sequence[Image]], list[bool]]
"""Says of several frames whether the statement is true of each."""

STEP, MAX_SAMPLES = 0.5, 240
"""Seconds between two samples, and the number of them at most."""
MAX_CLOSER = 240
"""Number of frames between samples that are judged too, at most: in a part of a video, so many in proportion to it."""
SPARE_CLOSER = 32
"""Number of them that may be used before their turn."""
MAX_LOOKS = 9_000
"""Number of frames that are compared with each other, at most."""
MAX_HELD_PIXELS = 48_000_000
"""Number of pixels of the frames that wait to be judged."""
MIN_SECONDS = 0.1
"""Seconds that a statement must be true, or false, for more than, so that one misjudged frame is no event."""

BLOCKS = 48
"""Number of blocks along the longer side of a frame, whose mean colours are compared."""
MIN_CHANGE = 8.0
"""Difference of a block, in grey levels, above which a frame is not the same as another."""


@dataclass(frozen=True)
class Judged:
    """What was found out about a statement.

    Attributes:
        spans: The times at which it is true.
        step: Seconds between two samples.
        frames: Number of frames that were judged.
        brief: Number of times that it was true or false for too short a time to count.
        is_complete: Whether no change was left out because `MAX_CLOSER` were judged.
    """

    spans: list[Span]
    step: float
    frames: int
    brief: int
    is_complete: bool


def spans_of_statement(video: Video, judge: Judge) -> Judged:
    """The times at which a statement is true.

    Frames are sampled evenly. Between two samples of which one is true and one is false, the border is found by
    bisection. Between two that are alike, the frame that differs most from both is judged, if any does: an event may be
    shorter than the time between samples.
    """
    step = max(STEP, video.duration / MAX_SAMPLES)
    held = MAX_HELD_PIXELS / max(1, video.width * video.height)
    look = max(1 / video.fps, video.duration / MAX_LOOKS, step / max(1.0, held - 1))
    search = _Search(judge, video, step)
    for frames, is_last in _windows(video, look, held):
        search.take(frames, is_last)
    spans, brief = _spans(search.samples, video.end)
    return Judged(spans, step, len(search.samples), brief, search.is_complete)


def _windows(video: Video, look: float, held: float) -> Iterator[tuple[list[Image], bool]]:
    """Some frames after others, and whether they are the last; the next are decoded meanwhile."""
    with ThreadPoolExecutor(1) as decoding:
        chunks, window = video.chunks(look), list[Image]()
        coming = decoding.submit(next, chunks, None)
        while (chunk := coming.result()) is not None:
            coming = decoding.submit(next, chunks, None)
            if window and len(window) + len(chunk) > min(held, 96):
                yield window, False
                window = []
            window += chunk
        yield window, True


@dataclass
class _Search:
    """Judges the frames of a video, window after window.

    Attributes:
        samples: Time of each frame that was judged, and whether the statement is true of it, in order.
        is_complete: As of `Judged`.
    """

    judge: Judge
    video: Video
    step: float
    samples: list[tuple[float, bool]] = field(default_factory=list)
    is_complete: bool = True
    _closer: int = 0
    _next: float = -math.inf
    _frames: list[Image] = field(default_factory=list)
    _looks: list[NDArray[np.float32]] = field(default_factory=list)
    _truth: dict[int, bool] = field(default_factory=dict)

    def take(self, frames: Sequence[Image], is_last: bool) -> None:
        """Judge what is needed of some frames and of those after the last sample before them."""
        wanted: list[int] = []
        for frame in frames:
            if frame.time >= self._next - 1e-4:
                wanted.append(len(self._frames))
                passed = max(0.0, frame.time - self.video.start)
                self._next = self.video.start + self.step * (math.floor(passed / self.step + 1e-4) + 1)
            self._frames.append(frame)
            self._looks.append(_look(frame))
        if is_last and self._frames and len(self._frames) - 1 not in {*wanted, *self._truth}:
            wanted.append(len(self._frames) - 1)
        self._ask(wanted)
        known = sorted(self._truth)
        self._settle([_Gap(a, b) for a, b in pairwise(known)])
        if not known:
            return
        start = 1 if self.samples else 0  # the first is the last of before
        self.samples += [(self._frames[i].time, self._truth[i]) for i in sorted(self._truth)[start:]]
        last = known[-1]
        self._frames, self._looks = self._frames[last:], self._looks[last:]
        self._truth = {0: self._truth[last]}

    def _settle(self, gaps: list[_Gap]) -> None:
        """Judge frames between those that were judged, until no gap has one that tells more."""
        while gaps:
            chosen: list[tuple[float, _Gap, int]] = []
            for gap in gaps:
                if gap.last - gap.first > 1:
                    if self._truth[gap.first] != self._truth[gap.last]:
                        chosen.append((math.inf, gap, (gap.first + gap.last) // 2))
                    elif gap.is_open:
                        change, number = self._most_different(gap)
                        if change > MIN_CHANGE:
                            chosen.append((change, gap, number))
            chosen = self._affordable(chosen)
            self._ask([number for _, _, number in chosen])
            gaps = []
            for _, gap, number in chosen:
                ends = {self._truth[i] for i in (gap.first, number, gap.last)}
                # What was alike at three places is done with; beside a change, there may be more.
                gaps += [_Gap(gap.first, number, len(ends) > 1), _Gap(number, gap.last, len(ends) > 1)]

    def _affordable(self, chosen: list[tuple[float, _Gap, int]]) -> list[tuple[float, _Gap, int]]:
        """Those for which the number of closer looks suffices, borders and large changes first."""
        if not chosen:
            return []
        passed = self._frames[-1].time - self.video.start
        allowed = SPARE_CLOSER + MAX_CLOSER * passed / max(self.video.duration, 1e-6)
        most = max(0, int(min(allowed, MAX_CLOSER)) - self._closer)
        if len(chosen) > most:
            self.is_complete = False
            chosen = sorted(chosen, key=lambda each: -each[0])[:most]
        self._closer += len(chosen)
        return chosen

    def _most_different(self, gap: _Gap) -> tuple[float, int]:
        """The frame in a gap that differs most from both its ends, and by how much."""
        ends = self._looks[gap.first], self._looks[gap.last]
        changes = [
            min(float(np.abs(self._looks[i] - end).max()) for end in ends)
            for i in range(gap.first + 1, gap.last)
        ]
        most = int(np.argmax(changes))
        return changes[most], gap.first + 1 + most

    def _ask(self, numbers: Sequence[int]) -> None:
        for start in range(0, len(numbers), 32):
            part = numbers[start : start + 32]
            self._truth.update(zip(part, self.judge([self._frames[i] for i in part]), strict=True))


@dataclass(frozen=True)
class _Gap:
    """The frames between two that were judged. If both are alike, it is open to a look at what differs from them."""

    first: int
    last: int
    is_open: bool = True


def _look(frame: Image) -> NDArray[np.float32]:
    """Mean colours of the blocks of a frame, (rows, columns, 3)."""
    scale = BLOCKS / max(frame.width, frame.height)
    size = max(1, round(frame.width * scale)), max(1, round(frame.height * scale))
    return np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), np.float32)


def _spans(samples: Sequence[tuple[float, bool]], end: float) -> tuple[list[Span], int]:
    """The times at which samples are true: from the first that is to the next that is not. What does not last is left
    out, the shortest first; also the number of those."""
    runs: list[tuple[float, bool]] = []  # where each begins
    for time, holds in samples:
        if not runs or runs[-1][1] != holds:
            runs.append((time, holds))
    brief = 0
    while True:
        ends = [*(time for time, _ in runs[1:]), max(end, samples[-1][0])] if runs else []
        lengths = [after - time for (time, _), after in zip(runs, ends, strict=True)]
        if len(runs) < 2 or min(lengths) > MIN_SECONDS + 1e-6:
            return [
                Span(time, after) for (time, holds), after in zip(runs, ends, strict=True) if holds
            ], brief
        brief += 1
        first, shortest = runs[0][0], lengths.index(min(lengths))
        del runs[shortest : shortest + 2 if 0 < shortest < len(runs) - 1 else shortest + 1]
        runs[0] = first, runs[0][1]

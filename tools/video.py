"""Videos: their frames, objects followed over time, and the times at which something is so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from visprog.errors import ToolError
from visprog.registry import caution, tool
from visprog.values import Box, Region, Span, Track
from visprog.values.image import Image
from visprog.values.track import smoothed
from visprog.values.video import Video

from .classify import verify
from .detect import detect
from .tracking.follow import follow
from .tracking.statements import MIN_SECONDS, spans_of_statement

MAX_VIEWS = 8
"""Number of tracks whose key frame is kept as evidence."""
COUNT_STEP, COUNT_SECONDS = 0.2, 1.0
"""Seconds between counts, and for which a number must last at least by half."""
MAX_COUNTS = 3_000
"""Number of counts over time, at most."""
MIN_FRAMES, MAX_FRAMES, FRAMES_PER_SECOND = 4, 16, 2
"""Number of frames of a video that a model is shown: so many per second, within these bounds."""
MAX_LARGER = 1.25
"""Area of a track where it is seen best over its usual area, at most."""


@tool(cache=False)
def video_frames(video: Video, every: float = 1.0) -> list[Image]:
    """The frames of a video, so many seconds apart."""
    return video.frames(every)


@tool(cache=False)
def video_at(video: Video, time: float) -> Image:
    """The frame that is shown at a time in seconds."""
    return video.at(time)


@tool(cache=False)
def video_between(video: Video, start: float, end: float) -> Video:
    """The part of a video from one time to another, in seconds."""
    return video.between(start, end)


@tool(cache=False)
def video_first_half(video: Video) -> Video:
    """The part of a video before its middle."""
    return video.first_half()


@tool(cache=False)
def video_second_half(video: Video) -> Video:
    """The part of a video from its middle on."""
    return video.second_half()


@tool(
    limits="a colour in the phrase is judged frame by frame: track the noun, and look at best_view for its colour",
    phrases={"what": "detect.what"},
)
def track(video: Video, what: str) -> list[Track]:
    """All objects in a video that a noun phrase names, such as "car", each followed over time as one object, in the
    order in which they appear."""
    found = follow(video, lambda frames: detect.batch([{"image": frame, "what": what} for frame in frames]))
    looked = f"{found.frames:,} frames were looked at for '{what}', one every {found.step:.2g} s"
    if found.detected < found.frames:
        looked += (
            f", and searched in {found.detected:,} of them, since the detector is slow here: what is small or fast may "
            "be missed"
        )
    caution(looked)
    views = [_view(video, each) for each in found.tracks[:MAX_VIEWS]]
    return [replace(each, view=view) for each, view in zip(found.tracks, views, strict=False)] + found.tracks[
        MAX_VIEWS:
    ]


@tool(phrases={"what": "detect.what"})
def count_unique(video: Video, what: str) -> int:
    """Number of different objects of a kind that are seen in a video, each counted once, however often it is seen."""
    return len(track(video, what))


@tool(phrases={"what": "detect.what"})
def count_over_time(video: Video, what: str) -> list[tuple[float, int]]:
    """Number of objects of a kind in view at each moment, as (time in seconds, number), without numbers that last less
    than half a second. The largest number in view at once is max(n for _, n in ...)."""
    step = max(COUNT_STEP, video.duration / MAX_COUNTS)
    times = [video.start + i * step for i in range(max(1, int(video.duration / step) + 1))]
    tracks = track(video, what)
    return smoothed([(time, sum(each.seen(time) for each in tracks)) for time in times], COUNT_SECONDS)


@tool(phrases={"statement": "verify.statement"})
def when(video: Video, statement: str) -> list[Span]:
    """The times at which a statement such as "the door is open" is true of what is shown, each from where it becomes
    true to where it ends; for numbers of objects take count_over_time and spans_where.

    What lasts a tenth of a second or less is not seen. How often something happens is the number of its spans:
    len(when(video, "the light is on"))."""

    def judge(frames: Sequence[Image]) -> list[bool]:
        found = verify.batch([{"image": frame, "statement": statement} for frame in frames])
        for judged in found:
            if isinstance(judged, Exception):
                raise judged
        return [bool(judged) for judged in found]

    found = spans_of_statement(video, judge)
    said = (
        f"{found.frames:,} frames were judged, one every {found.step:.2g} s and more where the image changes"
    )
    if found.brief:
        said += f"; what lasted {MIN_SECONDS:g} s or less was left out, {found.brief:,} in all"
    if not found.is_complete:
        said += "; it changes too often to look at each change: ask about a part of it to be sure"
    caution(said)
    return found.spans


def in_frames(video: Video, question: str) -> tuple[list[dict[str, Any]], Callable[[Sequence[str]], str]]:
    """The call with frames in the place of the video: evenly over its time, with the time of each."""
    number = min(MAX_FRAMES, max(MIN_FRAMES, round(FRAMES_PER_SECOND * video.duration)))
    frames = video.sample(number)
    call = {"frames": frames, "times": [frame.time for frame in frames], "question": question}
    return [call], lambda answers: answers[0]


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoVideoVqa",
        "vlm": "visprog.tools.backends.video_questions:VlmVideoVqa",
        "openai": "visprog.tools.backends.video_questions:EndpointVideoVqa",
    },
    default="none",
    spread=in_frames,
    limits="it sees 16 frames, so give it the part that matters; it does not count or time well",
)
def video_vqa(video: Video, question: str) -> str:
    """A short answer, in words, to a question about what happens in a video, or in a part of it:
    video_vqa(video.between(3, 9), "What does the boy do?")."""
    raise NotImplementedError  # a backend answers


@tool
def best_view(video: Video, track: Track) -> Region:
    """A track where it is seen best, as a region of that frame: for its colour, its text, or what else it shows."""
    return _view(video, track)


def _view(video: Video, track: Track) -> Region:
    """A track where it is seen whole, if it ever is, and large, but not much larger than usual: there it may be blurred
    with something else."""
    frame = Box(0, 0, video.width, video.height)
    inner = frame.expand(-2)
    places = [(time, box.clip(frame)) for time, box in track.places if box.clip(frame).area > 0]
    if not places:
        raise ToolError("the track lies outside of the video: take one that was found in it")
    whole = [place for place in places if place[1].inside(inner)] or places
    usual = median(box.area for _, box in whole)
    time, box = max((p for p in whole if p[1].area <= MAX_LARGER * usual), key=lambda place: place[1].area)
    return video.at(time).region(box, track.label, track.score)

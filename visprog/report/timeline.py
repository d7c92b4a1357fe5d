"""A timeline: when objects are in view and how many, as bars of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from . import markup
from .figures import COLORS
from .forms import Data, type_of, walk
from .markup import Markup, tag

MAX_BARS = 40
"""Number of rows of a timeline."""

Bar = tuple[str, list[tuple[float, float, str]]]
"""A row: its name, and from, to and text of each part."""


def timeline(result: Any, arguments: Iterable[Any]) -> Markup:
    """The tracks, spans or counts over time of a result, on the time of the video among the arguments; empty without
    any."""
    bars = _bars(result)
    if not bars:
        return Markup("")
    videos = [value for value in arguments if type_of(value) == "Video"]
    start = float(videos[0]["start"]) if videos else 0.0
    end = float(videos[0]["end"]) if videos else max(to for _, parts in bars for _, to, _ in parts)
    length = max(end - start, 1e-6)
    rows = [
        (name, _row(parts, start, length, number)) for number, (name, parts) in enumerate(bars[:MAX_BARS])
    ]
    if len(bars) > MAX_BARS:
        rows.append(("", tag("span", f"and {len(bars) - MAX_BARS:,} more", style=markup.NOTE)))
    scale = tag("div", f"{start:.1f} s to {end:.1f} s", style=markup.NOTE)
    return tag("div", markup.table(rows), scale, style=markup.PLAIN)


def _row(parts: Sequence[tuple[float, float, str]], start: float, length: float, number: int) -> Markup:
    pieces = []
    for first, last, text in parts:
        color = COLORS[(int(float(text)) if text else number) % len(COLORS)]
        left = 100 * min(max((first - start) / length, 0), 1)
        width = max(100 * min(max((last - start) / length, 0), 1) - left, 0.4)
        style = f"position:absolute;left:{left:.2f}%;width:{width:.2f}%;height:14px;overflow:hidden;font-size:11px;"
        title = f"{first:.1f} s to {last:.1f} s"
        pieces.append(tag("div", text, title=title, style=markup.css(style, markup.PAPER, color)))
    style = "position:relative;width:520px;max-width:60vw;height:14px;margin:2px 0;"
    return tag("div", *pieces, style=markup.css(style, background=markup.TINT))


def _bars(result: Any) -> list[Bar]:
    counts = _counts(result)
    if counts:
        return [("number", counts)]
    bars: list[Bar] = []
    spans: list[tuple[float, float, str]] = []
    for value in walk([result]):
        if type_of(value) == "Track":
            bars.append((str(value["label"]), [(float(a), float(b), "") for a, b in value["spans"]]))
        elif type_of(value) == "Span":
            spans.append((float(value["start"]), float(value["end"]), ""))
    return [*bars, ("when", spans)] if spans else bars


def _counts(result: Any) -> list[tuple[float, float, str]]:
    """Parts of a list of (time, number) in which the number stays and is not 0, with it as text."""
    if not isinstance(result, list) or len(result) < 2 or not all(map(_is_sample, result)):
        return []
    samples = [(float(each["items"][0]), each["items"][1]) for each in result]
    parts: list[tuple[float, float, str]] = []
    for (time, number), (after, _) in pairwise(samples):
        if parts and parts[-1][2] == str(number):
            parts[-1] = (parts[-1][0], after, str(number))
        else:
            parts.append((time, after, str(number)))
    return [part for part in parts if float(part[2])]


def _is_sample(value: Data) -> bool:
    return (
        type_of(value) == "tuple"
        and len(value["items"]) == 2
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value["items"])
    )

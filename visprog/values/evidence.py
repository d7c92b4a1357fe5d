"""How the JSON forms of values look on their images, and how they read.

A form may come from anywhere: its numbers need not be finite, and its image need not hold it.
"""

from __future__ import annotations

import math
from typing import Any

from ..report.figures import DrawnValue
from ..report.forms import Data
from ..report.label_layout import Rectangle


def _rectangle(data: Data) -> Rectangle:
    left, top, right, bottom = map(float, data["box"])
    return left, top, right, bottom


def draw_frame(data: Data) -> DrawnValue:
    box = _rectangle(data)
    return DrawnValue(box, frames=(box,))


def draw_mask(data: Data) -> DrawnValue:
    box = _rectangle(data)
    return DrawnValue(box, frames=(box,), mask=(str(data.get("png") or ""), box))


def draw_region(data: Data) -> DrawnValue:
    box, mask = _rectangle(data), data["mask"]
    pixels = (str(mask.get("png") or ""), _rectangle(mask)) if mask else None
    label = f"{data['label']} {float(data['score']):.2f}".strip()
    return DrawnValue(box, frames=(box,), mask=pixels, label=label)


def draw_point(data: Data) -> DrawnValue:
    x, y = float(data["x"]), float(data["y"])
    return DrawnValue((x, y, x, y), dots=((x, y),))


def draw_circle(data: Data) -> DrawnValue:
    (x, y), r = map(float, data["center"]), float(data["radius"])
    angles = [2 * math.pi * i / 90 for i in range(91)]
    outline = [(x + r * math.cos(a), y + r * math.sin(a)) for a in angles]
    return DrawnValue((x - r, y - r, x + r, y + r), lines=(outline,), **_named(data))


def draw_line(data: Data) -> DrawnValue:
    points = [(float(x), float(y)) for x, y in data["points"]]
    xs, ys = zip(*points, strict=True)
    return DrawnValue((min(xs), min(ys), max(xs), max(ys)), lines=(points,), **_named(data))


def draw_polygon(data: Data) -> DrawnValue:
    return draw_line({**data, "points": [*data["points"], data["points"][0]]})


def draw_grid(data: Data) -> DrawnValue:
    left, top, right, bottom = box = _rectangle(data)
    rows, columns = min(int(data["rows"]), 100), min(int(data["columns"]), 100)
    across = [top + (bottom - top) * i / rows for i in range(1, rows)]
    down = [left + (right - left) * i / columns for i in range(1, columns)]
    lines = [[(left, y), (right, y)] for y in across] + [[(x, top), (x, bottom)] for x in down]
    return DrawnValue(box, frames=(box,), lines=lines)


def _named(data: Data) -> dict[str, Any]:
    """The label of a shape of a known colour."""
    color = data.get("color")
    return {"label": f"{color} {data['type'].lower()}", "colored": True} if color else {}


def _color(data: Data) -> str:
    return f"{data['color']} " if data["color"] else ""


def place(data: Data) -> str:
    return "(" + ", ".join(f"{float(v):.0f}" for v in data["box"]) + ")"


def image_words(data: Data) -> str:
    what = "image" if data["digest"] == data["root"] else "crop"
    return f"{what} {data['width']} × {data['height']}"


def region_words(data: Data) -> str:
    mask = " with mask" if data["mask"] else ""
    name = repr(data["label"]) if data["label"] else "region"
    return f"{name} {float(data['score']):.2f} at {place(data)}{mask}"


def circle_words(data: Data) -> str:
    x, y = map(float, data["center"])
    return f"{_color(data)}circle at ({x:.0f}, {y:.0f}), radius {float(data['radius']):.1f}"


def line_words(data: Data) -> str:
    corners = " → ".join(f"({float(x):.0f}, {float(y):.0f})" for x, y in data["points"])
    return f"{_color(data)}{data['type'].lower()} {corners}"


def _seconds(value: Any) -> str:
    return f"{float(value):.1f} s"


def span_words(data: Data) -> str:
    return f"{_seconds(data['start'])} to {_seconds(data['end'])}"


def track_words(data: Data) -> str:
    times = ", ".join(f"{float(start):.1f}–{float(end):.1f} s" for start, end in data["spans"])
    return f"{data['label']} at {times}"


def video_words(data: Data) -> str:
    return f"video {data['name']}, {_seconds(data['start'])} to {_seconds(data['end'])}"

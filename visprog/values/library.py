"""What programs find of the values: which attributes are open to them. Standard library only: the sandbox
worker imports this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from visprog.sandbox import Library, ValueType

from .geometry import Box, Circle, Grid, Line, Point, Polygon
from .helpers import FUNCTIONS, NothingFound
from .region import Region
from .track import VIDEO_FUNCTIONS, Span, Track

_LOCATED = (
    "box", "left", "top", "right", "bottom", "width", "height", "area", "center",
    "left_of", "right_of", "above", "below", "inside", "contains", "overlaps", "iou", "touches", "distance",
)  # fmt: skip

ATTRIBUTES: Mapping[Any, tuple[str, ...]] = {
    Point: ("x", "y", "box", "distance"),
    Box: (*_LOCATED, "intersection", "union", "clip", "expand", "shift"),
    Circle: (*_LOCATED, "radius", "color", "image"),
    Line: (*_LOCATED, "points", "color", "image", "length", "crossings"),
    Polygon: (*_LOCATED, "points", "color", "image", "sides"),
    Grid: (*_LOCATED, "rows", "columns", "cells"),
    Region: (*_LOCATED, "label", "score", "image", "mask"),
    Span: ("start", "end", "duration", "contains", "overlaps"),
    Track: (
        *("label", "score", "first_seen", "last_seen", "duration", "spans"),
        *("start", "end", "direction", "seen", "at"),
    ),
}
"""Class → the attributes that programs may read and call. Those of values outside the sandbox are in `codec`."""

LIBRARY = Library(
    types=tuple(
        ValueType(cls, tuple(f.name for f in fields(cls)), names) for cls, names in ATTRIBUTES.items()
    ),
    functions={function.__name__: function for function in (*FUNCTIONS, *VIDEO_FUNCTIONS)},
    errors=(NothingFound,),
)

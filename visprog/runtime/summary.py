"""Values in a few words, for events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..report.forms import one_line
from ..values.codec import show
from ..values.image import Image

MAX_SUMMARY = 80
"""Bound of the characters of a summary."""


def summary(value: Any) -> str:
    """A value in a few words on one line; a container by its size, so that it costs little."""
    if isinstance(value, Image):
        return one_line(f"{value.name or 'image'} ({value.width} x {value.height})", MAX_SUMMARY)
    if isinstance(value, str):
        return one_line(repr(value[: 2 * MAX_SUMMARY]), MAX_SUMMARY)
    if isinstance(value, list | tuple | set | frozenset | Mapping) and len(value) > 3:
        return f"{len(value)} values"
    return one_line(show(value), MAX_SUMMARY)

"""Values in words, for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .geometry import Located
from .image import Image
from .json_values import one_line
from .region import Region


def show(value: Any) -> str:
    """A value in words, as the command line prints it: yes and no, rounded numbers, boxes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if abs(value) < 1e-3 else f"{round(value, 3):g}"
    if isinstance(value, str | list | tuple | dict) and not value:
        return "nothing"
    if isinstance(value, list | tuple):
        return ", ".join(show(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {show(v)}" for k, v in value.items())
    if isinstance(value, Image):
        return f"a picture of {value.width} x {value.height} pixels"
    if isinstance(value, Region):
        box = value.box
        place = f"at ({box.left:.0f}, {box.top:.0f}) to ({box.right:.0f}, {box.bottom:.0f})"
        return f"{value.label or 'something'} {place}"
    if isinstance(value, Located):
        place = f"({value.left:.0f}, {value.top:.0f}) to ({value.right:.0f}, {value.bottom:.0f})"
        return f"{type(value).__name__.lower()} at {place}"
    return str(value)


def summary(value: Any, limit: int = 80) -> str:
    """A value in at most `limit` characters on one line; a container by its size, so that it costs little."""
    if isinstance(value, Image):
        return one_line(f"{value.name or 'image'} ({value.width} x {value.height})", limit)
    if isinstance(value, str):
        return one_line(repr(value[: 2 * limit]), limit)
    if isinstance(value, list | tuple | set | frozenset | Mapping) and len(value) > 3:
        return f"{len(value)} values"
    return one_line(show(value), limit)

"""Limits of the arguments of a tool: what a call costs is bounded before it is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ToolError
from ..files.limits import SizeLimits
from ..values import Line, Polygon, Region
from ..values.image import Image


def check_arguments(tool: str, arguments: Mapping[str, Any], limits: SizeLimits) -> None:
    """Compare the arguments of a call with the limits of size.

    Args:
        tool: Name of the tool, for messages.
        arguments: Values by name, of the types that the tool declares.

    Raises:
        ToolError: A list, a text, an image or all of them together are too large; the message names the parameter, the
            limit and its setting.
    """
    left = limits.values
    for name, argument in arguments.items():
        remaining = [argument]
        while remaining:
            value = remaining.pop()
            left -= 1
            size, unit, setting = _size(value)
            most = getattr(limits, setting) if setting else size
            if size > most:
                raise ToolError(
                    f"{tool}: '{name}' holds {unit.format(f'{size:,}')}, and a tool takes {most:,} at most: give it a "
                    f"part, or raise '{setting}' under [limits]"
                )
            if isinstance(value, Mapping):
                remaining += [*value, *value.values()]
            elif isinstance(value, list | tuple):
                remaining += value
            elif isinstance(value, Region):
                remaining.append(value.label)
            elif isinstance(value, Polygon | Line):
                left -= len(value.points)
            if left < 0:
                raise ToolError(
                    f"{tool}: its arguments hold more than {limits.values:,} values together: give it a part of "
                    "them at a time, or raise 'values' under [limits]"
                )


def _size(value: Any) -> tuple[int, str, str]:
    """Size of a value, a phrase for it, and the name of its limit; empty if it has none."""
    if isinstance(value, str):
        return len(value), "a text of {} characters", "text_letters"
    if isinstance(value, Image):
        return max(value.size), "an image with a side of {} pixels", "image_side"
    if isinstance(value, list | tuple | Mapping):
        return len(value), "a list of {} values", "list_items"
    return 0, "", ""

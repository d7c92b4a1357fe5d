"""Where results lie: everything that a tool finds is expressed in the frame of the root image."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..errors import ToolError
from ..types import SHAPES
from ..values import Box, Grid, Point, Region
from ..values.image import Image


def placed(value: Any, image: Image, *, own_pixels: bool, tool: str) -> Any:
    """A result whose regions and shapes know their image, with coordinates in the frame of its root.

    Args:
        value: as the tool returned it.
        image: that the tool was given.
        own_pixels: the tool was given bare pixels, so that it can only have meant coordinates in these.
        tool: its name, for messages.

    Raises:
        ToolError: found in a crop, and nobody can tell in which frame.
    """
    if isinstance(value, list | tuple):
        return type(value)(placed(v, image, own_pixels=own_pixels, tool=tool) for v in value)
    if isinstance(value, dict):
        return {k: placed(v, image, own_pixels=own_pixels, tool=tool) for k, v in value.items()}
    if isinstance(value, (Region, *SHAPES)):
        return _linked(value, image, own_pixels, tool)
    if own_pixels and isinstance(value, Box | Point | Grid):
        return image.to_root(value)
    return value


def _linked(value: Any, image: Image, own_pixels: bool, tool: str) -> Any:
    if value.image is None:
        if image.parent is not None and not own_pixels:
            raise ToolError(
                f"{tool} found something in a crop and did not say in which image it lies: make it with "
                "image.region((left, top, right, bottom), label, score), which takes the pixels of that image"
            )
        value = image.to_root(value)
        return replace(value, image=image.root)
    if value.image.parent is not None:  # of a crop: its coordinates are those of that crop
        crop = value.image
        return replace(crop.to_root(value), image=crop.root)
    if image.parent is not None and value.image is image.root and value.distance(image) > 0:
        raise ToolError(
            f"{tool} found something outside the crop that it was given: if its coordinates are the crop's own, make "
            "it with image.region((left, top, right, bottom), label, score)"
        )
    return value

"""Crops of an image: around a region, beside it, or a half. Regions found in a crop lie in the frame of the root."""

from __future__ import annotations

from typing import Literal

from visprog.errors import ToolError
from visprog.registry import tool
from visprog.values import Box, Circle, Grid, Line, Mask, Polygon, Region
from visprog.values.image import Image

Place = Region | Box | Mask | Circle | Polygon | Line | Grid


@tool
def crop(image: Image, region: Place, margin: float = 0.0) -> Image:
    """The part of the image under a region, with a margin around it as a share of the region's size (0.1: a
    tenth on each side).

    Raises:
        ToolError: the region lies outside the image.
    """
    box = region.box
    dx, dy = max(margin, -0.5) * box.width, max(margin, -0.5) * box.height
    return _cut(image, Box(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy), "the region")


@tool
def crop_left_of(image: Image, region: Place) -> Image:
    """The part of the image to the left of a region, full height.

    Raises:
        ToolError: nothing is there: the region reaches the edge.
    """
    whole = image.box
    return _cut(image, _box(whole.left, whole.top, region.left, whole.bottom), "the part left of the region")


@tool
def crop_right_of(image: Image, region: Place) -> Image:
    """The part of the image to the right of a region, full height.

    Raises:
        ToolError: nothing is there: the region reaches the edge.
    """
    whole = image.box
    return _cut(
        image, _box(region.right, whole.top, whole.right, whole.bottom), "the part right of the region"
    )


@tool
def crop_above(image: Image, region: Place) -> Image:
    """The part of the image above a region, full width.

    Raises:
        ToolError: nothing is there: the region reaches the edge.
    """
    whole = image.box
    return _cut(image, _box(whole.left, whole.top, whole.right, region.top), "the part above the region")


@tool
def crop_below(image: Image, region: Place) -> Image:
    """The part of the image below a region, full width.

    Raises:
        ToolError: nothing is there: the region reaches the edge.
    """
    whole = image.box
    return _cut(
        image, _box(whole.left, region.bottom, whole.right, whole.bottom), "the part below the region"
    )


@tool
def crop_half(image: Image, side: Literal["left", "right", "top", "bottom"]) -> Image:
    """One half of the image.

    Raises:
        ToolError: the image is one pixel wide or high and has no halves.
    """
    box = image.box
    middle_x, middle_y = box.left + image.width // 2, box.top + image.height // 2
    halves = {
        "left": Box(box.left, box.top, middle_x, box.bottom),
        "right": Box(middle_x, box.top, box.right, box.bottom),
        "top": Box(box.left, box.top, box.right, middle_y),
        "bottom": Box(box.left, middle_y, box.right, box.bottom),
    }
    return _cut(image, halves[side], f"the {side} half")


def _box(left: float, top: float, right: float, bottom: float) -> Box:
    return Box(left, top, max(left, right), max(top, bottom))


def _cut(image: Image, box: Box, what: str) -> Image:
    # Rounding outward, as Image.crop does, must not bring in what lies beyond the image.
    if box.intersection(image.box) is None:
        raise ToolError(f"{what} holds no pixels of the image: there is nothing to crop")
    return image.crop(box)

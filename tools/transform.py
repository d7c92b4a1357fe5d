"""Edits of an image as a whole: its size, orientation and light, and several images in one."""

from __future__ import annotations

import math

import numpy as np

from visprog.errors import ToolError
from visprog.registry import tool
from visprog.values.image import MAX_PIXELS, Image

MAX_SIDE = 65_500
"""Longest side, in pixels, of an image that is made: the longest that JPEG can hold."""

GAP = 0.01
"""Space between the images of a collage, as a share of the longer side of a cell."""


@tool
def resize(image: Image, width: float | None = None, height: float | None = None) -> Image:
    """A copy of the image with another width or height in pixels; with only one of them, in its proportions.

    Raises:
        ToolError: neither is given, or the size is below 1 pixel or too large.
    """
    import PIL.Image

    if width is None and height is None:
        raise ToolError("resize needs a width or a height, in pixels")
    given = [side for side in (width, height) if side is not None]
    if not all(math.isfinite(side) and side >= 1 for side in given):
        raise ToolError(
            f"resize needs a width and height of at least 1 pixel, not {_sides(width, height)}: they are no factors, "
            "write resize(image, image.width * factor)"
        )
    scale = (width / image.width) if width is not None else (height or 1.0) / image.height
    size = _checked(
        "resize",
        image.width * scale if width is None else width,
        image.height * scale if height is None else height,
    )
    return Image.open(image.to_pil().resize(size, PIL.Image.Resampling.LANCZOS), name=image.name)


@tool
def rotate(image: Image, clockwise: float) -> Image:
    """A copy of the image turned by so many degrees (90: to the right; -90: to the left), larger where needed to hold
    all of it; what is new in the corners is transparent. Multiples of 90 change no pixel.

    Raises:
        ToolError: the angle is no finite number, or the image would be too large.
    """
    import PIL.Image

    if not math.isfinite(clockwise):
        raise ToolError(f"rotate needs an angle in degrees, not {clockwise}")
    angle = clockwise % 360
    if angle % 90 == 0:
        turns = -int(angle // 90)
        alpha = None if image.alpha is None else np.rot90(image.alpha, turns)
        return Image(np.rot90(image.pixels, turns), alpha, image.name)
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    _checked("rotate", image.width * cos + image.height * sin, image.width * sin + image.height * cos)
    whole = image.to_pil().convert("RGBA")
    return Image.open(whole.rotate(-angle, PIL.Image.Resampling.BICUBIC, expand=True), name=image.name)


@tool
def brighten(image: Image, factor: float) -> Image:
    """A copy of the image with its brightness times a factor: 1.5 is lighter by half, 0.5 half as bright.

    Raises:
        ToolError: the factor is negative or no finite number.
    """
    if not (math.isfinite(factor) and factor >= 0):
        raise ToolError(f"brighten needs a factor of at least 0, such as 1.5, not {factor}")
    levels = (np.arange(256) * min(factor, 255.0)).round().clip(0, 255).astype(np.uint8)
    if image.alpha is None:
        return Image(levels[image.pixels], None, image.name)
    rgba = np.array(image.to_pil())
    rgba[..., :3] = levels[rgba[..., :3]]
    return Image.open(rgba, name=image.name)


@tool
def grayscale(image: Image) -> Image:
    """A copy of the image in shades of grey, without colours."""
    import cv2

    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    return Image(np.repeat(grey[..., None], 3, axis=2), image.alpha, image.name)


@tool
def collage(images: list[Image], columns: int | None = None) -> Image:
    """One image of several, side by side in rows on white, each as large as its cell allows.

    Args:
        columns: number of images in a row; by default as many as rows.

    Raises:
        ToolError: there is no image, or less than one column.
    """
    import PIL.Image

    if not images:
        raise ToolError("collage got no image")
    if columns is not None and columns < 1:
        raise ToolError(f"collage needs at least 1 column, not {columns}")
    across = min(columns or math.ceil(math.sqrt(len(images))), len(images))
    down = math.ceil(len(images) / across)
    # The largest image keeps its size, unless all together would be too large.
    cell_width, cell_height = max(i.width for i in images), max(i.height for i in images)
    gap = max(2.0, GAP * max(cell_width, cell_height))
    width, height = across * (cell_width + gap) + gap, down * (cell_height + gap) + gap
    scale = min(1.0, math.sqrt(MAX_PIXELS / (width * height)), MAX_SIDE / width, MAX_SIDE / height)
    space = math.floor(scale * gap)
    inner = max(1, int(scale * (cell_width + gap)) - space), max(1, int(scale * (cell_height + gap)) - space)
    step = inner[0] + space, inner[1] + space
    canvas = PIL.Image.new("RGB", (across * step[0] + space, down * step[1] + space), "white")
    for number, image in enumerate(images):
        fit = min(inner[0] / image.width, inner[1] / image.height)
        size = max(1, round(image.width * fit)), max(1, round(image.height * fit))
        part = image.to_pil().resize(size, PIL.Image.Resampling.LANCZOS)
        row, column = divmod(number, across)
        place = (
            space + column * step[0] + (inner[0] - size[0]) // 2,
            space + row * step[1] + (inner[1] - size[1]) // 2,
        )
        canvas.paste(part, place, part if part.mode == "RGBA" else None)
    return Image.open(canvas, name="collage")


def _checked(tool: str, width: float, height: float) -> tuple[int, int]:
    """A size in whole pixels.

    Raises:
        ToolError: an image of that size is too large.
    """
    size = max(1, round(min(width, 1e9))), max(1, round(min(height, 1e9)))
    if max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS:
        raise ToolError(
            f"{tool}: an image of {size[0]:,} × {size[1]:,} pixels is too large: at most {MAX_SIDE:,} a side and "
            f"{MAX_PIXELS // 1_000_000} million together are made"
        )
    return size


def _sides(width: float | None, height: float | None) -> str:
    return " × ".join(f"{side:g}" for side in (width, height) if side is not None)

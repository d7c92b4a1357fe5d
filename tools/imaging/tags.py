"""Boxes and labels drawn on an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Located
from visprog.values.image import Image

if TYPE_CHECKING:
    import PIL.ImageDraw
    import PIL.ImageFont

COLORS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e67300", "#008080", "#c2185b", "#5d4037")
"""Colours of boxes and plates, one per label."""

MAX_LETTERS = 60
"""Number of letters of a label that are drawn: more would not fit on a plate."""

MAX_ASPECT = 4
"""Longest side of an image, in shortest sides, by which lines and letters grow: they must fit into a thin one."""


def draw_tags(image: Image, regions: Sequence[Located], texts: Sequence[str]) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of an image with a box around each region, and its text on a plate."""
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    canvas = PIL.Image.fromarray(image.pixels)
    draw = PIL.ImageDraw.Draw(canvas)
    side = min(max(image.size), MAX_ASPECT * min(image.size))
    stroke = max(1, round(side / 350))
    font = PIL.ImageFont.load_default(size=max(10, round(side / 42)))
    colors = {text: COLORS[i % len(COLORS)] for i, text in enumerate(dict.fromkeys(texts))}
    places: NDArray[np.float64] = np.zeros((len(regions), 4))
    for region, text in zip(regions, texts, strict=True):
        box = image.to_local(region).clip(Box(0, 0, image.width - 1, image.height - 1))
        draw.rectangle((box.left, box.top, box.right, box.bottom), outline=colors[text], width=stroke)
    for i, (region, text) in enumerate(zip(regions, texts, strict=True)):
        if text:
            short = text if len(text) <= MAX_LETTERS else text[: MAX_LETTERS - 1] + "…"
            box = image.to_local(region)
            places[i] = _draw_plate(draw, box, short, font, colors[text], image.size, places[:i])
    return np.array(canvas)


def _draw_plate(
    draw: PIL.ImageDraw.ImageDraw,
    box: Box,
    text: str,
    font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont,
    color: str,
    size: tuple[int, int],
    taken: NDArray[np.float64],
) -> tuple[float, float, float, float]:
    """Draw a label above the box, inside it, or below it: at the first place that is free.

    Args:
        size: Width and height of the image.
        taken: Places (N, 4) of the labels that are there: left, top, right, bottom.

    Returns:
        Its place.
    """
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2.0, 0.2 * (bottom - top))
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(box.left, 0.0), max(0.0, size[0] - width))
    places = []
    for y in (box.top - height, box.top, box.bottom - height, box.bottom):
        y = min(max(y, 0.0), max(0.0, size[1] - height))
        places.append((x, y, x + width, y + height))
    place = next((p for p in places if not _overlaps(p, taken)), places[0])
    draw.rectangle(place, fill=color)
    draw.text((place[0] + pad - left, place[1] + pad - top), text, "#ffffff", font=font)
    return place


def _overlaps(place: tuple[float, float, float, float], taken: NDArray[np.float64]) -> bool:
    """Whether a place (left, top, right, bottom) shares an area with one of others (N, 4)."""
    left, top, right, bottom = place
    beside = (taken[:, 0] >= right) | (taken[:, 2] <= left) | (taken[:, 1] >= bottom) | (taken[:, 3] <= top)
    return not bool(beside.all())

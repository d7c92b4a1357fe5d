"""Ways to hide a part of an image: blurred, pixelated, or under an emoji."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .blurring import blur
from .emoji import draw_emoji

if TYPE_CHECKING:
    import PIL.Image

Pixels = NDArray[np.uint8]

CELLS = 6
"""Number of cells on the longer side to which a hidden part is reduced: faces and writing cannot be restored."""

EMOJI_SIDES = (32, 64, 128, 256, 512)
"""Sides, in pixels, at which emoji are drawn: at the next one above the side that is wanted, or at the largest."""


def hide_under_emoji(pixels: Pixels, rows: slice, columns: slice, emoji: str) -> None:
    """Draw an emoji over some rows and columns of pixels (H, W, 3), and a little beyond."""
    import PIL.Image

    width, height = columns.stop - columns.start, rows.stop - rows.start
    side = round(max(height, width) * (1.5 if emoji in ("heart", "star") else 1.2))
    left, top = (columns.start + columns.stop - side) // 2, (rows.start + rows.stop - side) // 2
    drawn = _drawn(emoji, next((s for s in EMOJI_SIDES if s >= side), EMOJI_SIDES[-1]))
    visible, (x, y) = _visible(drawn, left, top, side, (pixels.shape[1], pixels.shape[0]))
    window = pixels[y : y + visible.height, x : x + visible.width]
    canvas = PIL.Image.fromarray(np.ascontiguousarray(window))
    canvas.paste(visible, (0, 0), visible)
    window[:] = np.asarray(canvas)


@lru_cache(maxsize=16)
def _drawn(emoji: str, side: int) -> PIL.Image.Image:
    return draw_emoji(emoji, side)


def _visible(
    square: PIL.Image.Image, left: int, top: int, side: int, frame: tuple[int, int]
) -> tuple[PIL.Image.Image, tuple[int, int]]:
    """The part of a square image, brought to a side, that lies in a frame (width, height), and its corner."""
    corner = max(left, 0), max(top, 0)
    size = min(left + side, frame[0]) - corner[0], min(top + side, frame[1]) - corner[1]
    scale = square.width / side
    x, y = (corner[0] - left) * scale, (corner[1] - top) * scale
    return square.resize(size, box=(x, y, x + size[0] * scale, y + size[1] * scale)), corner


def blurred(part: Pixels) -> Pixels:
    """Blurred from a few cells, so that no sharpening brings back what was there."""
    import cv2

    height, width = part.shape[:2]
    few = _reduced(part, CELLS)
    smooth = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)
    return blur(smooth, max(1.0, max(width, height) / 16))


def pixelated(part: Pixels) -> Pixels:
    """Reduced to a few cells."""
    import cv2

    height, width = part.shape[:2]
    blocks: Pixels = cv2.resize(_reduced(part, CELLS), (width, height), interpolation=cv2.INTER_NEAREST)
    return blocks


def _reduced(part: Pixels, cells: int) -> Pixels:
    """The part in square cells, with a number of cells on its longer side."""
    import cv2

    height, width = part.shape[:2]
    cell = max(height, width) / cells
    size = max(1, round(width / cell)), max(1, round(height / cell))
    reduced: Pixels = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return reduced

"""From objects to pixels: coverage of outlines, textures, masks. Everything here takes the size in pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from .objects import SceneObject
from .shapes import outline

Canvas = NDArray[np.float32]
FINE = 4
"""How many times larger outlines are drawn, to be averaged."""

SHIFT = 4
"""Fractional bits of the coordinates that OpenCV draws at."""


class Patch(NamedTuple):
    """The part of the image that an object lies in: its corner, and coverage (h, w) uint8, 255 inside."""

    left: int
    top: int
    cover: NDArray[np.uint8]

    @property
    def place(self) -> tuple[slice, slice]:
        height, width = self.cover.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def patch(obj: SceneObject, size: int) -> Patch:
    """The coverage of an object at `size` pixels, antialiased by drawing it larger and averaging."""
    left, top, right, bottom = obj.extent
    x0, y0 = max(math.floor(left * size), 0), max(math.floor(top * size), 0)
    x1, y1 = min(math.ceil(right * size), size), min(math.ceil(bottom * size), size)
    scale = FINE << SHIFT
    corner = np.array([obj.x * size - x0, obj.y * size - y0], np.float32) * scale - (1 << SHIFT) / 2
    contours = []
    for contour, grow in zip(outline(obj.shape, obj.angle).contours, (-1.0, 1.0), strict=False):
        # OpenCV also fills the pixels on the edge: the outline is drawn a little smaller, a hole larger.
        contours.append(
            np.rint(contour * (obj.radius * size * scale + grow * (1 << SHIFT)) + corner).astype(np.int32)
        )
    large = np.zeros(((y1 - y0) * FINE, (x1 - x0) * FINE), np.uint8)
    cv2.fillPoly(large, contours, (255,), cv2.LINE_8, SHIFT)
    small = cv2.resize(large, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return Patch(x0, y0, np.asarray(small, np.uint8))


def visible_masks(patches: Sequence[Patch], size: int) -> NDArray[np.bool_]:
    """Masks (n, size, size) of what later objects leave visible of each."""
    masks = np.zeros((len(patches), size, size), bool)
    for k, each in enumerate(patches):
        solid = each.cover >= 128
        rows, columns = each.place
        masks[k, rows, columns] = solid
        if k:
            masks[:k, rows, columns] &= ~solid
    return masks


def boxes_of(masks: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Tight boxes (n, 4) left, top, right, bottom of masks (n, H, W); zeros where a mask is empty."""
    height, width = masks.shape[1:]
    columns: NDArray[np.bool_] = np.any(masks, axis=1)
    rows: NDArray[np.bool_] = np.any(masks, axis=2)
    left, right = columns.argmax(1), width - np.flip(columns, 1).argmax(1)
    top, bottom = rows.argmax(1), height - np.flip(rows, 1).argmax(1)
    boxes = np.stack([left, top, right, bottom], 1)
    return np.where(np.any(columns, axis=1, keepdims=True), boxes, 0).astype(np.float32)


def visible_shares(objects: Sequence[SceneObject], size: int = 64) -> list[float]:
    """The share of each object that later ones leave visible."""
    patches = [patch(obj, size) for obj in objects]
    visible = visible_masks(patches, size).sum((1, 2))
    return [float(v / max((p.cover >= 128).sum(), 1)) for v, p in zip(visible, patches, strict=True)]


def paint(
    canvas: Canvas, obj: SceneObject, where: Patch, color: NDArray[np.float32], tone: NDArray[np.float32]
) -> None:
    """Draw an object on a canvas (H, W, 3), in place.

    Args:
        color: RGB (3,) of the object.
        tone: RGB (3,) of its texture.
    """
    part = canvas[where.place]
    alpha = where.cover.astype(np.float32)[..., None] * np.float32(1 / 255)
    filled = color if obj.texture == "solid" else _textured(obj, where, canvas.shape[0], color, tone)
    part += alpha * (filled - part)


def _textured(
    obj: SceneObject, where: Patch, size: int, color: NDArray[np.float32], tone: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The colours (h, w, 3) of an object with a texture; the pattern turns with the object."""
    height, width = where.cover.shape
    turn = math.radians(obj.angle + 360 * obj.phase)
    x = (np.arange(width, dtype=np.float32) + (where.left + 0.5 - obj.x * size)) / size
    y = (np.arange(height, dtype=np.float32) + (where.top + 0.5 - obj.y * size)) / size
    period = 0.095 if obj.size == "medium" else 0.125
    u = (x[None] * math.cos(turn) + y[:, None] * math.sin(turn)) * (2 * math.pi / period) + 40 * obj.phase
    v = (y[:, None] * math.cos(turn) - x[None] * math.sin(turn)) * (2 * math.pi / period)
    if obj.texture == "striped":
        wave = np.cos(u * 1.25) - 0.4
    elif obj.texture == "dotted":
        wave = np.cos(u) + np.cos(v) - 0.8
    else:
        wave = np.cos(u / 1.2) * np.cos(v / 1.2) * 1.5 - 0.2
    sharp = 0.12 * period * size
    share = np.clip(0.5 + sharp * wave, 0, 1, dtype=np.float32)[..., None]
    return np.asarray(color + share * (tone - color), np.float32)

"""The same scene as other cameras and pens would show it."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from .draw import Canvas
from .objects import SceneObject

Pixels = NDArray[np.uint8]


def _dark(pixels: Pixels) -> Pixels:
    """Night: a third of the light, and a blue cast that tells it from dark objects."""
    table = np.linspace(0, 0.35 * 255, 256)[:, None] + (2, 6, 26)
    return np.asarray(cv2.LUT(pixels, table.round().astype(np.uint8)[None]), np.uint8)


def _blurred(pixels: Pixels) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), 0.012 * len(pixels)), np.uint8)


def _inverted(pixels: Pixels) -> Pixels:
    return 255 - pixels


def _sketch(pixels: Pixels) -> Pixels:
    """Dark edges on white: the strongest gradient of the three channels."""
    smooth = cv2.GaussianBlur(pixels, (0, 0), 0.008 * len(pixels)).astype(np.float32)
    across, down = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    edges = np.sqrt(across**2 + down**2).max(2)
    grey = np.clip(255 - 0.9 * np.maximum(edges - 40, 0), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, 2)


def _same(pixels: Pixels) -> Pixels:
    return pixels


EFFECTS: dict[str, Callable[[Pixels], Pixels]] = {
    "normal": _same, "dark": _dark, "blurred": _blurred, "inverted": _inverted, "sketch": _sketch,
    "infrared": _same,
}  # fmt: skip

STYLES = tuple(EFFECTS)

COLORLESS = frozenset(("inverted", "sketch", "infrared"))
"""Styles that do not show which colour an object has: nothing said of such a scene names one."""


def warm(obj: SceneObject, textured: bool) -> NDArray[np.float32]:
    """RGB (3,) of an object in infrared: its warmth, bright before the cool background."""
    level = 175 + 75 * (obj.phase * 7 % 1) - (70 if textured else 0)
    return np.full(3, level, np.float32)


def cool(canvas: Canvas) -> Canvas:
    """A background (H, W, 3) in infrared: dark grey."""
    grey = cv2.cvtColor(np.clip(canvas, 0, 255), cv2.COLOR_RGB2GRAY)
    return np.repeat((15 + 0.3 * grey)[..., None], 3, 2)

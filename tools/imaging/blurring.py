"""Gaussian blur whose cost does not grow with its width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_SIGMA = 8.0
"""Width of a blur, in pixels, up to which it is made at full size. A wider one is made on a smaller copy."""

SMALL_SIGMA = 4.0
"""Width of a blur, in pixels, on the smaller copy."""

MIN_WEIGHT = 0.02
"""Share of a pixel's surroundings that must be left for its colour to come from them alone."""


def blur(pixels: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Pixels blurred: a wide blur leaves nothing that a smaller copy would lack.

    Args:
        pixels: (H, W) or (H, W, C), uint8 or float32.
        sigma: Standard deviation of the Gaussian, in pixels.
    """
    return _sized(_blurred(pixels, sigma), pixels)


def blur_without(pixels: NDArray[np.uint8], left_out: NDArray[np.bool_], sigma: float) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) blurred without those (H, W) that are left out, whose colours would shine around them.

    Where next to nothing else is near, they count all the same.
    """
    weight = (~left_out).astype(np.uint8)
    total = _blurred(255 * weight, sigma)[..., None].astype(np.float32) / 255
    spread = _blurred(pixels * weight[..., None], sigma).astype(np.float32)
    far = _blurred(pixels, sigma)
    trust = np.clip(total / MIN_WEIGHT, 0, 1)
    made = trust * spread / np.maximum(total, 1e-4) + (1 - trust) * far
    return _sized(made.round().clip(0, 255).astype(np.uint8), pixels)


def _blurred(pixels: NDArray[Any], sigma: float) -> NDArray[Any]:
    """Pixels blurred, (h, w) of them, which are fewer than there were if the blur is wide."""
    import cv2

    if sigma > MAX_SIGMA:
        height, width = pixels.shape[:2]
        size = max(1, round(width * SMALL_SIGMA / sigma)), max(1, round(height * SMALL_SIGMA / sigma))
        pixels, sigma = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), SMALL_SIGMA
    blurred: NDArray[Any] = cv2.GaussianBlur(pixels, (0, 0), sigma)
    return blurred


def _sized(pixels: NDArray[Any], like: NDArray[Any]) -> NDArray[Any]:
    """Pixels enlarged to the size of others."""
    import cv2

    height, width = like.shape[:2]
    if pixels.shape[:2] == (height, width):
        return pixels
    enlarged: NDArray[Any] = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return enlarged

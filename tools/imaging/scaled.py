"""Scaling of pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def scaled(pixels: Pixels, scale: float) -> Pixels:
    """Pixels (H, W) or (H, W, C) at a scale. Each side keeps at least one pixel, however thin the image is."""
    import cv2

    height, width = pixels.shape[:2]
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    made: Pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return made

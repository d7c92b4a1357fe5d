"""How sharp an image is, from its pixels alone."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 1000
"""Longer side, in pixels, at which larger images are judged: what is seen of them on a screen."""

TILES = 4
"""Number of parts along each side; the sharpest of them counts, since a background may be blurred on purpose."""

BLUR = 9
"""Width, in pixels, of the blur that an image is compared with."""

MIN_CONTRAST = 1.0
"""Mean difference of neighbours, in grey levels, below which a part has no edges to judge by."""


def focus(pixels: NDArray[np.uint8]) -> float:
    """Sharpness of the sharpest part of pixels (H, W, 3), 0 to 1; 0 if there are no edges.

    It is one minus the blur of Crété et al. ("The blur effect", 2007): the share of the differences between neighbours
    that goes when the image is blurred once more, which hardly changes what is blurred already.
    """
    scale = min(1.0, SIDE / max(pixels.shape[:2]))
    size = max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))
    small = (
        cv2.resize(np.ascontiguousarray(pixels), size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    )
    grey = cv2.cvtColor(np.ascontiguousarray(small), cv2.COLOR_RGB2GRAY).astype(np.float32)
    lost = [_lost(grey, axis) for axis in (0, 1)]
    best = 0.0
    for rows in _parts(grey.shape[0]):
        for columns in _parts(grey.shape[1]):
            sums = [(float(d[rows, columns].sum()), float(v[rows, columns].sum())) for d, v in lost]
            area = max(1, (rows.stop - rows.start) * (columns.stop - columns.start))
            if sum(d for d, _ in sums) / area >= MIN_CONTRAST:
                best = max(best, min(v / d if d else 1.0 for d, v in sums))
    return best


def _lost(grey: NDArray[np.float32], axis: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Differences of neighbours along an axis, and how much of each goes in a blur along it."""
    blurred = cv2.blur(grey, (BLUR, 1) if axis else (1, BLUR))
    before, after = (np.abs(np.diff(each, axis=axis)) for each in (grey, blurred))
    return before, np.maximum(before - after, 0)


def _parts(length: int) -> list[slice]:
    count = min(TILES, max(1, length // (2 * BLUR)))
    return [slice(i * length // count, (i + 1) * length // count) for i in range(count)]

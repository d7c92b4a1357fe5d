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

MIN_SHARE = 0.5
"""Least contrast of a part that counts, as a share of that of the part with the most: in flatter ones, noise and the
blocks of JPEG look like edges."""

NOISE = 0.7
"""Standard deviation, in pixels, of the blur that takes noise away first."""


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
    grey = cv2.GaussianBlur(grey, (0, 0), NOISE)
    lost = [_lost(grey, axis) for axis in (0, 1)]
    parts: list[tuple[float, float]] = []  # contrast, sharpness
    for rows in _parts(grey.shape[0]):
        for columns in _parts(grey.shape[1]):
            sums = [(float(d[rows, columns].sum()), float(v[rows, columns].sum())) for d, v in lost]
            area = max(1, (rows.stop - rows.start) * (columns.stop - columns.start))
            parts.append((sum(d for d, _ in sums) / area, min(v / d if d else 1.0 for d, v in sums)))
    least = max(MIN_CONTRAST, MIN_SHARE * max(contrast for contrast, _ in parts))
    return max((sharpness for contrast, sharpness in parts if contrast >= least), default=0.0)


def _lost(grey: NDArray[np.float32], axis: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Differences of neighbours along an axis, and how much of each goes in a blur along it."""
    blurred = cv2.blur(grey, (BLUR, 1) if axis else (1, BLUR))
    before, after = (np.abs(np.diff(each, axis=axis)) for each in (grey, blurred))
    return before, np.maximum(before - after, 0)


def _parts(length: int) -> list[slice]:
    count = min(TILES, max(1, length // (2 * BLUR)))
    return [slice(i * length // count, (i + 1) * length // count) for i in range(count)]

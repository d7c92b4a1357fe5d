"""How alike two images look: the layout of their light and colours, and corners that both show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values.image import Image

Floats = NDArray[np.float32]

SIDE = 480
"""Longer side, in pixels, at which images are compared."""

LAYOUT = 12
"""Number of cells along each side of the layout."""

MIN_FEATURE_SIDE = 32
"""Shorter side, in pixels, of the smallest image that has corners."""

FEATURES = 800
"""Number of corners of an image."""

RATIO = 0.8
"""Lowe's ratio: distance of the best match to that of the next, below which a match counts."""

MIN_INLIERS, SURE_INLIERS = 8, 40
"""Number of corners that agree on one mapping below which they prove nothing, and from which the images are of one
original."""


MIN_COPY, MAX_LOOKS = 0.8, 0.75
"""Least likeness of two images of one original, and the greatest of others, however alike their colours are."""

CELL = 12
"""Side, in pixels, of cells in which corners count once: many lie on one spot."""


@dataclass(frozen=True)
class Likeness:
    """What is compared of an image.

    Attributes:
        layout: (LAYOUT, LAYOUT, 3) mean CIELAB colours, in units of 100.
        colors: (512,) histogram of colours, which sums to 1.
        points: (N, 2) corners, in pixels of a copy of `SIDE` pixels.
        codes: (N, 32) their ORB descriptors (Rublee et al. 2011).
    """

    layout: Floats
    colors: Floats
    points: Floats
    codes: NDArray[np.uint8]

    @classmethod
    def of(cls, image: Image) -> Likeness:
        """Of an image."""
        pixels = np.ascontiguousarray(image.pixels)
        scale = SIDE / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        cells = cv2.resize(small, (LAYOUT, LAYOUT), interpolation=cv2.INTER_AREA)
        layout = cv2.cvtColor(cells.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) / 100
        codes = (small >> 5).astype(np.intp) @ np.array([64, 8, 1])
        colors = np.bincount(codes.ravel(), minlength=512).astype(np.float32) / codes.size
        found, described = [], None
        if min(size) >= MIN_FEATURE_SIDE:
            grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
            found, described = cv2.ORB_create(FEATURES).detectAndCompute(grey, None)
        points = np.array([p.pt for p in found], np.float32).reshape(-1, 2)
        return cls(layout, colors, points, np.zeros((0, 32), np.uint8) if described is None else described)

    def to(self, other: Likeness) -> float:
        """Likeness, 0 to 1."""
        looks = 0.5 * self._layout_to(other) + 0.5 * float(np.minimum(self.colors, other.colors).sum())
        apart = float(np.abs(self.layout - other.layout).mean())
        # Corners that agree prove one original; without corners, nothing but the same layout does.
        copy = self._corners_to(other)
        shown = MIN_COPY + (0.95 - MIN_COPY) * copy + 0.05 * looks if copy else 0.0
        return min(1.0, max(MAX_LOOKS * looks, shown, looks * (1 - min(1.0, 20 * apart))))

    def _layout_to(self, other: Likeness) -> float:
        """1 for the same colours in the same places, falling to 0 at a mean distance of 40 in CIELAB."""
        apart = np.linalg.norm(self.layout - other.layout, axis=2).mean()
        return float(max(0.0, 1 - apart / 0.4))

    def _corners_to(self, other: Likeness) -> float:
        """0 if too few corners of one image are found in the other, to 1 if there is no doubt."""
        if min(len(self.codes), len(other.codes)) < MIN_INLIERS:
            return 0.0
        pairs: Any = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(self.codes, other.codes, k=2)
        good = [p[0] for p in pairs if len(p) == 2 and p[0].distance < RATIO * p[1].distance]
        if len(good) < MIN_INLIERS:
            return 0.0
        source = self.points[[m.queryIdx for m in good]]
        target = other.points[[m.trainIdx for m in good]]
        _, inside = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=4.0)
        if inside is None or inside.sum() < 0.25 * len(good):
            return 0.0
        kept = inside.ravel().astype(bool)
        count = min(len({tuple(p) for p in (places[kept] // CELL).tolist()}) for places in (source, target))
        return min(1.0, count / SURE_INLIERS) if count >= MIN_INLIERS else 0.0

"""What moves before a still background, and whether a place still looks as it did."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Array = NDArray[np.float64]

SIDE = 320
"""Longer side in pixels at which motion is looked for."""
MIN_AREA = 0.002
"""Least area of a moving region as a share of the frame."""
MIN_MOVED = 0.05
"""Least share of a region that has changed since the frame before: where an object was taken away, none has."""
NOISE = 20.0
"""Difference of levels up to which pixels are the same."""
FAST, SLOW = 0.05, 0.002
"""Share of a frame in the background, where it looks like that, and where it does not."""
MAX_MOVING = 0.5
"""Share of the frame from which on the camera moves, and nothing is known of what moves before it."""


class MovingRegions:
    """Regions of a video that differ from its background and move.

    The background is a running mean, which takes in what stands before it much more slowly than changes of light.
    """

    def __init__(self) -> None:
        self._background: Array | None = None
        self._before: Array | None = None

    def update(self, pixels: Pixels) -> Array:
        """Boxes (M, 4) of what moves in the next frame (H, W, 3), in its pixels."""
        height, width = pixels.shape[:2]
        scale = min(1.0, SIDE / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        frame = cv2.GaussianBlur(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), (3, 3), 0).astype(
            np.float32
        )
        if self._background is None or self._before is None:
            self._background = self._before = frame
            return np.zeros((0, 4))
        other = _differs(frame, self._background)
        changed = _differs(frame, self._before)
        rate = np.where(other, SLOW, FAST)[..., None].astype(np.float32)
        self._background = self._background + rate * (frame - self._background)
        self._before = frame
        if other.mean() > MAX_MOVING:
            self._background = frame
            return np.zeros((0, 4))
        mask = cv2.morphologyEx(other.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        number, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
        moved = np.bincount(labels[changed], minlength=number) / np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
        keep = (stats[:, cv2.CC_STAT_AREA] >= MIN_AREA * mask.size) & (moved >= MIN_MOVED)
        left, top, w, h, _ = stats[1:][keep[1:]].T
        boxes: Array = np.stack([left, top, left + w, top + h], 1) / scale
        return boxes


def _differs(a: Array, b: Array) -> NDArray[np.bool_]:
    """Whether each pixel (H, W) of two frames differs by more than noise, changes of the whole light aside."""
    difference = a - b
    difference -= np.median(difference[::4, ::4], axis=(0, 1))
    far: NDArray[np.bool_] = np.abs(difference).max(2) > NOISE
    return far


SEARCH = 0.35
"""How far around its place an object at rest is looked for, as a share of the sides of its box."""
PATCH = 48
"""Longer side in pixels at which looks are compared."""
MIN_LIKENESS = 0.8
"""Least normalised cross-correlation of an object with how it looked."""


class Looks:
    """How objects looked at rest: when they were detected last, and when they were detected most surely."""

    def __init__(self) -> None:
        self._looks: dict[int, dict[str, tuple[Pixels, float, float]]] = {}
        self._frame: Pixels | None = None

    def begin(self, pixels: Pixels) -> None:
        """Go on to the next frame (H, W, 3)."""
        self._frame = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)

    def learn(self, key: int, box: Array, score: float) -> None:
        """Note how an object looks in this frame, in which it was detected with a score."""
        scale = min(1.0, PATCH / max(box[2] - box[0], box[3] - box[1]))
        patch, _ = self._cut(box, scale)
        if min(patch.shape) < 8:
            return
        known = self._looks.setdefault(key, {})
        known["last"] = patch, scale, score
        if "best" not in known or known["best"][2] < score:
            known["best"] = known["last"]

    def find(self, key: int, box: Array) -> Array | None:
        """The box (4,) at which an object is found again near a box; None if it does not look so there."""
        found, most = None, MIN_LIKENESS
        margin = SEARCH * (box[2:] - box[:2])
        for patch, scale, _ in self._looks.get(key, {}).values():
            searched, corner = self._cut(np.concatenate([box[:2] - margin, box[2:] + margin]), scale)
            if searched.shape[0] < patch.shape[0] or searched.shape[1] < patch.shape[1]:
                continue
            likeness = cv2.matchTemplate(searched, patch, cv2.TM_CCOEFF_NORMED)
            _, best, _, at = cv2.minMaxLoc(likeness)
            if np.isfinite(best) and best >= most:
                start = corner + np.array(at) / scale
                found, most = np.concatenate([start, start + np.array(patch.shape[::-1]) / scale]), best
        return found

    def _cut(self, box: Array, scale: float) -> tuple[Pixels, Array]:
        """The part of the frame under a box, scaled, and its top-left corner."""
        assert self._frame is not None
        height, width = self._frame.shape
        left, top = (max(0, int(np.floor(v))) for v in box[:2])
        right, bottom = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
        if right <= left or bottom <= top:
            return np.zeros((0, 0), np.uint8), np.zeros(2)
        size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
        part: Pixels = cv2.resize(self._frame[top:bottom, left:right], size, interpolation=cv2.INTER_AREA)
        return part, np.array([left, top], np.float64)

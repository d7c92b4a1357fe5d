"""Faces by the cascades that come with OpenCV (Viola & Jones 2001)."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry import answer_each
from visprog.values import Box, Region
from visprog.values.image import Image

from ..imaging.scaled import scaled
from ..imaging.suppression import suppress

CONFIRM_SIDE = 64
"""Side, in pixels, to which a candidate is scaled before it is scanned again."""


class HaarFaces:
    """OpenCV's bundled cascades, frontal and profile, with a second scan of each candidate.

    Cascades alone also see faces in wheels and tail lights. Each candidate is therefore cut out, scaled to one size
    and scanned again in fine steps: a face is confirmed by many neighbouring windows, a chance likeness by few. A
    candidate with the colour of skin needs half as many.

    Args:
        model: Must be None; the cascades come with OpenCV.
        max_side: Longer side, in pixels, at which the image is searched; small images are at most doubled.
        confirmations: Number of windows that must confirm a face that shows skin; twice as many if it does not.
    """

    process = "native"

    def __init__(self, model: str | None = None, *, max_side: int = 800, confirmations: int = 18) -> None:
        if model is not None:
            raise ToolError(
                'the haar backend of find_faces takes no model: for an ONNX file set backend = "yunet"'
            )
        self.max_side = max_side
        self.confirmations = confirmations
        self._last: tuple[str, list[tuple[Box, float]]] = ("", [])

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.find)

    def find(self, image: Image) -> list[Region]:
        """Faces of one image, most certain first."""
        if self._last[0] != image.digest:  # people, eyes and smiles of one image need the same faces
            self._last = (image.digest, self._search(image.pixels))
        return [Region(image.to_root(box), "face", score, image.root) for box, score in self._last[1]]

    def _search(self, pixels: NDArray[np.uint8]) -> list[tuple[Box, float]]:
        """Faces in RGB pixels (H, W, 3), with scores."""
        import cv2

        bgr = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2BGR)
        grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)
        skin = _skin(bgr)
        boxes, scores = [], []
        for x, y, size in self._candidates(grey):
            votes = _confirmations(grey, x, y, size)
            inner = skin[
                int(y + size / 6) : int(y + size * 5 / 6) + 1, int(x + size / 6) : int(x + size * 5 / 6) + 1
            ]
            needed = self.confirmations * (1 if inner.size and inner.mean() >= 0.35 else 2)
            if votes >= needed:
                boxes.append(Box(x, y, x + size, y + size).clip(Box(0, 0, grey.shape[1], grey.shape[0])))
                scores.append(1 - float(np.exp(-votes / 20)))
        kept = suppress(boxes, scores, ["face"] * len(boxes), same=0.3, inside=0.6)
        return [(boxes[i], scores[i]) for i in kept]

    def _candidates(self, grey: NDArray[np.uint8]) -> list[tuple[float, float, float]]:
        """Squares (left, top, side), in pixels, that may be faces."""
        scale = min(2.0, self.max_side / max(grey.shape))
        small = scaled(grey, scale)
        if min(small.shape) < 24:
            return []
        mirrored = np.ascontiguousarray(small[:, ::-1])
        found = []
        for cascade, searched in (
            ("frontalface_alt2", small),
            ("profileface", small),
            ("profileface", mirrored),
        ):
            hits = load_cascade(cascade).detectMultiScale(searched, 1.15, 2, minSize=(20, 20))
            for x, y, w, _ in np.reshape(hits, (-1, 4)).tolist():
                left = small.shape[1] - x - w if searched is mirrored else x
                found.append((left / scale, y / scale, w / scale))
        return found


@cache
def load_cascade(name: str) -> Any:
    """One of the cascades that come with OpenCV.

    Raises:
        ToolError: This OpenCV has none.
    """
    import cv2

    if not hasattr(cv2, "CascadeClassifier"):
        raise ToolError("OpenCV 5 has no cascades: pip install 'opencv-python-headless<5'")
    folder = Path(cv2.__file__).parent / "data"
    cascade = cv2.CascadeClassifier(str(folder / f"haarcascade_{name}.xml"))
    if cascade.empty():
        raise ToolError(f"OpenCV's cascade '{name}' is missing: pip install 'opencv-python-headless<5'")
    return cascade


def _confirmations(grey: NDArray[np.uint8], x: float, y: float, size: float) -> int:
    """Number of windows, in a fine scan around a candidate, that see a face at its place."""
    margin, side = size / 2, CONFIRM_SIDE
    left, top = int(max(x - margin, 0)), int(max(y - margin, 0))
    right, bottom = int(min(x + size + margin, grey.shape[1])), int(min(y + size + margin, grey.shape[0]))
    scale = side / size
    patch = scaled(grey[top:bottom, left:right], scale)
    place = Box((x - left) * scale, (y - top) * scale, (x - left) * scale + side, (y - top) * scale + side)
    most = 0
    for cascade, flip in (("frontalface_alt2", False), ("profileface", False), ("profileface", True)):
        searched = np.ascontiguousarray(patch[:, ::-1]) if flip else patch
        hits = load_cascade(cascade).detectMultiScale(
            searched, 1.03, 0, minSize=(side // 2, side // 2), maxSize=(side * 7 // 4, side * 7 // 4)
        )
        windows = [
            (patch.shape[1] - hx - w if flip else hx, hy, w, h)
            for hx, hy, w, h in np.reshape(hits, (-1, 4)).tolist()
        ]
        most = max(most, sum(Box(a, b, a + w, b + h).iou(place) > 0.4 for a, b, w, h in windows))
    return most


def _skin(bgr: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether each pixel (H, W) may be skin, by the usual bounds in YCrCb; that of saturation leaves out lamps."""
    import cv2

    y, cr, cb = cv2.split(cv2.cvtColor(bgr, cv2.COLOR_BGR2YCrCb))
    saturation = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV)[..., 1]
    found: NDArray[np.bool_] = (
        (y > 40) & (cr >= 133) & (cr <= 180) & (cb >= 77) & (cb <= 130) & (saturation < 180)
    )
    return found

"""Images for the shape tests, drawn at four times their size and scaled down: lines have soft rims."""

from __future__ import annotations

import cv2
import numpy as np

from visprog.values.image import Image

OVER = 4


class Canvas:
    """A drawing with places in pixels of the finished image."""

    def __init__(self, width: int, height: int, ground: tuple[int, int, int] = (255, 255, 255)) -> None:
        self.pixels = np.full((height * OVER, width * OVER, 3), ground, np.uint8)

    def circle(self, x: float, y: float, r: float, color: tuple[int, int, int], pen: float = 0) -> None:
        """An outline whose middle has radius r, or, without a pen, a disc."""
        thickness = max(1, round(pen * OVER)) if pen else -1
        middle = (round(x * OVER * 16), round(y * OVER * 16))
        cv2.circle(self.pixels, middle, round(r * OVER * 16), color, thickness, cv2.LINE_AA, 4)

    def polygon(self, points: np.ndarray, color: tuple[int, int, int], pen: float = 0) -> None:
        fixed = np.rint(np.asarray(points) * OVER * 16).astype(np.int32)
        if not pen:
            cv2.fillPoly(self.pixels, [fixed], color, cv2.LINE_AA, 4)
            return
        cv2.polylines(self.pixels, [fixed], True, color, max(1, round(pen * OVER)), cv2.LINE_AA, 4)

    def line(self, points: list[tuple[float, float]], color: tuple[int, int, int], pen: float) -> None:
        fixed = np.rint(np.asarray(points) * OVER * 16).astype(np.int32)
        cv2.polylines(self.pixels, [fixed], False, color, max(1, round(pen * OVER)), cv2.LINE_AA, 4)

    def text(self, text: str, x: float, y: float, height: float, color: tuple[int, int, int]) -> None:
        scale = height * OVER / 22
        cv2.putText(
            self.pixels, text, (round(x * OVER), round(y * OVER)), cv2.FONT_HERSHEY_SIMPLEX, scale, color,
            max(1, round(scale * 2)), cv2.LINE_AA,
        )  # fmt: skip

    def image(self, noise: float = 0, jpeg: int = 0, seed: int = 0) -> Image:
        small = cv2.resize(self.pixels, None, fx=1 / OVER, fy=1 / OVER, interpolation=cv2.INTER_AREA)
        if noise:
            grain = np.random.default_rng(seed).normal(0, noise, small.shape)
            small = np.clip(small + grain, 0, 255).round().astype(np.uint8)
        if jpeg:
            coded = cv2.imencode(".jpg", small[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, jpeg])[1]
            small = np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[:, :, ::-1])
        return Image(small)


def regular(sides: int, x: float, y: float, r: float, turn: float = 0.0) -> np.ndarray:
    """The corners of a regular polygon; with turn 0 one points up."""
    angles = np.arange(sides) * 2 * np.pi / sides - np.pi / 2 + turn
    return np.stack([x + r * np.cos(angles), y + r * np.sin(angles)], 1)

"""The outlines of the shapes, as polygons."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float32]

TURNS: dict[str, int] = {
    "circle": 0, "square": 15, "triangle": 180, "rectangle": 180, "star": 180, "heart": 30, "diamond": 10,
    "cross": 15, "ring": 0, "oval": 180, "crescent": 180, "arrow": 180,
}  # fmt: skip
"""Shape → greatest turn in degrees to either side: a square on its corner would be a diamond."""

SHAPES = tuple(TURNS)


@dataclass(frozen=True, slots=True)
class ShapeOutline:
    """A shape of radius 1 whose bounding box is centred on (0, 0).

    Attributes:
        contours: points (N, 2) as x, y; where there are two, the second is a hole.
        half_width, half_height: of the bounding box.
        reach: radius of the enclosing circle around (0, 0).
    """

    contours: tuple[Points, ...]
    half_width: float
    half_height: float
    reach: float


@cache
def outline(shape: str, angle: int) -> ShapeOutline:
    """The outline of a shape, turned clockwise by `angle` degrees.

    Radius 1 is the mean of the radius of the enclosing circle and of a disc of equal area, so that shapes of
    equal radius look equally large.

    Raises:
        ValueError: an unknown shape.
    """
    contours = _contours(shape)
    turn = np.radians(angle)
    matrix = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    outer = contours[0].astype(np.float32)
    (_, around), area = cv2.minEnclosingCircle(outer), cv2.contourArea(outer)
    turned = [contour @ matrix * 2 / (around + np.sqrt(area / np.pi)) for contour in contours]
    low, high = turned[0].min(0), turned[0].max(0)
    placed = [np.asarray(contour - (low + high) / 2, np.float32) for contour in turned]
    width, height = (high - low) / 2
    return ShapeOutline(
        tuple(placed), float(width), float(height), float(np.linalg.norm(placed[0], axis=1).max())
    )


def turn(shape: str, rng: random.Random) -> int:
    """A random angle at which a shape is still itself, in steps of 5 degrees."""
    steps = TURNS[shape] // 5
    return 5 * rng.randint(-steps, steps) if steps else 0


def _contours(shape: str) -> list[NDArray[Any]]:
    """The outline at its own scale, y downwards."""
    circle = _arc(0, 360)
    if shape == "circle":
        return [circle]
    if shape == "ring":
        return [circle, circle * 0.55]
    if shape == "oval":
        return [circle * (1, 0.55)]
    if shape == "square":
        return [_corners("-1 -1 1 -1 1 1 -1 1")]
    if shape == "rectangle":
        return [_corners("-1 -.5 1 -.5 1 .5 -1 .5")]
    if shape == "diamond":
        return [_corners("0 -1 .6 0 0 1 -.6 0")]
    if shape == "triangle":
        return [_arc(-90, 270, 3)[:3]]
    if shape == "cross":
        return [_corners("-.3 -1 .3 -1 .3 -.3 1 -.3 1 .3 .3 .3 .3 1 -.3 1 -.3 .3 -1 .3 -1 -.3 -.3 -.3")]
    if shape == "arrow":
        return [_corners("-1 -.26 .1 -.26 .1 -.75 1 0 .1 .75 .1 .26 -1 .26")]
    if shape == "star":
        return [np.stack([_arc(-90, 270, 5)[:5], _arc(-54, 306, 5)[:5] * 0.42], 1).reshape(-1, 2)]
    if shape == "crescent":  # a disc less another of radius 0.85, 0.45 to its right
        tip = np.degrees(np.arctan2(0.846, 0.533))
        inner = np.degrees(np.arctan2(0.846, 0.533 - 0.45))
        return [np.concatenate([_arc(tip, 360 - tip), _arc(360 - inner, inner) * 0.85 + (0.45, 0)])]
    if shape == "heart":
        t = np.radians(np.arange(0, 360, 7.5))
        y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
        return [np.stack([16 * np.sin(t) ** 3, -y], 1) / 16]
    raise ValueError(f"unknown shape '{shape}': use one of {', '.join(SHAPES)}")


def _arc(start: float, end: float, steps: int = 48) -> NDArray[Any]:
    """Points (steps + 1, 2) on the unit circle, from one angle to another, in degrees."""
    t = np.radians(np.linspace(start, end, steps + 1))
    return np.stack([np.cos(t), np.sin(t)], 1)


def _corners(numbers: str) -> NDArray[Any]:
    return np.array(numbers.split(), np.float64).reshape(-1, 2)

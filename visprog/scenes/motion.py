"""Objects that move: the frames of a short film."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from .layout import MIN_MARGIN
from .objects import SceneObject

FASTEST = 0.04
"""Widths of the image from one frame to the next."""


def move(rng: random.Random, objects: Sequence[SceneObject], frames: int) -> list[list[SceneObject]]:
    """Each frame's objects, in the order of `objects`: straight ways that turn back at the edges and never meet."""
    speed = FASTEST
    while speed > FASTEST / 100:
        tracks = [
            _track(obj, speed * rng.uniform(0.3, 1), rng.uniform(0, 2 * math.pi), frames) for obj in objects
        ]
        shots = [list(shot) for shot in zip(*tracks, strict=True)]
        if all(_apart(shot) for shot in shots):
            return shots
        speed *= 0.85
    return [list(objects)] * frames


def _track(obj: SceneObject, speed: float, heading: float, frames: int) -> list[SceneObject]:
    left, top, right, bottom = obj.extent
    width, height = (right - left) / 2 + MIN_MARGIN, (bottom - top) / 2 + MIN_MARGIN
    dx, dy = speed * math.cos(heading), speed * math.sin(heading)
    return [
        replace(
            obj,
            x=_bounced(obj.x + k * dx, width, 1 - width),
            y=_bounced(obj.y + k * dy, height, 1 - height),
        )
        for k in range(frames)
    ]


def _bounced(value: float, low: float, high: float) -> float:
    """A coordinate that runs to and fro between two walls."""
    span = high - low
    way = (value - low) % (2 * span)
    return low + (way if way <= span else 2 * span - way)


def _apart(objects: Sequence[SceneObject]) -> bool:
    return all(
        math.hypot(a.x - b.x, a.y - b.y) >= a.reach + b.reach
        for k, a in enumerate(objects)
        for b in objects[:k]
    )

"""Things that move: the frames of a short film."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

from .layout import MARGIN
from .things import Thing

FASTEST = 0.04
"""Widths of the picture from one frame to the next."""


def move(rng: random.Random, things: Sequence[Thing], frames: int) -> list[list[Thing]]:
    """Each frame's things, in the order of `things`: straight ways that turn back at the edges and never meet."""
    speed = FASTEST
    while speed > FASTEST / 100:
        tracks = [
            _track(thing, speed * rng.uniform(0.3, 1), rng.uniform(0, 2 * math.pi), frames)
            for thing in things
        ]
        shots = [list(shot) for shot in zip(*tracks, strict=True)]
        if all(_apart(shot) for shot in shots):
            return shots
        speed *= 0.85
    return [list(things)] * frames


def _track(thing: Thing, speed: float, heading: float, frames: int) -> list[Thing]:
    left, top, right, bottom = thing.extent
    width, height = (right - left) / 2 + MARGIN, (bottom - top) / 2 + MARGIN
    dx, dy = speed * math.cos(heading), speed * math.sin(heading)
    return [
        replace(
            thing,
            x=_bounced(thing.x + k * dx, width, 1 - width),
            y=_bounced(thing.y + k * dy, height, 1 - height),
        )
        for k in range(frames)
    ]


def _bounced(value: float, low: float, high: float) -> float:
    """A coordinate that runs to and fro between two walls."""
    span = high - low
    way = (value - low) % (2 * span)
    return low + (way if way <= span else 2 * span - way)


def _apart(things: Sequence[Thing]) -> bool:
    return all(
        math.hypot(a.x - b.x, a.y - b.y) >= a.reach + b.reach
        for k, a in enumerate(things)
        for b in things[:k]
    )

"""Objects whose colours have no name: a model that learns from them learns shapes apart from colours."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..values.colors import to_lab
from . import draw, language
from .colors import CONTRAST, palette
from .objects import COLORS, SceneObject, is_held_out
from .scene import Scene

MIN_DISTANCE = 20.0
"""Least distance in CIELAB between a colour without a name and every shade of those that have one."""

RGB = NDArray[np.float32]


def with_unnamed_colors(
    scene: Scene, rng: np.random.Generator, share: float
) -> tuple[NDArray[np.uint8], str]:
    """An image of a scene of the normal style where some objects have other colours, and its plainest caption, which
    names no colour of theirs: "a red circle, a star and a cross".

    Such an object is of one colour that lies between those with names, or fades from one colour into another. Neither
    these nor the colours with names that they are nearest to are kept from its shape in training. What would not
    stand out from the image behind it stays as it is.

    Args:
        share: of objects that are changed.
    """
    painted: list[SceneObject] = []

    def inks(obj: SceneObject, where: draw.Patch, canvas: draw.Canvas) -> tuple[RGB, RGB]:
        painted.append(obj)
        if rng.random() < share:
            first, second = _colors(obj, rng)
            behind = to_lab(canvas[where.place].mean((0, 1))[None])
            if np.linalg.norm(to_lab(np.stack([first, second])) - behind, axis=1).min() >= CONTRAST:
                painted[-1] = replace(obj, color="")
                color = _fade(first, second, where.cover.shape, rng)
                return color, 0.6 * color if first.mean() > 90 else 0.5 * (color + 255)
        return palette().of(obj), palette().tone(obj)

    return scene.painted(inks), language.caption(painted, (), scene.key, "plain", 0)


def _colors(obj: SceneObject, rng: np.random.Generator) -> tuple[RGB, RGB]:
    """The two ends of a fade, or twice a colour between those with names."""
    known = [i for i, color in enumerate(COLORS) if not is_held_out(obj.shape, color)]
    if rng.random() < 0.5:
        colors, nearest = unnamed()
        chosen = colors[rng.choice(np.flatnonzero(np.isin(nearest, known)))]
        return chosen, chosen
    ends = palette().rgb[rng.choice(known, 2, replace=False), rng.integers(palette().rgb.shape[1], size=2)]
    return ends[0], ends[1]


def _fade(first: RGB, second: RGB, shape: tuple[int, ...], rng: np.random.Generator) -> RGB:
    """From one colour to another across (height, width), in any direction: (height, width, 3)."""
    turn, steep = rng.uniform(0, 2 * math.pi), rng.uniform(0.7, 2)
    down, across = (np.linspace(-0.5, 0.5, n) for n in shape)
    share = np.clip(0.5 + steep * (across[None] * math.cos(turn) + down[:, None] * math.sin(turn)), 0, 1)
    return np.asarray(first + share[..., None] * (second - first), np.float32)


@cache
def unnamed() -> tuple[RGB, NDArray[np.intp]]:
    """Colors that none of those with names is near to, (n, 3), and the place of the nearest of these, (n,)."""
    colors = np.random.default_rng(0).uniform(0, 255, (2048, 3)).astype(np.float32)
    distances = np.linalg.norm(to_lab(colors)[:, None, None] - palette().lab, axis=3).min(2)
    apart = distances.min(1) >= MIN_DISTANCE
    return colors[apart], distances[apart].argmin(1)

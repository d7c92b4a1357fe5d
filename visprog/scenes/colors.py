"""The colours: shades of each, the tone of its textures, and backgrounds that they stand out from."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..values.colors import to_lab
from .objects import COLORS, SceneObject

ANCHORS: dict[str, str] = {
    "red": "e61e1e c01420 ee4038", "orange": "ff8c00 f57814 ffa532", "yellow": "ffe600 f0d728 fff064",
    "green": "149628 28be46 146e28", "cyan": "00d2dc 3ce1e1 14bec8", "blue": "143cdc 2864f0 1436b4",
    "purple": "821eaa 9646d2 6e148c", "pink": "ff78b4 faa0c8 ff5aaa", "brown": "824b1e 643c1e 965a2d",
    "black": "0a0a0a 1c1c1e 14141c", "white": "fafafa f0f2f4 fcfaf2", "grey": "808080 989898 6c6c70",
}  # fmt: skip
"""Colour → the corners of its shades, as hexadecimal RGB."""

TONES: dict[str, str] = {
    "red": "7d0a12", "orange": "ffd08c", "yellow": "c8a800", "green": "0a4614", "cyan": "0a7880",
    "blue": "8cbeff", "purple": "c89be6", "pink": "d21e78", "brown": "c0874f", "black": "424242",
    "white": "c8c8c8", "grey": "484848",
}  # fmt: skip
"""Colour → the darker or lighter tone of the stripes, dots and squares of textured objects."""

SHADES = 48
BACKGROUNDS = 1024
CONTRAST = 32.0
"""Least distance in CIELAB between an object and the background; 2 to 3 is what an eye can just tell apart."""


@dataclass(frozen=True, slots=True)
class Palette:
    """All colours that scenes use.

    Attributes:
        rgb: (colours, SHADES, 3) float32, 0 to 255.
        lab: the same in CIELAB.
        tones: (colours, 3) RGB of the textures.
        backgrounds: (BACKGROUNDS, 3) RGB.
        backgrounds_lab: the same in CIELAB.
        distance: (colours, SHADES, BACKGROUNDS) distance in CIELAB.
    """

    rgb: NDArray[np.float32]
    lab: NDArray[np.float32]
    tones: NDArray[np.float32]
    backgrounds: NDArray[np.float32]
    backgrounds_lab: NDArray[np.float32]
    distance: NDArray[np.float32]

    def of(self, obj: SceneObject) -> NDArray[np.float32]:
        """RGB (3,) of an object."""
        return np.asarray(self.rgb[COLORS.index(obj.color), obj.shade])

    def tone(self, obj: SceneObject) -> NDArray[np.float32]:
        """RGB (3,) of the texture of an object."""
        return np.asarray(self.tones[COLORS.index(obj.color)])

    def contrasting(self, objects: Sequence[SceneObject]) -> NDArray[np.intp]:
        """The backgrounds that all the objects stand out from: indices, at least one."""
        colors, shades = [COLORS.index(t.color) for t in objects], [t.shade for t in objects]
        nearest = self.distance[colors, shades].min(0)
        good = np.flatnonzero(nearest >= CONTRAST)
        return good if good.size else np.array([nearest.argmax()])


@cache
def palette() -> Palette:
    """The palette, made once; the same in every process."""
    rng = random.Random("palette")
    shades = np.array([[_mix(ANCHORS[name], rng) for _ in range(SHADES)] for name in COLORS], np.float32)
    backgrounds = np.array([_background(rng) for _ in range(BACKGROUNDS)], np.float32)
    lab = to_lab(shades.reshape(-1, 3))
    other = to_lab(backgrounds)
    distance = np.linalg.norm(lab[:, None] - other[None], axis=2).reshape(len(COLORS), SHADES, -1)
    tones = np.array([list(bytes.fromhex(TONES[name])) for name in COLORS], np.float32)
    return Palette(shades, lab.reshape(shades.shape), tones, backgrounds, other, distance.astype(np.float32))


def _mix(anchors: str, rng: random.Random) -> list[float]:
    """A colour between the anchors."""
    corners = [bytes.fromhex(text) for text in anchors.split()]
    weights = [rng.expovariate(1) for _ in corners]
    return [sum(w * c[k] for w, c in zip(weights, corners, strict=True)) / sum(weights) for k in range(3)]


def _background(rng: random.Random) -> list[float]:
    """Light, dark or anything between; more often pale than vivid."""
    level = rng.choice((rng.uniform(200, 250), rng.uniform(10, 70), rng.uniform(10, 250)))
    spread = rng.choice((4, 25, 25, 70))
    return [min(max(level + rng.uniform(-spread, spread), 0.0), 255.0) for _ in range(3)]

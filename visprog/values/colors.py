"""Colours by name, as people use them: the nearest of a table of examples in CIELAB.

Lightness counts less than hue: a dark and a light red are both red. Close calls (turquoise: green or cyan?) answer to
both names.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Refused

EXAMPLES: dict[str, str] = {
    "black": "000000 141414 1c1c1c 101018 181010",
    "white": "ffffff f5f5f5 f0f0f0 f8f8ff fffaf0 f2f2f8",
    "grey": "808080 a9a9a9 c0c0c0 696969 d3d3d3 505050 3a3a3a 708090 8f8f88 dadada",
    "red": "ff0000 cc0000 d62728 b22222 8b0000 dc143c e03030 a01818 ff4040 5f0000 c8474f eb9393",
    "orange": "ff8000 ffa500 ff7f0e ff8c00 e67300 ffa040 cc6600 ff6a1a ffbf86",
    "yellow": "ffff00 ffd700 f0e000 ffe135 cccc00 fff68f bcbd22 ffef5a ffdb58 dede90 ffffb0 e6b800",
    "green": "00ff00 008000 2ca02c 228b22 006400 90ee90 32cd32 556b2f 6b8e23 98d8a0 3cb371 80c000 7fff00 "
    "95cf95 104010 2e5d34 808000 5fae57",
    "cyan": "00ffff 00ced1 008080 17becf 40e0d0 20b2aa afeeee 005f5f 8bdee7 5fd7d7 e0ffff",
    "blue": "0000ff 191970 1f77b4 4169e1 000080 1e90ff 87ceeb 6495ed add8e6 4682b4 00008b 3366cc 0077ff "
    "8fbbd9 00bfff 10204f 3a5f9f 5a6acd c4dcf4",
    "purple": "800080 9467bd 8a2be2 9370db 4b0082 6a0dad a020f0 c9b3de dda0dd 9932cc 7b3f9f b57edc 5a2a6a "
    "3f0f4f e6d9f5",
    "pink": "ffc0cb ff69b4 ff1493 ffb6c1 e377c2 f1bbe0 ff00ff f78fb3 d85a94 ff80c0 eb00ff fadadd d02090 "
    "c71585",
    "brown": "8b4513 a52a2a 654321 8c564b a0522d 7b3f00 5c4033 c5aaa5 9c6b3f 4a2c17 b5793f 3b1f10 7a5c40",
    "beige": "f5f5dc f5deb3 ffe4c4 d2b48c faebd7 e8d8b8 deb887 ffe0bd e6c7a0 ffdbac c8b48c",
}
"""Name → examples as hexadecimal RGB."""

SYNONYMS: dict[str, str] = {
    "gray": "grey", "silver": "grey", "charcoal": "grey", "crimson": "red", "scarlet": "red",
    "maroon": "red", "ruby": "red", "burgundy": "red", "amber": "orange", "coral": "orange",
    "gold": "yellow", "golden": "yellow", "lemon": "yellow", "mustard": "yellow", "lime": "green",
    "olive": "green", "emerald": "green", "mint": "green", "teal": "cyan", "turquoise": "cyan",
    "aqua": "cyan", "navy": "blue", "azure": "blue", "sky": "blue", "indigo": "purple",
    "violet": "purple", "lilac": "purple", "lavender": "purple", "mauve": "purple", "magenta": "pink",
    "fuchsia": "pink", "rose": "pink", "salmon": "pink", "chocolate": "brown", "bronze": "brown",
    "tan": "beige", "cream": "beige", "ivory": "beige", "khaki": "beige", "blonde": "beige",
    "blond": "beige",
}  # fmt: skip

NAMES: tuple[str, ...] = tuple(EXAMPLES)
CLOSE_CALL = 6.0
"""How much farther than the nearest name, in CIELAB units, another name may lie and still apply."""


def parse(color: str) -> tuple[str, str]:
    """A colour as people write it → (basic name, "dark", "light" or "").

    Raises:
        Refused: the name is not known; the message lists those that are.
    """
    words = re.sub(r"[^a-z]+", " ", color.lower()).split()
    tones = {"dark": "dark", "deep": "dark", "light": "light", "pale": "light"}
    tone = next((tones[w] for w in words if w in tones), "")
    words = [
        w for w in words if w not in tones and w not in ("bright", "vivid", "color", "colour", "colored")
    ]
    joined = "".join(words)
    for word in (*reversed(words), joined, joined.removeprefix("light"), joined.removeprefix("dark")):
        name = SYNONYMS.get(word, word)
        if name in EXAMPLES:
            return name, tone
    raise Refused(f"the colour '{color}' is not known: use one of {', '.join(NAMES)}")


def name_of(rgb: Any) -> str:
    """The basic name of one colour (three numbers, 0 to 255)."""
    return NAMES[int(name_codes(np.asarray(rgb, np.float32).reshape(1, 3))[0, 0])]


def name_codes(rgb: NDArray[Any]) -> NDArray[np.intp]:
    """(N, 3) RGB → (N, 2): index into NAMES of the nearest name, and of the next one where it is a close call
    (else the same again)."""
    cells = np.clip(np.asarray(rgb, np.float32).round(), 0, 255).astype(np.intp) >> 3
    return np.asarray(_table()[cells[:, 0], cells[:, 1], cells[:, 2]])


def accepts(
    rgb: NDArray[Any], wanted: tuple[str, str], codes: NDArray[np.intp] | None = None
) -> NDArray[np.bool_]:
    """Which of (N, 3) RGB colours answer to a parsed colour, close calls included."""
    codes = name_codes(rgb) if codes is None else codes
    good = (codes == NAMES.index(wanted[0])).any(1)
    if wanted[1]:
        lightness = to_lab(rgb)[:, 0]
        good &= lightness <= 50 if wanted[1] == "dark" else lightness >= 60
    return np.asarray(good)


def to_lab(rgb: NDArray[Any]) -> NDArray[np.float32]:
    """(N, 3) sRGB in 0…255 → (N, 3) CIELAB under D65."""
    matrix = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear(rgb) @ matrix.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz * (29 / 6) ** 2 / 3 + 4 / 29)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
    return lab.astype(np.float32)


@cache
def _table() -> NDArray[np.intp]:
    """(32, 32, 32, 2): the nearest name and its close call for every colour, in steps of 8."""
    steps = np.arange(32) * 8 + 4.0
    steps[[0, -1]] = 0, 255
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3)
    scale = np.array([0.6, 1.0, 1.0], np.float32)
    colors = to_lab(grid) * scale
    distances = np.empty((len(NAMES), len(colors)), np.float32)
    for i, name in enumerate(NAMES):
        examples = to_lab(np.array([list(bytes.fromhex(h)) for h in EXAMPLES[name].split()])) * scale
        squares = (colors**2).sum(1) - 2 * examples @ colors.T + (examples**2).sum(1)[:, None]
        distances[i] = np.sqrt(np.maximum(squares.min(0), 0))
    nearest, distance = distances.argmin(0), distances.min(0)
    np.put_along_axis(distances, nearest[None], np.inf, 0)
    next_one = np.where(distances.min(0) - distance <= CLOSE_CALL, distances.argmin(0), nearest)
    return np.stack([nearest, next_one], 1).reshape(32, 32, 32, 2)


def linear(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """sRGB in 0…255 → linear light in 0…1."""
    unit = np.asarray(rgb, np.float64) / 255
    return np.where(unit <= 0.04045, unit / 12.92, ((unit + 0.055) / 1.055) ** 2.4)

"""Colours by name: what a thing is coloured, and whether it is of a colour.

A colour is named by the nearest of a table of examples in CIELAB, with lightness counted less than hue, as
people do: a dark and a light red are both red. Close calls (turquoise: green or cyan?) answer to both names.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.registry import tool
from visprog.registry.sees import Parsed, Sees
from visprog.values import Box, Circle, Grid, Line, Mask, Polygon, Region
from visprog.values.image import Image

from .imaging.flatness import is_drawing
from .imaging.light import light, linear, see

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
CELLS = 8**3
"""Of colours, in a histogram."""

CLOSE_CALL = 6.0
"""How much farther than the nearest name, in CIELAB units, another name may lie and still apply."""

LIKE_AROUND = 0.12
"""Weight that pixels of an object in a photograph keep although their colour lies around it, too: a white dog stands on
white tiles."""

EVEN = 0.6
"""Share of an object's pixels near its most frequent colour from which it is of one colour, lit evenly."""

BRIGHT = 1.2
"""Factor of the light below which even colours of a photograph are as they look."""

DOUBT = 0.5
"""Share from which the name of the even colour is not passed over for one in the light of the scene."""

NEAR = 24
"""Levels a channel by which noise may change an even colour."""

SHADES = ("grey", "black", "brown")
"""Names of even colours that a lighter object may have in shade."""

Coloured: TypeAlias = Image | Region | Mask | Box | Circle | Polygon | Line | Grid


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


COLOR = Parsed(parse)
"""The texts that name a colour."""


@tool
def dominant_color(image: Coloured) -> str:
    """The colour that covers most of an image, or of a thing found in it, as a basic colour name.

    One of black, white, grey, red, orange, yellow, green, cyan, blue, purple, pink, brown, beige. In a region
    with a mask only its own pixels count; without, the middle of the box counts more than its rim, and what is also
    around the box counts less. In a photograph it is the colour in full light, not that of a shade.

    Raises:
        Refused: the argument is a bare box or mask, which does not know its image; or two colours are too close to call
            in a photograph (has_color is true of both).
    """
    if isinstance(image, Circle | Polygon | Line) and image.color:
        return image.color
    likely = likely_colors(image)
    if len(likely) > 1:
        raise Refused(
            f"the colour is too close to call between {' and '.join(likely)}: ask has_color for the one that matters"
        )
    return likely[0]


@tool(sees=Sees(phrases={"color": COLOR}))
def has_color(image: Coloured, color: str) -> bool:
    """True if an image, or a thing found in it, is of this colour to a good part: a quarter, not a few
    pixels.

    Common names and synonyms are known ("grey", "navy", "dark green", "light-blue").

    Raises:
        Refused: an unknown colour name, or a bare box or mask, which does not know its image.
    """
    if isinstance(image, Circle | Polygon | Line) and image.color:
        return image.color == parse(color)[0]
    return color_share(image, color) >= 0.25


def likely_colors(image: Coloured) -> tuple[str, ...]:
    """Names that most of an image, or of a thing found in it, may have, the likelier first: one, unless that is too
    close to call in a photograph.

    Raises: as `has_color`.
    """
    rgb, weights, root = _pixels(image)
    if is_drawing(root):
        return (NAMES[int(np.bincount(name_codes(rgb)[:, 0], weights, len(NAMES)).argmax())],)
    named = np.bincount(name_codes(rgb)[:, 0], weights, len(NAMES))
    name = NAMES[int(named.argmax())]
    even = _evenness(rgb, weights)
    if name not in SHADES and even >= EVEN and max(light(root)) < BRIGHT:
        return (name,)
    seen = see(rgb, weights, root).candidates
    return seen if name in seen or even < DOUBT else (*seen, name)


def color_share(image: Coloured, color: str) -> float:
    """The share, 0 to 1, of an image, or of a thing found in it, that answers to a colour; at least a half if most of a
    thing in a photograph may have it in full light.

    Raises: as `has_color`.
    """
    wanted = parse(color)
    rgb, weights, root = _pixels(image)
    total = max(float(weights.sum()), 1e-9)
    if is_drawing(root):
        return float(weights[accepts(rgb, wanted)].sum() / total)
    seen = see(rgb, weights, root)
    lightness = to_lab(rgb)[:, 0]
    toned = {"dark": lightness <= 50, "light": lightness >= 60, "": lightness >= 0}[wanted[1]]
    share = float(weights[(seen.names == wanted[0]) & toned].sum() / total)
    likely = wanted[0] in seen.candidates and weights[toned].sum() >= 0.5 * total
    return max(share, 0.5) if likely else share


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
    distances = np.empty((len(colors), len(NAMES)), np.float32)
    for i, name in enumerate(NAMES):
        examples = to_lab(np.array([list(bytes.fromhex(h)) for h in EXAMPLES[name].split()])) * scale
        squares = (colors**2).sum(1)[:, None] - 2 * colors @ examples.T + (examples**2).sum(1)
        distances[:, i] = np.sqrt(np.maximum(squares.min(1), 0))
    order = np.argsort(distances, axis=1)[:, :2]
    near = np.take_along_axis(distances, order, 1)
    order[:, 1] = np.where(near[:, 1] - near[:, 0] <= CLOSE_CALL, order[:, 1], order[:, 0])
    return order.reshape(32, 32, 32, 2)


def _pixels(thing: Coloured) -> tuple[NDArray[np.uint8], NDArray[np.float64], Image]:
    """The pixels (N, 3) of a thing, how much each counts (N,), and the whole image that it lies in."""
    if isinstance(thing, Image):
        image, box, mask = thing, thing.box, None
    elif isinstance(thing, Region) and thing.image is not None:
        image, box, mask = thing.image, thing.box, thing.mask
    else:
        raise Refused(
            f"a {type(thing).__name__} does not know its picture: give crop(image, it) for its colour"
        )
    box = box.clip(image.box)
    if box.area == 0:
        middle = box.center
        box = Box(middle.x - 1, middle.y - 1, middle.x + 1, middle.y + 1)
    part = image.crop(box)
    stride = max(1, int((part.width * part.height / 250_000) ** 0.5))
    pixels = part.pixels[::stride, ::stride]
    height, width = pixels.shape[:2]
    if mask is not None and mask.area:
        inside = mask.within(part.box)[::stride, ::stride]
        if inside.any():
            return pixels[inside], np.ones(int(inside.sum())), image.root
    if isinstance(thing, Image) or part.width < 3 or part.height < 3:
        weights = np.ones((height, width))
    else:  # a thing fills the middle of its box, and its rim is often background
        y = (np.arange(height) + 0.5) / height * 2 - 1
        x = (np.arange(width) + 0.5) / width * 2 - 1
        weights = np.exp(-2.5 * (y[:, None] ** 2 + x[None, :] ** 2))
        own = _own(image, part, stride, weights)
        weights = own if is_drawing(image) else np.maximum(own, LIKE_AROUND * weights)
    return pixels.reshape(-1, 3), weights.ravel(), image.root


def _evenness(rgb: NDArray[np.uint8], weights: NDArray[np.float64]) -> float:
    """Share of the weights of pixels (N, 3) within `NEAR` of the most frequent colour, in each channel."""
    cells = (rgb >> 4).astype(np.intp) @ np.array([256, 16, 1])
    peak = int(np.bincount(cells, weights, 4096).argmax())
    center = np.average(rgb[cells == peak], 0, weights[cells == peak] + 1e-9)
    near = (np.abs(rgb - center) <= NEAR).all(1)
    return float(weights[near].sum() / max(float(weights.sum()), 1e-9))


def _own(image: Image, part: Image, stride: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (h, w) of the pixels of a part, less for colours that lie around it, too: a colour counts by the share of
    it that is more frequent in the part than in the frame around it (histogram backprojection, Swain & Ballard
    1991). As they are, where next to nothing would be left or nothing lies around."""
    reach = max(2.0, 0.15 * max(part.width, part.height))
    wide = image.crop(part.box.expand(reach))
    around = np.ones((wide.height, wide.width), bool)
    left, top = int(part.box.left - wide.box.left), int(part.box.top - wide.box.top)
    around[top : top + part.height, left : left + part.width] = False
    outside = wide.pixels[::stride, ::stride][around[::stride, ::stride]]
    if len(outside) < 16:
        return weights
    inside = _cells(part.pixels[::stride, ::stride])
    counts = np.bincount(inside.ravel(), weights.ravel(), CELLS)
    behind = np.bincount(_cells(outside), minlength=CELLS) / len(outside)
    more = 1 - np.minimum(behind * counts.sum() / np.maximum(counts, 1e-9), 1)
    own = weights * more[inside]
    return own if own.sum() > 0.1 * weights.sum() else weights


def _cells(pixels: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Colours (…, 3) → the cells that they lie in (…), 8 along each channel."""
    high = (pixels >> 5).astype(np.intp)
    return np.asarray(high[..., 0] * 64 + high[..., 1] * 8 + high[..., 2])

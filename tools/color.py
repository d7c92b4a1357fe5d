"""Colours by name: what a thing is coloured, and whether it is of a colour.

A colour is named by the nearest of a table of examples in CIELAB, with lightness counted less than hue, as
people do: a dark and a light red are both red. Close calls (turquoise: green or cyan?) answer to both names.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.registry import tool
from visprog.registry.sees import Parsed, Sees
from visprog.values import Box, Circle, Grid, Line, Mask, Polygon, Region
from visprog.values.colors import NAMES, accepts, name_codes, parse, to_lab
from visprog.values.image import Image

from .imaging.flatness import is_drawing
from .imaging.light import light, see

CELLS = 8**3
"""Of colours, in a histogram."""

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


def _pixels(thing: Coloured) -> tuple[NDArray[np.uint8], NDArray[np.float64], Image]:
    """The pixels (N, 3) of a thing, how much each counts (N,), and the whole image that it lies in."""
    if isinstance(thing, Image):
        image, box, mask = thing, thing.box, None
    elif isinstance(thing, Region) and thing.image is not None:
        image, box, mask = thing.image.root, thing.box, thing.mask
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

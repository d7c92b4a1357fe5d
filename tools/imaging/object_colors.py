"""Colours of images and of objects found in them.

A colour is named by the nearest of a table of examples in CIELAB, with lightness counted less than hue, as
people do: a dark and a light red are both red. Close calls (turquoise: green or cyan?) answer to both names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.values import Box, Circle, Line, Polygon, Region
from visprog.values.colors import NAMES, accepts, name_codes, parse, to_lab
from visprog.values.image import Image

from .flatness import is_drawing
from .light import LitColors, colors_in_light, light

CELLS = 8**3
"""Number of cells of a histogram of colours."""

MIN_SURROUNDING_WEIGHT = 0.12
"""Weight that pixels of an object in a photograph keep although their colour lies around it, too: a white dog stands on
white tiles."""

EVEN_SHARE = 0.6
"""Share of an object's pixels near its most frequent colour from which it is of one colour, lit evenly."""

NEUTRAL_GAIN = 1.2
"""Gain of the light below which even colours of a photograph are as they look."""

DOUBTFUL_SHARE = 0.5
"""Share from which the name of the even colour is kept beside one in the light of the scene."""

NOISE_LEVELS = 24
"""Levels per channel by which noise may change an even colour."""

SHADES = ("grey", "black", "brown")
"""Names of even colours that a lighter object may have in shade."""

Coloured: TypeAlias = Image | Region | Circle | Polygon | Line


def likely_colors(image: Coloured) -> tuple[str, ...]:
    """Names that most of an image, or of an object found in it, may have, the likelier first: one, unless that is too
    close to call in a photograph.

    Raises:
        Refused: It does not know its image.
    """
    rgb, weights, root = _pixels(image)
    if is_drawing(root):
        return (NAMES[int(np.bincount(name_codes(rgb)[:, 0], weights, len(NAMES)).argmax())],)
    named = np.bincount(name_codes(rgb)[:, 0], weights, len(NAMES))
    name = NAMES[int(named.argmax())]
    even = _evenness(rgb, weights)
    if name not in SHADES and even >= EVEN_SHARE and max(light(root)) < NEUTRAL_GAIN:
        return (name,)
    likely = colors_in_light(rgb, weights, root).candidates
    return likely if name in likely or even < DOUBTFUL_SHARE else (*likely, name)


def color_share(image: Coloured, color: str) -> float:
    """The share, 0 to 1, of an image, or of an object found in it, that answers to a colour; at least a half if most of
    an object in a photograph may have it in full light.

    Raises:
        Refused: An unknown colour name, or what does not know its image.
    """
    return color_shares(image, [color])[0]


def color_shares(image: Coloured, colors: Sequence[str]) -> list[float]:
    """As `color_share`, of several colours at the cost of one."""
    wanted = [parse(color) for color in colors]
    rgb, weights, root = _pixels(image)
    total = max(float(weights.sum()), 1e-9)
    if is_drawing(root):
        shares = {each: float(weights[accepts(rgb, each)].sum() / total) for each in set(wanted)}
    else:
        lit, lightness = colors_in_light(rgb, weights, root), to_lab(rgb)[:, 0]
        shares = {each: _share_in_light(each, lit, lightness, weights) for each in set(wanted)}
    return [shares[each] for each in wanted]


def in_drawing(place: Coloured) -> bool:
    """Whether an object lies in a drawing, where colours are as they look."""
    image = place if isinstance(place, Image) else getattr(place, "image", None)
    return image is not None and is_drawing(image.root)


def _share_in_light(
    wanted: tuple[str, str], lit: LitColors, lightness: NDArray[np.float32], weights: NDArray[np.float64]
) -> float:
    """Share, 0 to 1, of the pixels (N,) of an object in a photograph that are of a colour and tone."""
    total = max(float(weights.sum()), 1e-9)
    toned = {"dark": lightness <= 50, "light": lightness >= 60, "": lightness >= 0}[wanted[1]]
    share = float(weights[(lit.names == wanted[0]) & toned].sum() / total)
    likely = wanted[0] in lit.candidates and weights[toned].sum() >= 0.5 * total
    return max(share, 0.5) if likely else share


def _pixels(place: Coloured) -> tuple[NDArray[np.uint8], NDArray[np.float64], Image]:
    """The pixels (N, 3) of an object, their weights (N,), and the whole image that it lies in."""
    if isinstance(place, Image):
        image, box, mask = place, place.box, None
    elif isinstance(place, Region) and place.image is not None:
        image, box, mask = place.image.root, place.box, place.mask
    else:
        raise Refused(
            f"a {type(place).__name__} does not know its image: give crop(image, it) for its colour"
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
    if isinstance(place, Image) or part.width < 3 or part.height < 3:
        weights = np.ones((height, width))
    else:  # an object fills the middle of its box, and its rim is often background
        y = (np.arange(height) + 0.5) / height * 2 - 1
        x = (np.arange(width) + 0.5) / width * 2 - 1
        weights = np.exp(-2.5 * (y[:, None] ** 2 + x[None, :] ** 2))
        own = _own(image, part, stride, weights)
        weights = own if is_drawing(image) else np.maximum(own, MIN_SURROUNDING_WEIGHT * weights)
    return pixels.reshape(-1, 3), weights.ravel(), image.root


def _evenness(rgb: NDArray[np.uint8], weights: NDArray[np.float64]) -> float:
    """Share of the weights of pixels (N, 3) within `NOISE_LEVELS` of the most frequent colour, in each channel."""
    cells = (rgb >> 4).astype(np.intp) @ np.array([256, 16, 1])
    peak = int(np.bincount(cells, weights, 4096).argmax())
    center = np.average(rgb[cells == peak], 0, weights[cells == peak] + 1e-9)
    near = (np.abs(rgb - center) <= NOISE_LEVELS).all(1)
    return float(weights[near].sum() / max(float(weights.sum()), 1e-9))


def _own(image: Image, part: Image, stride: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (h, w) of the pixels of a part, less for colours that lie around it, too.

    A colour counts by the share of it that is more frequent in the part than in the frame around it (histogram
    backprojection, Swain & Ballard 1991). The weights stay as they are if next to nothing would be left, or if nothing
    lies around.
    """
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
    """Cells (…), 8 along each channel, that colours (…, 3) lie in."""
    high = (pixels >> 5).astype(np.intp)
    return np.asarray(high[..., 0] * 64 + high[..., 1] * 8 + high[..., 2])

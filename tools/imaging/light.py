"""Colours of objects in photographs: judged against the light of the scene, with shade and dark parts set apart.

A photograph shows white objects grey and yellow ones brown wherever they lie in shade. The colour of an object is that
of its lit part: pixels are taken out of the scene's light, grouped into dark, neutral and coloured ones, and the
coloured ones of the most frequent hue are named by the brighter half of them. Hue, chroma and lightness are those of
OKLCh (Ottosson 2020).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.values.colors import linear
from visprog.values.image import Image

Floats = NDArray[np.float64]

MAX_TINT = 1.35
"""Greatest factor by which the light's colour is taken out of a channel, in linear light."""

MAX_GAIN = 1.4
"""Greatest factor by which a dim scene is brightened, in linear light."""

MIN_CHROMA = 0.033
"""Least chroma of a coloured pixel; dark pixels need more."""

MAX_DARK_LIGHTNESS = 0.36
"""Lightness below which a pixel without colour is a shadow, a window, or black."""

MIN_DARK_SHARE = 0.55
"""Share of dark pixels from which an object is black."""

HUE_SHARES = (0.38, 0.5)
"""Shares of one hue among pixels that are not dark: below the first an object has no colour, above the second it has,
between them that is too close to call."""

GLOSS_SHARE = 0.67
"""Share of the coloured pixels that highlights may make paler: a red with gloss on it looks pink (the dichromatic
reflection model, Shafer 1985)."""

GREY_WHITE_LIGHTNESS = (0.68, 0.77)
"""Lightness of the upper quarter of an object without colour: grey below the first, white above the second."""

MIN_PALE_CHROMA = 0.022
"""Mean chroma from which pixels without colour may together be of a pale one."""

HUES = ((12, "pink"), (42, "red"), (72, "orange"), (116, "yellow"), (172, "green"), (220, "cyan"), (283, "blue"),
        (325, "purple"), (361, "pink"))  # fmt: skip
"""End of each range of hues in degrees, and its name for light and vivid colours."""

TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])


class LitColors(NamedTuple):
    """Colours of an object in a photograph.

    Attributes:
        candidates: names that most of it may have, the likelier first; more than one if that is too close to call.
        names: (N,) the name of each pixel in full light.
        lightness: (N,) of the pixels, 0 to 1.
    """

    candidates: tuple[str, ...]
    names: NDArray[np.str_]
    lightness: Floats


def colors_in_light(rgb: NDArray[np.uint8], weights: Floats, root: Image) -> LitColors:
    """Colours of an object by its pixels (N, 3), their weights (N,), and the photograph that it lies in."""
    lit = linear(rgb) * light(root)
    lab = to_oklab(
        lit / np.maximum(lit.max(1, keepdims=True), 1)
    )  # keeps the hue of what would be too bright
    lightness, chroma, hue = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2]), _hue(lab)
    colored = (chroma >= MIN_CHROMA + 0.15 * np.clip(0.4 - lightness, 0, 0.2)) & (lightness < 0.985)
    dark = (lightness < MAX_DARK_LIGHTNESS) & ~colored
    neutral = ~dark & ~colored
    names = name_lit(lab)
    names[dark] = "black"
    names[neutral] = np.where(lightness[neutral] > 0.93, "white", "grey")
    hue_name, share = "", 0.0
    if weights[colored].sum() > 0:
        same = colored & (_turn(hue, _mode(hue[colored], (weights * chroma)[colored])) <= 30)
        upper = same & (lightness >= _quantile(lightness[same], weights[same], 0.5))
        (hue_name,) = name_lit(np.average(lab[upper], 0, (weights * chroma)[upper])[None])
        vivid = same & (chroma >= _quantile(chroma[same], weights[same], GLOSS_SHARE))
        (own,) = name_lit(np.average(lab[vivid], 0, (weights * chroma)[vivid])[None])
        if (hue_name, own) == ("pink", "red"):
            hue_name = own
        names[same] = hue_name
        share = weights[same].sum() / weights[~dark].sum()
    plain = _plain(lab[neutral], weights[neutral])
    if plain == ("white",):
        names[neutral & (lightness > 0.5)] = "white"
    darkness = weights[dark].sum() / max(float(weights.sum()), 1e-9)
    if darkness >= MIN_DARK_SHARE:
        found: tuple[str, ...] = (
            ("black", hue_name) if share >= HUE_SHARES[1] and darkness < 0.75 else ("black",)
        )
    elif share >= HUE_SHARES[1]:
        found = (hue_name,)
    elif share >= HUE_SHARES[0] or weights[colored].sum() > weights[neutral].sum():
        found = (hue_name, *plain)
    elif darkness > MIN_DARK_SHARE - 0.1:
        found = ("black", *plain)
    else:
        found = plain
    return LitColors(tuple(dict.fromkeys(map(str, found))), names, lightness)


def name_lit(lab: Floats) -> NDArray[np.str_]:
    """(N, 3) OKLab of coloured surfaces in full light → (N,) names."""
    lightness, chroma, hue = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2]), _hue(lab)
    ends, plain = np.array([end for end, _ in HUES]), np.array([name for _, name in HUES])
    names = plain[np.searchsorted(ends, hue, side="right")]
    pink, red, orange, yellow = ((names == name) for name in ("pink", "red", "orange", "yellow"))
    return np.select(
        [
            pink & (lightness < 0.55) & ((hue < 12) | (hue > 350)),
            pink & (lightness < 0.74) & (hue > 3) & (hue < 12) & (chroma > 0.15),
            pink & (lightness < 0.55),
            red & (lightness > 0.74) & (chroma < 0.17),
            red & (chroma < 0.095),
            (orange & (chroma < 0.08) | yellow & (chroma < 0.085)) & (lightness > 0.67),
            orange & ((lightness < 0.48) | (lightness < 0.6) & (chroma < 0.135) | (chroma < 0.105)),
            yellow & (lightness < 0.6) & (hue < 102),
            yellow & (lightness < 0.6),
        ],
        ["red", "red", "purple", "pink", "brown", "beige", "brown", "brown", "green"],
        names,
    ).astype("<U6")


@lru_cache(maxsize=8)
def light(root: Image) -> tuple[float, float, float]:
    """Factors for linear red, green and blue that make a photograph as white light of full strength would.

    The light's colour is that of the brightest surfaces without much colour of their own (white patch, Land 1977); its
    strength is that of the brightest 2 %. Both are limited: a photograph may show nothing that is white.
    """
    stride = max(1, int((root.width * root.height / 20_000) ** 0.5))
    seen = linear(cv2.blur(root.pixels, (3, 3))[::stride, ::stride].reshape(-1, 3))
    luminance = seen @ LUMINANCE
    chroma = np.hypot(*to_oklab(seen)[:, 1:].T)
    patch = (luminance >= np.quantile(luminance, 0.85)) & (chroma < 0.06)
    tint = np.ones(3)
    if patch.mean() > 0.02:
        white = seen[patch].mean(0)
        tint = np.clip(white @ LUMINANCE / np.maximum(white, 1e-6), 1 / MAX_TINT, MAX_TINT)
    level = max(float(np.quantile(seen * tint @ LUMINANCE, 0.98)), 1e-6)
    red, green, blue = (tint * np.clip(0.9 / level, 1, MAX_GAIN)).tolist()
    return red, green, blue


def to_oklab(light: Floats) -> Floats:
    """Linear RGB (N, 3) → OKLab (N, 3)."""
    return np.asarray(np.cbrt(light @ TO_LMS.T) @ TO_LAB.T)


def _plain(lab: Floats, weights: Floats) -> tuple[str, ...]:
    """Names that pixels without colour (N, 3) may have together, the likelier first."""
    if weights.sum() <= 0:
        return ("grey",)
    upper = _quantile(lab[:, 0], weights, 0.75)
    grey, white = GREY_WHITE_LIGHTNESS
    names = ("white",) if upper >= white else ("white", "grey") if upper >= grey else ("grey",)
    mean = np.average(lab, 0, weights)[None]
    return (*names, str(name_lit(mean)[0])) if np.hypot(*mean[0, 1:]) > MIN_PALE_CHROMA else names


def _hue(lab: Floats) -> Floats:
    """Angles (N,) of colours (N, 3), in degrees from 0 to 360."""
    return np.asarray(np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360)


def _turn(hue: Floats, other: float) -> Floats:
    """Angles between hues, 0 to 180 degrees."""
    return np.abs((hue - other + 180) % 360 - 180)


def _mode(hue: Floats, weights: Floats) -> float:
    """The most frequent hue, in degrees: the peak of a smoothed histogram of 36 cells."""
    counts = np.bincount((hue // 10).astype(np.intp) % 36, weights, 36)
    smooth = sum(
        np.roll(counts, k) * share for k, share in ((-2, 0.3), (-1, 0.7), (0, 1.0), (1, 0.7), (2, 0.3))
    )
    return float(np.argmax(smooth)) * 10 + 5


def _quantile(values: Floats, weights: Floats, share: float) -> float:
    """The value below which a share of the weight lies."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, share * total[-1])])

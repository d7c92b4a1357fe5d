"""Colours by name: the colour of an image or object, and whether it is of a colour."""

from __future__ import annotations

from visprog.errors import Refused
from visprog.registry import caution, tool
from visprog.registry.sees import Parsed, Sees
from visprog.values import Circle, Line, Polygon, Region
from visprog.values.colors import parse
from visprog.values.image import Image

from .imaging.object_colors import color_share, in_drawing, likely_colors

MIN_SHARE = 0.25
"""Least share of an object that is of its colour."""
NEAR_SHARE = 0.1
"""Distance from that share within which a photograph does not tell."""

COLOR = Parsed(parse)
"""The texts that name a colour."""


@tool
def dominant_color(image: Image | Region | Circle | Polygon | Line) -> str:
    """The colour that covers most of an image, or an object found in it, as a basic colour name.

    One of black, white, grey, red, orange, yellow, green, cyan, blue, purple, pink, brown, beige. In a region
    with a mask only its own pixels count; without, the middle of the box counts more than its rim, and what is also
    around the box counts less. In a photograph it is the colour in full light, not that of a shade.

    Raises:
        Refused: two colours are too close to call in a photograph (has_color is true of both).
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
def has_color(image: Image | Region | Circle | Polygon | Line, color: str) -> bool:
    """True if an image, or an object found in it, is of this colour to a good part: a quarter, not a few
    pixels.

    Common names and synonyms are known ("grey", "navy", "dark green", "light-blue").

    Raises:
        Refused: an unknown colour name.
    """
    if isinstance(image, Circle | Polygon | Line) and image.color:
        return image.color == parse(color)[0]
    share = color_share(image, color)
    if abs(share - MIN_SHARE) < NEAR_SHARE and not in_drawing(image):
        caution(
            f"{color} covers about {share:.0%} of an object, and is taken for its colour from {MIN_SHARE:.0%}: it may "
            "be that of a part, such as a shirt"
        )
    return share >= MIN_SHARE

"""Measures of images and regions: how sharp and how bright, how much of an image, how long in the units of something
whose length is known."""

from __future__ import annotations

import math
from typing import Literal

from visprog.errors import Refused, ToolError
from visprog.registry import caution, tool
from visprog.values import Located, Region
from visprog.values.image import Image

from .detect import detect
from .imaging.focus import focus
from .imaging.region_masks import check_regions, covered
from .imaging.sides import sides_of
from .imaging.thinned import lightness, part_of
from .segment import segment

MIN_REFERENCE = 10
"""Least size, in pixels, of what is measured by: a pixel more or less would change the result by a tenth."""

ONE_PLANE = (
    "measure compares sizes in the image: they are right if both objects lie equally far from the camera, and neither "
    "turns away from it"
)


@tool(limits="strong noise counts as sharpness; an image without edges has none")
def sharpness(image: Image | Region) -> float:
    """How sharp the sharpest part of an image or region is, 0 to 1: in photographs mostly 0.65 and more where the focus
    is, below 0.45 if it is blurred or shaken."""
    return focus(part_of(image).pixels)


@tool
def brightness(image: Image | Region) -> float:
    """Mean lightness of an image or region as people see it, 0 (black) to 100 (white); below 35 is dark, above 65
    bright."""
    return lightness(image)


@tool(phrases={"regions": "detect.what"})
def area_share(image: Image, regions: list[Located] | str) -> float:
    """The share, 0 to 1, of an image's area that regions cover together: of masks (`segment`) their pixels, of others
    their boxes or outlines. For a noun phrase, that of all such objects, each segmented.

    Raises:
        Refused: the phrase names what `detect` cannot see.
    """
    if isinstance(regions, str):
        regions = [segment(image, region) for region in detect(image, regions)]
    check_regions(image, regions, "area_share")
    return covered(image, regions)


@tool(limits="both objects must lie equally far from the camera and face it: perspective is not taken out")
def measure(
    region: Located,
    reference: Located,
    length: float,
    side: Literal["longer", "shorter", "width", "height"] = "longer",
    reference_side: Literal["longer", "shorter", "width", "height"] = "longer",
) -> float:
    """The size of an object by that of a reference object in the same image.

    Args:
        length: the real size of the reference along its `reference_side`; the result has its unit.
        side: what is measured: "longer" or "shorter" along the object itself, if its mask is known (`segment`); "width"
            and "height" upright.

    Raises:
        ToolError: the length is not above 0, the reference is too small, or the two lie in different images.
    """
    if not (math.isfinite(length) and length > 0):
        raise ToolError(f"measure needs the real length of the reference, a number above 0, not {length}")
    images = [getattr(each, "image", None) for each in (region, reference)]
    if len({image.root.digest for image in images if image is not None}) > 1:
        raise ToolError("measure needs an object and a reference in one image: these lie in two")
    known = sides_of(reference)[reference_side]
    if known < MIN_REFERENCE:
        raise Refused(
            f"measure: the reference has {known:.0f} pixels ({reference_side}), too few to measure by: at "
            f"least {MIN_REFERENCE} are needed"
        )
    caution(ONE_PLANE)
    return sides_of(region)[side] / known * length

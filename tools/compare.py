"""Images compared by their pixels: what differs between two, and which are alike."""

from __future__ import annotations

from visprog.errors import ToolError
from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image

from .imaging.differences import differences
from .imaging.likeness import Likeness


@tool(
    limits="two images of one view, of one size or scale; noise, a small shift of the camera and a change of the whole "
    "light do not count, shadows do"
)
def compare_images(a: Image, b: Image) -> list[Region]:
    """Where two images of one view differ: regions of `a`, the largest first, each with a mask. Empty if they are the
    same.

    Raises:
        Refused: the images show different views, or differ nearly everywhere.
    """
    return differences(a, b)


@tool(limits="compares appearance, not meaning: two photographs of two dogs are not alike")
def similar(image: Image, images: list[Image]) -> list[float]:
    """How much each of `images` looks like `image`, 0 to 1: above 0.8 a copy, also scaled, cropped, turned or in other
    light; 0.5 to 0.8 the same scene or much of the same colours in the same places; below that another image.

    Raises:
        ToolError: there are no images to compare with.
    """
    if not images:
        raise ToolError("similar got no images to compare with")
    one = Likeness.of(image)
    return [one.to(Likeness.of(other)) for other in images]

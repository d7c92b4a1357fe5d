"""A sample of the pixels of an image or region, and the lightness of it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Region
from visprog.values.colors import to_lab
from visprog.values.image import Image

MAX_SAMPLE = 100_000
"""Number of pixels of a sample, about."""


def thinned(image: Image | Region) -> NDArray[np.uint8]:
    """The pixels (N, 3) of an image, or of a region's mask or box, thinned to some 100,000.

    Raises:
        ToolError: The region does not know its image.
    """
    part = part_of(image)
    step = max(1, int((part.width * part.height / MAX_SAMPLE) ** 0.5))
    pixels = part.pixels[::step, ::step]
    mask = None if isinstance(image, Image) else image.mask
    inside = None if mask is None else mask.within(part.box)[::step, ::step]
    return pixels[inside] if inside is not None and inside.any() else pixels.reshape(-1, 3)


def part_of(image: Image | Region) -> Image:
    """The image, or the part of it under the box of a region.

    Raises:
        ToolError: The region does not know its image.
    """
    if isinstance(image, Image):
        return image
    if image.image is None:
        raise ToolError("this region does not know its image: give crop(image, region)")
    part: Image = image.image.crop(image)
    return part


def lightness(image: Image | Region) -> float:
    """Mean CIELAB lightness, 0 (black) to 100 (white)."""
    return float(to_lab(thinned(image)).mean(0)[0])

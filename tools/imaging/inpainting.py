"""What an edit fills anew: the pixels of regions with a rim around them, and windows in which a model fills them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Located
from visprog.values.image import Image

from .region_masks import check_regions, grown, reach, region_mask

RIM, MIN_RIM = 0.03, 2
"""Width of the rim around a region, as a share of its longer side, and its least width in pixels: a mask or a box
leaves out the soft edge of an object, which would show."""

MAX_PARTS = 64
"""Number of parts, each of them in a window of its own, that a model fills in one call."""

MAX_REDUCTION = 4
"""Number of pixels of a window, along each side, for each one that a model sees."""

Draw = Callable[[NDArray[np.uint8], NDArray[np.bool_]], NDArray[np.uint8]]
"""A square image (side, side, 3) and its pixels to fill (side, side) → the image with these filled."""


class Hole(NamedTuple):
    """Pixels to fill.

    Attributes:
        inside: (H, W), those of the regions.
        pixels: (H, W), these and the rim: no other pixel changes.
    """

    inside: NDArray[np.bool_]
    pixels: NDArray[np.bool_]


def find_hole(image: Image, regions: Located | list[Located], tool: str) -> Hole:
    """The pixels of regions, and a rim around each.

    Raises:
        ToolError: there is no region, one has no pixel in the image, or they are too large together.
    """
    import cv2

    if isinstance(regions, list) and not regions:
        raise ToolError(f"{tool} got no region: nothing was found")
    several = regions if isinstance(regions, list) else [regions]
    check_regions(image, several, tool)
    inside, pixels = np.zeros((2, image.height, image.width), bool)
    for region in several:
        window = reach(image, region)
        own = None if window is None else region_mask(image, region, window)
        if window is None or own is None or not own.any():
            raise ToolError(f"{tool}: the region {region.box} has no pixel in the image, {image.box}")
        inside[window] |= own
        rim = max(MIN_RIM, round(RIM * max(cv2.boundingRect(own.astype(np.uint8))[2:])))
        wide = reach(image, region, rim + 1) or window
        pixels[wide] |= grown(region_mask(image, region, wide), rim + 0.5)
    return Hole(inside, pixels)


def find_removed(image: Image, regions: Located | list[Located]) -> Hole:
    """As `find_hole`, for `remove`.

    Raises:
        ToolError: as `find_hole`; or nothing of the image is left.
    """
    hole = find_hole(image, regions, "remove")
    if hole.pixels.all():
        raise ToolError("remove cannot fill the whole image: nothing is left to fill it from")
    return hole


def fill(image: Image, hole: Hole, size: int, context: float, draw: Draw) -> Image:
    """A copy of an image whose hole a model has filled, each part of it in a window of its own and at full resolution.

    What is drawn is mixed with the image in the rim, and no pixel beyond it changes.

    Args:
        size: side of the squares that the model takes, in pixels.
        context: side of a window, as a multiple of the longer side of the part in it.
        draw: the model.

    Raises:
        ToolError: the hole has too many parts.
    """
    import cv2

    pixels, weights = image.pixels.copy(), _weights(hole)
    count, parts, boxes, _ = cv2.connectedComponentsWithStats(hole.pixels.astype(np.uint8))
    if count - 1 > MAX_PARTS:
        raise ToolError(
            f"the regions fall into {count - 1} parts that lie apart, each of which a model would fill: "
            f"at most {MAX_PARTS} are filled in one call"
        )
    for number, (left, top, width, height, _) in zip(range(1, count), boxes[1:].tolist(), strict=True):
        side = max(round(context * max(width, height)), 8)
        first = _start(top, height, side, image.height), _start(left, width, side, image.width)
        step = max(1, side // (MAX_REDUCTION * size))  # of a large window, a share of the pixels will do
        rows, columns = (
            np.arange(start, start + side, step).clip(0, length - 1)  # beyond the image, its edge is repeated
            for start, length in zip(first, (image.height, image.width), strict=True)
        )
        window = np.ix_(rows, columns)
        seen, holes = pixels[window], hole.pixels[window].astype(np.float32)
        drawn = draw(_resized(seen, size), _resized(holes, size) > 0.01)
        place = np.s_[top : top + height, left : left + width]
        own = _part(drawn, side, (left - first[1], top - first[0], width, height))
        weight = (weights[place] * (parts[place] == number))[..., None]
        mixed = weight * own + (1 - weight) * pixels[place]
        pixels[place] = mixed.round().astype(np.uint8)
    return Image(pixels, image.alpha, image.name)


def _weights(hole: Hole) -> NDArray[np.float32]:
    """By how much each pixel (H, W) is filled: 1 in the regions, less and less in the rim, 0 beyond."""
    import cv2

    to_region = cv2.distanceTransform((~hole.inside).astype(np.uint8), cv2.DIST_L2, 5)
    to_rest = cv2.distanceTransform(np.pad(hole.pixels, 1, mode="edge").astype(np.uint8), cv2.DIST_L2, 5)
    to_rest = to_rest[1:-1, 1:-1]
    weights: NDArray[np.float32] = np.where(hole.pixels, to_rest / np.maximum(to_rest + to_region, 1e-6), 0)
    return weights


def _start(first: int, length: int, side: int, whole: int) -> int:
    """Where a window of `side` pixels around `length` of them begins: moved into the image if it fits in there."""
    start = first + length // 2 - side // 2
    return min(max(start, min(0, whole - side) // 2), max(whole - side, (whole - side) // 2))


def _resized(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    import cv2

    filtered = cv2.INTER_AREA if side < len(pixels) else cv2.INTER_CUBIC
    resized: NDArray[Any] = cv2.resize(np.ascontiguousarray(pixels), (side, side), interpolation=filtered)
    return resized


def _part(pixels: NDArray[np.uint8], side: int, place: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """A part (left, top, width, height) of square pixels brought to a side, without the rest of them."""
    import PIL.Image

    left, top, width, height = place
    scale = len(pixels) / side
    box = (left * scale, top * scale, (left + width) * scale, (top + height) * scale)
    part = PIL.Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (width, height), PIL.Image.Resampling.BICUBIC, box
    )
    return np.asarray(part)

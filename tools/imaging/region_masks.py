"""Pixels of regions in an image: their outlines, and soft masks of what an edit keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Circle, Line, Located, Polygon, Region
from visprog.values.image import Image

from .grabcut import grabcut_mask

MIN_SIDE = 4
"""Least side, in pixels, of the box of a region: a drawn line has a box without height."""


def soft_mask(image: Image, regions: Sequence[Located]) -> NDArray[np.float32] | None:
    """The share (H, W), 0 to 1, by which each pixel belongs to one of the regions, with soft edges.

    A region without a mask is cut out of its box by GrabCut.

    Returns:
        None if all regions lie outside the image.
    """
    whole = np.zeros((image.height, image.width), bool)
    for region in regions:
        box = region.box.intersection(image.box)
        if box is None and not isinstance(region, Line):
            continue
        if (
            box is None
            or isinstance(region, Circle | Polygon | Line)
            or getattr(region, "mask", None) is not None
        ):
            whole |= region_mask(image, region)
        else:
            whole |= grabcut_mask(image, box).within(image.box)
    return _feathered(image.pixels, whole) if whole.any() else None


def _feathered(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A mask with edges that follow the image's own (the guided filter, He, Sun & Tang 2010)."""
    import cv2

    radius = max(2, round(max(mask.shape) / 160))
    guide = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    size = (2 * radius + 1, 2 * radius + 1)
    share = mask.astype(np.float32)
    mean_g, mean_s = cv2.blur(guide, size), cv2.blur(share, size)
    covariance = cv2.blur(guide * share, size) - mean_g * mean_s
    slope = covariance / (cv2.blur(guide * guide, size) - mean_g**2 + 1e-3)
    base = mean_s - slope * mean_g
    soft = cv2.blur(slope, size) * guide + cv2.blur(base, size)
    # Stretched, so that what is well inside is kept whole and what is well outside is not kept at all.
    feathered: NDArray[np.float32] = np.clip((soft - 0.15) / 0.7, 0, 1)
    return feathered


def region_mask(image: Image, region: Located) -> NDArray[np.bool_]:
    """The pixels (H, W) of a region in the image: of its mask or shape if it has one, else of its box."""
    import cv2

    def local(points: Any) -> NDArray[np.int32]:
        places = np.array([[p.x - image.origin.x, p.y - image.origin.y] for p in points])
        sixteenths: NDArray[np.int32] = np.round(places * 16).astype(np.int32)  # drawn with shift=4
        return sixteenths

    canvas = np.zeros((image.height, image.width), np.uint8)
    if isinstance(region, Region) and region.mask is not None and region.mask.area:
        return region.mask.within(image.box)
    if isinstance(region, Circle):
        (center,) = local([region.center]).tolist()
        cv2.circle(canvas, center, round(region.radius * 16), 1, -1, shift=4)
    elif isinstance(region, Polygon):
        cv2.fillPoly(canvas, [local(region.points)], 1, shift=4)
    elif isinstance(region, Line):
        cv2.polylines(canvas, [local(region.points)], False, 1, max(3, round(max(image.size) / 120)), shift=4)
    else:
        window = rows_and_columns(image.to_local(region), image)
        if window is not None:
            canvas[window] = 1
    return canvas.astype(bool)


def solid_box(region: Located) -> Box:
    """The box of a region, of at least `MIN_SIDE` pixels a side."""
    box = region.box
    dx, dy = max(0.0, MIN_SIDE - box.width) / 2, max(0.0, MIN_SIDE - box.height) / 2
    return Box(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy)


def rows_and_columns(box: Box, image: Image) -> tuple[slice, slice] | None:
    """Rows and columns under a box in the image's own pixels; None if it lies outside."""
    inner = box.intersection(Box(0, 0, image.width, image.height))
    if inner is None:
        return None
    return (
        slice(int(np.floor(inner.top)), int(np.ceil(inner.bottom))),
        slice(int(np.floor(inner.left)), int(np.ceil(inner.right))),
    )

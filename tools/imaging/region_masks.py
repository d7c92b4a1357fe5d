"""Pixels of regions in an image: their outlines, and soft masks of what an edit keeps.

A region is looked at in a window, the rows and columns of the image that hold it: its cost is that of its own size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Box, Circle, Line, Located, Mask, Polygon, Region
from visprog.values.image import Image

from .grabcut import grabcut_mask

Window: TypeAlias = tuple[slice, slice]
"""Rows and columns of an image."""

MIN_SIDE = 4
"""Least side, in pixels, of the box of a region: a drawn line has a box without height."""

MAX_PIXELS = 300_000_000
"""Number of pixels of all regions of one edit together, pixels that several of them hold counted for each."""

MAX_CUT = 32
"""Number of regions that are cut out of their boxes by GrabCut: the largest ones."""


def check_regions(image: Image, regions: Sequence[Located], tool: str) -> None:
    """Raise `ToolError` if regions are too large together to be edited one after another."""
    windows = [reach(image, region) for region in regions]
    total = sum(_length(rows) * _length(columns) for rows, columns in filter(None, windows))
    if total > MAX_PIXELS:
        raise ToolError(
            f"{tool}: the {len(regions)} regions hold {total / 1e6:.0f} million pixels of the image, too many of them "
            f"several times: give fewer or smaller ones, of {MAX_PIXELS / 1e6:.0f} million pixels together at most"
        )


def soft_mask(image: Image, regions: Sequence[Located]) -> NDArray[np.float32] | None:
    """The share (H, W), 0 to 1, by which each pixel belongs to one of the regions, with soft edges.

    A region without a mask is cut out of its box by GrabCut; of many, the largest ones.

    Returns:
        None if all regions lie outside the image.
    """
    whole = np.zeros((image.height, image.width), bool)
    boxes = {i: box for i, region in enumerate(regions) if (box := _bare_box(image, region)) is not None}
    cut = sorted(boxes, key=lambda i: -boxes[i].area)[:MAX_CUT]
    for i, region in enumerate(regions):
        if i in cut:
            region = Region(boxes[i], mask=grabcut_mask(image, boxes[i]))
        window = reach(image, region)
        if window is not None:
            whole[window] |= region_mask(image, region, window)
    return _feathered(image.pixels, whole) if whole.any() else None


def _bare_box(image: Image, region: Located) -> Box | None:
    """The part of a region's box in the image, if the region is no more than its box."""
    known = isinstance(region, Circle | Polygon | Line) or mask_of(region) is not None
    return None if known else region.box.intersection(image.box)


def mask_of(region: Located) -> Mask | None:
    """The mask of a region, if it has one that holds a pixel."""
    mask = region if isinstance(region, Mask) else getattr(region, "mask", None)
    return mask if isinstance(mask, Mask) and mask.area else None


def _feathered(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A mask with edges that follow the image's own: the guided filter (He, Sun & Tang 2010), whose coefficients are
    computed on a smaller copy of a large image (He & Sun 2015)."""
    import cv2

    height, width = mask.shape
    radius = max(2, round(max(mask.shape) / 160))
    grey = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY)
    # coefficients
    step = max(1, radius // 4)
    small = max(1, round(width / step)), max(1, round(height / step))
    guide = cv2.resize(grey, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    share = (
        cv2.resize(255 * mask.astype(np.uint8), small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    )
    size = (2 * (radius // step) + 1, 2 * (radius // step) + 1)
    mean_g, mean_s = cv2.blur(guide, size), cv2.blur(share, size)
    covariance = cv2.blur(guide * share, size) - mean_g * mean_s
    slope = covariance / (cv2.blur(guide * guide, size) - mean_g**2 + 1e-3)
    base = cv2.blur(mean_s - slope * mean_g, size)
    slope = cv2.blur(slope, size) / 255
    # the mask
    if step > 1:
        slope, base = (
            cv2.resize(each, (width, height), interpolation=cv2.INTER_LINEAR) for each in (slope, base)
        )
    slope *= grey
    slope += base
    # Stretched, so that what is well inside is kept whole and what is well outside is not kept at all.
    slope -= 0.15
    slope /= 0.7
    feathered: NDArray[np.float32] = slope.clip(0, 1, out=slope)
    return feathered


def region_mask(image: Image, region: Located, window: Window | None = None) -> NDArray[np.bool_]:
    """The pixels (H, W) of a region in a window of the image: of its mask or shape if it has one, else of its box.

    Args:
        window: By default the whole image.
    """
    import cv2

    rows, columns = window or (slice(0, image.height), slice(0, image.width))
    x, y = image.origin.x + columns.start, image.origin.y + rows.start
    width, height = _length(columns), _length(rows)

    def local(points: Any) -> NDArray[np.int32]:
        places = np.array([[p.x - x, p.y - y] for p in points])
        sixteenths: NDArray[np.int32] = np.round(places.clip(-1e8, 1e8) * 16).astype(
            np.int32
        )  # drawn with shift=4
        return sixteenths

    if (mask := mask_of(region)) is not None:
        return mask.within(Box(x, y, x + width, y + height))
    canvas = np.zeros((height, width), np.uint8)
    if isinstance(region, Circle):
        (center,) = local([region.center]).tolist()
        cv2.circle(canvas, center, round(region.radius * 16), 1, -1, shift=4)
    elif isinstance(region, Polygon):
        cv2.fillPoly(canvas, [local(region.points)], 1, shift=4)
    elif isinstance(region, Line):
        cv2.polylines(canvas, [local(region.points)], False, 1, _pen(image), shift=4)
    else:
        inner = rows_and_columns(image.to_local(region), image)
        if inner is not None:
            canvas[_moved(inner[0], rows), _moved(inner[1], columns)] = 1
    return canvas.astype(bool)


def covered(image: Image, regions: Sequence[Located]) -> float:
    """The share, 0 to 1, of an image's pixels that regions cover together."""
    whole = np.zeros((image.height, image.width), bool)
    for region in regions:
        window = reach(image, region)
        if window is not None:
            whole[window] |= region_mask(image, region, window)
    return float(np.count_nonzero(whole) / whole.size)


def reach(image: Image, region: Located, rim: float = 0.0) -> Window | None:
    """The rows and columns of an image that hold all pixels of a region; None if it lies outside.

    Args:
        rim: Number of pixels around the region that they hold, too.
    """
    pen = 0.0
    if isinstance(region, Circle | Polygon | Line):
        pen = 2.0 + (_pen(image) / 2 if isinstance(region, Line) else 0.0)
    own = image.to_local(mask_of(region) or region)
    return rows_and_columns(own.expand(pen + rim) if pen + rim else own, image)


def grown(mask: NDArray[np.bool_], rim: float) -> NDArray[np.bool_]:
    """A mask (H, W) with all pixels within a rim around it, at a cost that does not grow with the rim."""
    import cv2

    away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    near: NDArray[np.bool_] = away <= rim
    return near


def solid_box(region: Located) -> Box:
    """The box of a region, of at least `MIN_SIDE` pixels a side."""
    box = region.box
    dx, dy = max(0.0, MIN_SIDE - box.width) / 2, max(0.0, MIN_SIDE - box.height) / 2
    return Box(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy)


def rows_and_columns(box: Box, image: Image) -> Window | None:
    """Rows and columns under a box in the image's own pixels; None if it lies outside."""
    inner = box.intersection(Box(0, 0, image.width, image.height))
    if inner is None:
        return None
    return (
        slice(int(np.floor(inner.top)), int(np.ceil(inner.bottom))),
        slice(int(np.floor(inner.left)), int(np.ceil(inner.right))),
    )


def _pen(image: Image) -> int:
    """Width, in pixels, of a drawn line."""
    return max(3, round(max(image.size) / 120))


def _length(part: slice) -> int:
    return int(part.stop - part.start)


def _moved(part: slice, within: slice) -> slice:
    """A part of the rows or columns of an image as one of those of a window."""
    return slice(max(part.start - within.start, 0), max(min(part.stop, within.stop) - within.start, 0))

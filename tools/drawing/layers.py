"""The pixels of a drawing parted into areas of flat colour, ink, and the soft edges between."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .ground import length

Array = NDArray[Any]
MAX_RIM_DEVIATION = 45.0
"""RGB levels by which JPEG moves the colour of a soft rim."""


def separate(
    rgb: Array, palette: Array, ground: int, tolerance: float, pen: int, rim: int
) -> tuple[Array, Array] | None:
    """Part a drawing into areas and ink, see `Drawing`; None if it has no flat colours, as a photograph.

    Args:
        rgb: (H, W, 3) working pixels.
        palette: (K, 3) flat colours.
        ground: Number of the ground's colour in the palette.
        tolerance: Distance, in RGB levels, up to which a pixel is of a colour of the palette.
        pen: Width in pixels: a wider piece is an area.
        rim: Width, in pixels, of the soft edge between two areas, on each side.
    """
    shape = rgb.shape[:2]
    flat = rgb.reshape(-1, 3)
    # distances of the pixels that are not plainly ground from the colours of the palette
    other = np.flatnonzero(length(flat - palette[ground]) > min(8.0, tolerance))
    distance = np.empty((len(other), len(palette)), np.float32)
    for k, color in enumerate(palette):
        distance[:, k] = length(flat[other] - color)
    label = np.full(len(flat), ground)
    if len(other):
        label[other] = np.where(distance.min(1) > tolerance, -1, distance.argmin(1))
    # areas, and what is left open
    areas = _wide_areas(label.reshape(shape), ground, len(palette), pen)
    solid = np.where(label == ground, ground, -1)
    for k, wide in areas.items():
        solid[wide.ravel() > 0] = k
    undecided = solid[other] < 0
    left = other[undecided]
    if len(left) > 0.35 * len(flat):
        return None
    # soft edges go to the areas that they belong to; the rest is ink
    reach = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)
    beside = {k: cv2.dilate(mask, reach).ravel()[left] > 0 for k, mask in areas.items()}
    solid[left] = _soft_edges(flat[left], distance[undecided], palette, beside, tolerance)
    solid = solid.reshape(shape)
    return _number(solid, solid < 0, ground, len(palette))


def _wide_areas(label: Array, ground: int, colors: int, pen: int) -> dict[int, Array]:
    """Masks (H, W) of the pieces of each colour that are wider than a pen, by number; the ground's is whole.

    Args:
        label: (H, W) number of the colour of each pixel; -1 if it is of none.
        ground: Number of the ground's colour.
        colors: Number of colours.
        pen: Width of a pen in pixels.
    """
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    square = np.ones((3, 3), np.uint8)
    areas = {ground: (label == ground).astype(np.uint8)}
    for k in range(colors):
        if k == ground:
            continue
        mask = (label == k).astype(np.uint8)
        # the frame of the image ends an area, it does not thin it
        wide = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REPLICATE)
        if not wide.any():
            continue
        for _ in range(pen // 2 + 1):  # bring the corners back
            wide = cv2.dilate(wide, square) & mask
        wide = _without_strokes(wide, mask, pen)
        if wide.any():
            areas[k] = wide
    return areas


def _soft_edges(
    colors: Array, distance: Array, palette: Array, beside: dict[int, Array], tolerance: float
) -> Array:
    """Numbers (N,) of the areas that pixels of soft edges belong to; -1 for ink.

    Args:
        colors: (N, 3) of the pixels.
        distance: (N, K) of the pixels from the colours of the palette.
        palette: (K, 3).
        beside: Whether each pixel (N,) lies beside an area, by the area's number.
        tolerance: Distance up to which a pixel is of a colour, or of a mixture of two.
    """
    belongs, least = np.full(len(colors), -1), np.full(len(colors), np.float32(tolerance))
    # of nearly the colour of an area beside them
    for k, near in beside.items():
        take = near & (distance[:, k] < least)
        belongs[take], least[take] = k, distance[take, k]
    # mixtures of the colours of two areas beside them
    for a in beside:
        for b in beside:
            if b <= a:
                continue
            both = np.flatnonzero(beside[a] & beside[b] & (belongs < 0))
            axis = palette[b] - palette[a]
            share = (colors[both] - palette[a]) @ axis / (axis @ axis)
            off = np.linalg.norm(colors[both] - palette[a] - share[:, None] * axis, axis=1)
            mixed = (off < tolerance) & (share > -0.1) & (share < 1.1)
            belongs[both[mixed]] = np.where(share[mixed] < 0.5, a, b)
    return belongs


def _without_strokes(wide: Array, mask: Array, pen: int) -> Array:
    """An area mask without those parts that are strokes: the blobs where the corners of a broad stroke or
    two strokes meet, within the stroke's whole mask, and strokes wider than a pen, long for their even
    width."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    out = wide.copy()
    kept = np.bincount(parts[wide > 0], minlength=count)
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        if not kept[i]:
            continue
        here = parts[y : y + h, x : x + w] == i
        window = out[y : y + h, x : x + w]
        part = np.pad((here & (window > 0)).astype(np.uint8), 1)
        outlines, nesting = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        holes = [
            c for c, n in zip(outlines, nesting[0] if nesting is not None else (), strict=True) if n[3] >= 0
        ]
        small = [c for c in holes if cv2.contourArea(c) < 0.05 * kept[i]]  # what is written on an area
        cv2.drawContours(part, small, -1, 1, cv2.FILLED)
        around = (
            sum(cv2.arcLength(c, True) for c in outlines) - sum(cv2.arcLength(c, True) for c in small) + 1e-6
        )
        even = 2 * float(part.sum()) / around
        thickest = 2 * float(cv2.distanceTransform(part, cv2.DIST_L2, 5).max())
        blobs = kept[i] < 0.6 * area and thickest < 2.2 * pen
        if blobs or (even < 3 * pen and around / 2 > 6 * even and thickest < 1.8 * even + 2):
            window[here] = 0
    return out


def _number(solid: Array, ink: Array, ground: int, colors: int) -> tuple[Array, Array]:
    """Connected areas numbered from 2, the background 1; specks of ink dropped, compact dots made areas."""
    areas = np.zeros(solid.shape, np.int32)
    height, width = solid.shape
    number = 2
    for k in range(colors):
        if not (solid == k).any():
            continue
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (solid == k).astype(np.uint8), connectivity=4
        )
        for i in range(1, count):
            x, y, w, h, area = stats[i]
            here = parts[y : y + h, x : x + w] == i
            rim = x == 0 or y == 0 or x + w == width or y + h == height
            if k == ground and (rim or area > 0.5 * height * width):
                areas[y : y + h, x : x + w][here] = 1
            elif area >= 12:
                areas[y : y + h, x : x + w][here] = number
                number += 1
    count, parts, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    ink = ink.copy()
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        window = slice(y, y + h), slice(x, x + w)
        here = parts[window] == i
        if area < 8:
            ink[window][here] = False
        elif max(w, h) < 2.2 * min(w, h) and min(w, h) > 4 and area > 0.4 * w * h:
            part = np.pad(here.astype(np.uint8), 1)
            if 2 * cv2.distanceTransform(part, cv2.DIST_L2, 5).max() > 0.55 * min(w, h):
                ink[window][here] = False
                areas[window][here] = number
                number += 1
    return areas, ink


def absorb(rgb: Array, areas: Array, ink: Array, ground: Array, reach: float) -> None:
    """Take what JPEG leaves of the soft rims of areas out of the ink: thin seams, of colours between the ground's and
    the area's."""
    if areas.max() < 2:
        return
    away, nearest = cv2.distanceTransformWithLabels(
        (areas < 2).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    inside = areas > 1
    number = np.zeros(int(nearest.max()) + 1, np.int32)
    number[nearest[inside]] = areas[inside]
    counts = np.maximum(np.bincount(areas[inside]), 1)
    colors = (
        np.stack([np.bincount(areas[inside], rgb[..., k][inside]) for k in range(3)], 1) / counts[:, None]
    )
    y, x = np.nonzero(ink & (away <= reach))
    numbers = number[nearest[y, x]]
    axis, offset = colors[numbers] - ground, rgb[y, x] - ground
    share = (offset * axis).sum(1) / np.maximum((axis * axis).sum(1), 1)
    seam = (length(offset - share[:, None] * axis) < MAX_RIM_DEVIATION) & (share < 1.1)
    ink[y[seam], x[seam]] = False
    areas[y[seam], x[seam]] = np.where(share > 0.5, numbers, 0)[seam]

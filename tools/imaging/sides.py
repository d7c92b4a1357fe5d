"""Sides of objects: of their own outlines where these are known, else of their boxes."""

from __future__ import annotations

import numpy as np

from visprog.values import Circle, Line, Located, Polygon

from .region_masks import mask_of


def sides_of(region: Located) -> dict[str, float]:
    """Pixels of the "longer" and the "shorter" side, the "width" and the "height" of an object.

    The longer and the shorter side are those of the smallest rectangle, at any angle, around a mask or outline; of a
    line, its length and 0.
    """
    import cv2

    box = region.box
    long, short = box.width, box.height
    mask = mask_of(region)
    if isinstance(region, Line):
        long, short = region.length, 0.0
    elif isinstance(region, Polygon):
        points = np.array([[p.x - box.left, p.y - box.top] for p in region.points], np.float32)
        long, short = cv2.minAreaRect(points)[1]
    elif isinstance(region, Circle):
        long = short = 2 * region.radius
    elif mask is not None:
        contours = cv2.findContours(mask.pixels.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[
            0
        ]
        # Corners of the outermost pixels, not their centres.
        points = np.concatenate(contours).reshape(-1, 2)
        corners = np.concatenate([points + np.array([dx, dy]) for dx in (0, 1) for dy in (0, 1)]).astype(
            np.float32
        )
        long, short = cv2.minAreaRect(corners)[1]
        width, height = np.ptp(corners, axis=0).tolist()
        return _named(long, short, width, height)
    return _named(long, short, box.width, box.height)


def _named(one: float, other: float, width: float, height: float) -> dict[str, float]:
    return {"longer": max(one, other), "shorter": min(one, other), "width": width, "height": height}

"""Masks by GrabCut (Rother, Kolmogorov & Blake 2004), started from what lies far from the outside of a box.

What a smooth surface joins to the surroundings is background, what edges close off is the object; the colours inside
and around correct the guess, and GrabCut draws the boundary.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Mask
from visprog.values.image import Image

from .geodesic import geodesic_distance

MARGIN = 0.25
"""Width of the surroundings that are taken into account, as a share of the box's size on each side."""

PIXEL_COST = 0.3
"""Cost of each pixel of a path, in CIELAB units of OpenCV's 8 bits."""

SEED_SIDE = 120
CUT_SIDE = 320
"""Longer sides, in pixels, at which the first guess and the cut are made."""

MIN_SIDE = 8
"""Shorter side of a box, in pixels, below which nothing is cut."""

MIN_SHARE, MAX_SHARE = 0.05, 1.15
"""Bounds of the mask's area, as a share of the box's: beyond them the cut has degenerated, and the box is the mask."""


def grabcut_mask(image: Image, box: Box, iterations: int = 2) -> Mask:
    """The mask of the object in a box that lies in the image, in the frame of the root.

    If GrabCut degenerates, to nothing or to nearly everything, the box itself is the mask.
    """
    view = image.crop(Box(
        box.left - MARGIN * box.width, box.top - MARGIN * box.height,
        box.right + MARGIN * box.width, box.bottom + MARGIN * box.height,
    ).clip(image.box))  # fmt: skip
    local = view.to_local(box)
    rows = slice(math.floor(local.top), math.ceil(local.bottom))
    columns = slice(math.floor(local.left), math.ceil(local.right))
    filled = np.zeros((view.height, view.width), bool)
    filled[rows, columns] = True
    cut = _cut(view.pixels, local, iterations) if min(box.width, box.height) >= MIN_SIDE else filled
    share = np.count_nonzero(cut) / np.count_nonzero(filled)
    mask = cut if MIN_SHARE <= share <= MAX_SHARE else filled
    return Mask.tight(mask, int(view.origin.x), int(view.origin.y))


def _cut(pixels: NDArray[np.uint8], box: Box, iterations: int) -> NDArray[np.bool_]:
    """The object in `box` of RGB pixels (H, W, 3), as bool (H, W)."""
    import cv2

    height, width = pixels.shape[:2]
    # the first guess, from a small copy
    small, inside = _reduced(pixels, box, SEED_SIDE)
    if inside.mean() > 0.97:  # no surroundings to learn from: take the rim of the image for background
        inside[[0, -1], :] = inside[:, [0, -1]] = False
    evidence = _evidence(small, inside)
    # the cut
    reduced, inside = _reduced(pixels, box, CUT_SIDE)
    evidence = cv2.resize(evidence, (reduced.shape[1], reduced.shape[0]), interpolation=cv2.INTER_LINEAR)
    marks = np.select(
        [~inside, evidence > 1.1, evidence > 0.6, evidence > 0.1],
        [cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_FGD, cv2.GC_PR_BGD],
        cv2.GC_BGD,
    ).astype(np.uint8)
    if not (marks & 1).any() or (marks & 1).all():
        return np.zeros((height, width), bool)
    cv2.setRNGSeed(0)
    background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        np.ascontiguousarray(reduced), marks, None, background, foreground, iterations, cv2.GC_INIT_WITH_MASK
    )
    # back to full size, with a smooth edge
    cleaned = _cleaned((marks & 1).astype(np.uint8)).astype(np.float32)
    soft = cv2.resize(cleaned, (width, height), interpolation=cv2.INTER_CUBIC)
    sigma = max(0.5, 0.7 * max(width, height) / CUT_SIDE)
    blurred: NDArray[np.float32] = cv2.GaussianBlur(soft, (0, 0), sigma)
    return blurred > 0.5


def _reduced(pixels: NDArray[np.uint8], box: Box, side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The image at most `side` pixels long, and which of its pixels lie in or just beside the box."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    x = (np.arange(size[0]) + 0.5) * width / size[0]
    y = (np.arange(size[1]) + 0.5) * height / size[1]
    dx, dy = 0.03 * box.width, 0.03 * box.height
    across = (x > box.left - dx) & (x < box.right + dx)
    down = (y > box.top - dy) & (y < box.bottom + dy)
    return small, down[:, None] & across[None, :]


def _evidence(pixels: NDArray[np.uint8], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Evidence (H, W) that a pixel belongs to the object: certain above 1, excluded below 0."""
    import cv2

    lab = cv2.cvtColor(cv2.bilateralFilter(pixels, 5, 15, 3), cv2.COLOR_RGB2LAB)
    distance = geodesic_distance(lab.astype(float), ~inside, PIXEL_COST)
    far = float(np.percentile(distance[inside], 98))
    # without an edge inside, all that tells pixels apart is how deep they lie
    if far < PIXEL_COST * min(inside.shape) / 2 + 5:
        return np.zeros(inside.shape, np.float32)
    # The root evens out the long tail of distances, so that Otsu's threshold also separates an object of low
    # contrast.
    reach = np.sqrt(np.clip(distance / far, 0, 1))
    levels = (255 * reach).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[inside], 0, 255, cv2.THRESH_OTSU)
    deep = levels / max(threshold, 1.0)
    foreground = _frequency(lab, np.clip(deep - 0.5, 0, 1) * inside)
    background = _frequency(lab, np.where(inside, np.clip(0.8 - deep, 0, 1), 1.0))
    odds = np.clip(np.log((foreground + 1e-4) / (background + 1e-4)), -2.5, 2.5)
    evidence: NDArray[np.float32] = (deep + 0.2 * odds).astype(np.float32)
    return evidence


def _frequency(lab: NDArray[np.uint8], weights: NDArray[Any]) -> NDArray[np.float64]:
    """Frequency of the colour of each pixel (H, W) among the weighted pixels, in smoothed bins of 16."""
    bins = tuple((lab // 16).reshape(-1, 3).T)
    counts = np.zeros((16, 16, 16))
    np.add.at(counts, bins, weights.ravel())
    for axis in range(3):
        counts = 0.5 * counts + 0.25 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    frequency: NDArray[np.float64] = (counts / max(counts.sum(), 1e-9))[bins].reshape(weights.shape)
    return frequency


def _cleaned(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A mask without specks and pinholes: the largest pieces stay, and small holes close."""
    import cv2

    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, ball), cv2.MORPH_OPEN, ball)
    for value, min_share in ((1, 0.15), (0, 0.01)):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=4
        )
        areas = stats[:, cv2.CC_STAT_AREA]
        reference = areas[1:].max() if value and count > 1 else np.count_nonzero(mask)
        small = [i for i in range(1, count) if areas[i] < min_share * reference]
        mask[np.isin(pieces, small)] = 1 - value
    return mask

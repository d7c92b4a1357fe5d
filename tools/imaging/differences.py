"""What differs between two images of one view, whatever noise, a small shift and a change of light add.

The second image is brought to the size of the first, aligned with it (first by features that both show, then by the
enhanced correlation coefficient of Evangelidis & Psarakis 2008), and brought to its light, channel by channel. A pixel
differs if its colour lies outside those that the other image has around its place, by more than noise explains.
"""

from __future__ import annotations

import math
from itertools import permutations

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.values import Box, Mask, Region
from visprog.values.image import Image

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

SIDE = 1024
"""Longer side, in pixels, at which larger images are compared."""

MAX_STRETCH = 1.03
"""Factor between the aspect ratios of two images from which they are not of one view."""

SLACK = 2
"""Pixels by which an edge may lie elsewhere, at the size at which images are compared; none if most pixels are
equal."""

MIN_EQUAL = 0.8
"""Share of equal pixels from which two images are versions of one file, without noise or shift."""

MIN_LEVELS = 14.0
"""Least difference, in levels of a channel, beyond those of the surroundings."""

NOISE_FACTOR, MAX_NOISE = 6.0, 8.0
"""Least difference, in standard deviations of the noise, and the most noise, in levels, of two images of one view."""

CUT_OFF = 4
"""Levels from black or white at which a pixel may have been darker or lighter than an image can hold."""

STRONG = 1.6
"""Factor of the threshold that a region must reach somewhere; around that, once the threshold is enough."""

MIN_AREA = 2e-4
"""Least area of a difference, as a share of the image."""

MAX_SHARE = 0.5
"""Share of differing pixels from which two images are not of one view."""

MIN_FEATURE_SIDE = 32
"""Shorter side, in pixels, of the smallest image that has corners."""

MAX_MOVE = 0.12
"""Greatest shift of the camera, as a share of the longer side."""

OTHER_VIEW = (
    "compare_images: the images differ nearly everywhere: they do not show one view, or its light differs"
)

GAIN = (0.4, 2.5)
"""Bounds of the factor by which the light of a channel may change."""


def differences(a: Image, b: Image) -> list[Region]:
    """Regions of `a`, in the frame of its root, that differ in `b`, the largest first.

    Raises:
        Refused: They are not of one view.
    """
    stretch = (a.width / a.height) / (b.width / b.height)
    if max(stretch, 1 / stretch) > MAX_STRETCH:
        raise Refused(
            f"compare_images needs two images of one view and one shape: {a.width} × {a.height} and {b.width} × "
            f"{b.height} pixels differ in more than scale"
        )
    scale = min(SIDE, *map(max, (a.size, b.size))) / max(a.size)
    size = max(8, round(a.width * scale)), max(8, round(a.height * scale))
    one, other = _sized(a.pixels, size), _sized(b.pixels, size)
    if np.array_equal(one, other):
        return []
    if (one == other).all(2).mean() > MIN_EQUAL:
        known, slack = np.ones(one.shape[:2], bool), 0
    else:
        (other, known), slack = _aligned(one, other), SLACK
    excess = _excess(one, other, known, slack)
    mask = _differing(excess, known)
    if np.count_nonzero(mask) > MAX_SHARE * np.count_nonzero(known):
        raise Refused(OTHER_VIEW)
    regions = _regions(a, mask, excess)
    return sorted(regions, key=lambda r: -(r.mask.area if r.mask is not None else 0))


def _sized(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    if (pixels.shape[1], pixels.shape[0]) == size:
        return np.ascontiguousarray(pixels)
    how = cv2.INTER_AREA if pixels.shape[1] > size[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(pixels), size, interpolation=how))


# -- alignment ---------------------------------------------------------------------------------------


def _aligned(one: Pixels, other: Pixels) -> tuple[Pixels, NDArray[np.bool_]]:
    """The other image as it lies on the first, and where it is known. It stays as it is unless moving it helps much."""
    height, width = one.shape[:2]
    everywhere = np.ones((height, width), bool)
    grey, moved = (cv2.cvtColor(each, cv2.COLOR_RGB2GRAY) for each in (one, other))
    best, known, least = other, everywhere, _mismatch(grey, moved, everywhere)
    for start in (np.eye(2, 3, dtype=np.float32), _by_features(grey, moved)):
        warp = None if start is None else _refined(grey, moved, start)
        if warp is None or _movement(warp, width, height) > MAX_MOVE * max(width, height):
            continue
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        tried = cv2.warpAffine(other, warp, (width, height), flags=how, borderMode=cv2.BORDER_REPLICATE)
        full = np.full((height, width), 255, np.uint8)
        seen = (
            cv2.erode(cv2.warpAffine(full, warp, (width, height), flags=how), np.ones((5, 5), np.uint8)) > 250
        )
        if np.count_nonzero(seen) < 0.5 * seen.size:
            continue
        mismatch = _mismatch(grey, cv2.cvtColor(tried, cv2.COLOR_RGB2GRAY), seen)
        if mismatch < 0.8 * least:
            best, known, least = tried, seen, mismatch
    return best, known


def _by_features(grey: Pixels, moved: Pixels) -> Floats | None:
    """A rotation, scale and shift of corners that both images show (ORB, Rublee et al. 2011); None if there are few."""
    if min(grey.shape) < MIN_FEATURE_SIDE:
        return None
    orb = cv2.ORB_create(1000)
    (points, codes), (others, other_codes) = (orb.detectAndCompute(each, None) for each in (grey, moved))
    if codes is None or other_codes is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(codes, other_codes)
    if len(matches) < 12:
        return None
    source = np.array([points[m.queryIdx].pt for m in matches], np.float32)
    target = np.array([others[m.trainIdx].pt for m in matches], np.float32)
    warp, inside = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=3.0)
    return None if warp is None or int(inside.sum()) < 12 else warp.astype(np.float32)


def _refined(grey: Pixels, moved: Pixels, start: Floats) -> Floats | None:
    """An affine map from the first image to the other that starts near the right one; None if there is none."""
    step = max(1.0, max(grey.shape) / 512)
    size = max(1, round(grey.shape[1] / step)), max(1, round(grey.shape[0] / step))
    small = [cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (grey, moved)]
    warp = start.copy()
    warp[:, 2] /= step
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    try:
        _, warp = cv2.findTransformECC(small[0], small[1], warp, cv2.MOTION_AFFINE, stop, None, 5)
    except cv2.error:  # it does not converge
        return start
    warp[:, 2] *= step
    return np.asarray(warp) if np.isfinite(warp).all() else None


def _movement(warp: Floats, width: int, height: int) -> float:
    """Greatest distance, in pixels, by which a corner moves."""
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], np.float32)
    return float(np.linalg.norm(corners @ warp.T - corners[:, :2], axis=1).max())


def _mismatch(grey: Pixels, moved: Pixels, known: NDArray[np.bool_]) -> float:
    """How far two grey images differ in their edges, whatever their light: the mean of what lies below the 80 %
    quantile, since a part of them may have changed."""
    one, other = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), 1.0) for each in (grey, moved))
    one, other = (each - cv2.GaussianBlur(each, (0, 0), 8.0) for each in (one, other))
    apart = np.abs(one - other)[known]
    return float(apart[apart <= np.quantile(apart, 0.8)].mean())


# -- light -------------------------------------------------------------------------------------------


def _in_light_of(one: Pixels, other: Pixels, known: NDArray[np.bool_]) -> Floats:
    """The other image with a gain and an offset per channel that bring most of its pixels to those of the first."""
    out = other.astype(np.float32)
    smooth = [cv2.GaussianBlur(each, (0, 0), 2.0).astype(np.float32)[known] for each in (one, other)]
    step = max(1, len(smooth[0]) // 50_000)
    for channel in range(3):
        target, source = (each[::step, channel] for each in smooth)
        fair = (source > 4) & (source < 251) & (target > 4) & (target < 251)  # not cut off
        if np.count_nonzero(fair) < 100:
            continue
        target, source = target[fair], source[fair]
        gain, offset = 1.0, float(np.median(target - source))
        for _ in range(8):
            apart = np.abs(gain * source + offset - target)
            inside = apart <= max(float(np.median(apart)) * 2, 2.0)
            if source[inside].std() < 2:  # of one level: nothing tells gain from offset
                gain, offset = 1.0, float(np.median(target[inside] - source[inside]))
                break
            gain, offset = np.polyfit(source[inside], target[inside], 1).tolist()
        if not GAIN[0] <= gain <= GAIN[1]:
            continue
        out[..., channel] = gain * out[..., channel] + offset
    return out.clip(0, 255)


# -- differences -------------------------------------------------------------------------------------


def _excess(one: Pixels, other: Pixels, known: NDArray[np.bool_], slack: int) -> Floats:
    """By how many thresholds each pixel (H, W) lies outside the colours that the other image has around its place.

    Args:
        slack: Number of pixels around its place.

    Raises:
        Refused: There is more noise than two images of one view have.
    """
    lit = _in_light_of(one, other, known)
    smooth = cv2.GaussianBlur(one.astype(np.float32), (0, 0), 0.8), cv2.GaussianBlur(lit, (0, 0), 0.8)
    apart = smooth[0] - smooth[1]
    noise = 1.4826 * float(np.median(np.abs(apart[known])))
    if noise > MAX_NOISE:
        raise Refused(OTHER_VIEW)
    kernel = np.ones((2 * slack + 1, 2 * slack + 1), np.uint8)
    # Light that an image could not hold may have been any above white, or below black.
    beyond = np.zeros(one.shape, np.float32)
    for (near, near_levels), (far, far_levels) in permutations(zip(smooth, (one, other), strict=True)):
        low, high = cv2.erode(far, kernel), cv2.dilate(far, kernel)
        far_low, far_high = cv2.erode(far_levels, kernel), cv2.dilate(far_levels, kernel)
        lighter = np.where((far_high >= 255 - CUT_OFF) | (near_levels <= CUT_OFF), 0, near - high)
        darker = np.where((far_low <= CUT_OFF) | (near_levels >= 255 - CUT_OFF), 0, low - near)
        beyond = np.maximum(beyond, np.maximum(lighter, darker))
    excess: Floats = beyond.max(2) / max(MIN_LEVELS, NOISE_FACTOR * noise)
    excess[~known] = 0
    return excess


def _differing(excess: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels that differ: connected ones above the threshold, of enough area, that are well above it somewhere."""
    side = max(excess.shape)
    reach = max(3, 2 * round(side / 200) + 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    weak = cv2.morphologyEx((excess > 1).astype(np.uint8), cv2.MORPH_CLOSE, disc)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=8)
    strong = np.bincount(pieces[excess > STRONG], minlength=count)
    least = max(6.0, MIN_AREA * excess.size)
    kept = (stats[:, cv2.CC_STAT_AREA] >= least) & (strong >= 0.2 * least)
    kept[0] = False
    return np.asarray(kept[pieces])


def _regions(image: Image, mask: NDArray[np.bool_], excess: Floats) -> list[Region]:
    """Connected differences, near ones together, at the size of the image."""
    side = max(mask.shape)
    reach = 2 * max(2, math.ceil(side / 80)) + 1
    joined = cv2.dilate(mask.astype(np.uint8), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    count, groups = cv2.connectedComponents(joined)
    x_scale, y_scale = image.width / mask.shape[1], image.height / mask.shape[0]
    found = []
    for number in range(1, count):
        rows, columns = np.nonzero(mask & (groups == number))
        if not len(rows):
            continue
        top, bottom, left, right = rows.min(), rows.max() + 1, columns.min(), columns.max() + 1
        own = (mask & (groups == number))[top:bottom, left:right]
        place = (
            round(left * x_scale), round(top * y_scale), round(right * x_scale), round(bottom * y_scale)
        )  # fmt: skip
        size = max(1, place[2] - place[0]), max(1, place[3] - place[1])
        pixels = cv2.resize(own.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
        box = image.to_root(Box(place[0], place[1], place[0] + size[0], place[1] + size[1]))
        score = min(1.0, float(excess[rows, columns].mean()) / 4)
        found.append(Region(box, "difference", score, image.root, Mask(pixels, box)))
    return found

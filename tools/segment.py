"""The exact pixels of things: of one whose place is known, or of everything there is."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry import tool
from visprog.registry.sees import Sees
from visprog.values import Box, Located, Mask, Point, Region
from visprog.values.image import Image

from .backends._each import answer_each
from .imaging.geodesic import geodesic_distance

MARGIN = 0.25
"""How much of its surroundings is looked at, as a share of the box's size on each side."""

STEP = 0.3
"""Cost of a pixel of the way, in CIELAB units of OpenCV's 8 bits."""

SEED_SIDE = 120
CUT_SIDE = 320
"""Longer sides, in pixels, at which the first guess and the cut are made."""


@tool(
    backends={
        "grabcut": "visprog.tools.segment:GrabCut",
        "embedded": "visprog.tools.backends.sam:EmbeddedSegmenter",
        "sam": "visprog.tools.backends.sam:SamSegmenter",
        "segment-anything": "visprog.tools.backends.sam:SegmentAnythingSegmenter",
    },
    default="grabcut",
)
def segment(image: Image, region: Region | Point) -> Region:
    """The same region with a mask of the exact pixels of the thing in its box; for a point, the thing there."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "none": "visprog.tools.segment:NothingSegmented",
        "embedded": "visprog.tools.backends.sam:EmbeddedEverything",
        "sam": "visprog.tools.backends.sam:SamEverything",
    },
    default="none",
)
def segment_everything(image: Image) -> list[Region]:
    """All things and parts of things in an image, whatever they are, each with a mask."""
    raise NotImplementedError  # a backend answers


class NothingSegmented:
    """Refuses: finding everything takes a model, and none is chosen.

    Args:
        model: must be None.
    """

    sees = Sees(
        nothing="no model that finds everything is chosen: under [tools.segment_everything] in visprog.toml set "
        'backend = "sam" (after pip install \'visprog[hf]\'), or "embedded" for drawn shapes'
    )

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError('segment_everything: a model needs its backend: set backend = "sam"')

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [Refused(self.sees.nothing)] * len(calls)


class GrabCut:
    """GrabCut (Rother, Kolmogorov & Blake, 2004), started from what lies far from the outside of the box.

    What a smooth surface joins to the surroundings is background, what edges close off is the thing; the
    colours inside and around correct the guess, and GrabCut draws the boundary. Where it degenerates, to
    nothing or to nearly everything, the box itself is the mask.

    Args:
        model: must be None.
        iterations: of GrabCut.
    """

    def __init__(self, model: str | None = None, *, iterations: int = 2) -> None:
        if model is not None:
            raise ToolError('the grabcut backend of segment takes no model: for SAM set backend = "sam"')
        self.iterations = iterations

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.segment)

    def segment(self, image: Image, region: Region | Point) -> Region:
        """The region with its mask, in the frame of the root.

        Raises:
            ToolError: the region lies outside the image.
            Refused: it is a point.
        """
        if isinstance(region, Point):
            raise Refused(
                "GrabCut needs a box around the thing, not a point: under [tools.segment] in visprog.toml set "
                'backend = "sam" (after pip install \'visprog[hf]\'), or "embedded" for drawn shapes'
            )
        return replace(region, mask=self.mask(image, region), image=image.root)

    def mask(self, image: Image, place: Located) -> Mask:
        """The mask of the thing in a box.

        Raises:
            ToolError: the box lies outside the image.
        """
        box = place.box.intersection(image.box)
        if box is None:
            raise ToolError(f"there is nothing to segment: {place.box} lies outside the picture, {image.box}")
        view = image.crop(Box(
            box.left - MARGIN * box.width, box.top - MARGIN * box.height,
            box.right + MARGIN * box.width, box.bottom + MARGIN * box.height,
        ).clip(image.box))  # fmt: skip
        local = view.to_local(box)
        whole = Box(
            math.floor(local.left), math.floor(local.top), math.ceil(local.right), math.ceil(local.bottom)
        )
        filled = np.zeros((view.height, view.width), bool)
        filled[int(whole.top) : int(whole.bottom), int(whole.left) : int(whole.right)] = True
        cut = self._cut(view.pixels, local) if min(box.width, box.height) >= 8 else filled
        share = np.count_nonzero(cut) / np.count_nonzero(filled)
        if not 0.05 <= share <= 1.15:
            cut = filled
        return Mask.tight(cut, int(view.origin.x), int(view.origin.y))

    def _cut(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.bool_]:
        """The thing in `box` of RGB pixels (H, W, 3), as bool (H, W)."""
        import cv2

        height, width = pixels.shape[:2]
        small, inside = _reduced(pixels, box, SEED_SIDE)
        if inside.mean() > 0.97:  # no surroundings to learn from: take the rim of the picture for background
            inside[[0, -1], :] = inside[:, [0, -1]] = False
        evidence = _evidence(small, inside)
        picture, inside = _reduced(pixels, box, CUT_SIDE)
        evidence = cv2.resize(evidence, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
        marks = np.select(
            [~inside, evidence > 1.1, evidence > 0.6, evidence > 0.1],
            [cv2.GC_BGD, cv2.GC_FGD, cv2.GC_PR_FGD, cv2.GC_PR_BGD],
            cv2.GC_BGD,
        ).astype(np.uint8)
        if not (marks & 1).any() or (marks & 1).all():
            return np.zeros((height, width), bool)
        cv2.setRNGSeed(0)
        background, thing = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(
            np.ascontiguousarray(picture),
            marks,
            None,
            background,
            thing,
            self.iterations,
            cv2.GC_INIT_WITH_MASK,
        )
        soft = cv2.resize(
            _cleaned((marks & 1).astype(np.uint8)).astype(np.float32),
            (width, height),
            interpolation=cv2.INTER_CUBIC,
        )
        blurred: NDArray[np.float32] = cv2.GaussianBlur(
            soft, (0, 0), max(0.5, 0.7 * max(width, height) / CUT_SIDE)
        )
        return blurred > 0.5


def _reduced(pixels: NDArray[np.uint8], box: Box, side: int) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """The picture at most `side` pixels long, and which of its pixels lie in or just beside the box."""
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
    """How much speaks for each pixel (H, W) being of the thing: above 1 it surely is, below 0 surely not."""
    import cv2

    lab = cv2.cvtColor(cv2.bilateralFilter(pixels, 5, 15, 3), cv2.COLOR_RGB2LAB)
    distance = geodesic_distance(lab.astype(float), ~inside, STEP)
    far = float(np.percentile(distance[inside], 98))
    if (
        far < STEP * min(inside.shape) / 2 + 5
    ):  # no edge inside: all that tells places apart is how deep they lie
        return np.zeros(inside.shape, np.float32)
    # The root evens out the long tail of distances, so that Otsu's threshold also separates a thing of low
    # contrast.
    reach = np.sqrt(np.clip(distance / far, 0, 1))
    levels = (255 * reach).astype(np.uint8)
    threshold, _ = cv2.threshold(levels[inside], 0, 255, cv2.THRESH_OTSU)
    deep = levels / max(threshold, 1.0)
    thing = _histogram(lab, np.clip(deep - 0.5, 0, 1) * inside)
    background = _histogram(lab, np.where(inside, np.clip(0.8 - deep, 0, 1), 1.0))
    odds = np.clip(np.log((thing + 1e-4) / (background + 1e-4)), -2.5, 2.5)
    evidence: NDArray[np.float32] = (deep + 0.2 * odds).astype(np.float32)
    return evidence


def _histogram(lab: NDArray[np.uint8], weights: NDArray[Any]) -> NDArray[np.float64]:
    """How frequent the colour of each pixel (H, W) is among the weighted pixels, in smoothed bins of 16."""
    bins = tuple((lab // 16).reshape(-1, 3).T)
    counts = np.zeros((16, 16, 16))
    np.add.at(counts, bins, weights.ravel())
    for axis in range(3):
        counts = 0.5 * counts + 0.25 * (np.roll(counts, 1, axis) + np.roll(counts, -1, axis))
    frequency: NDArray[np.float64] = (counts / max(counts.sum(), 1e-9))[bins].reshape(weights.shape)
    return frequency


def _cleaned(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without specks and pinholes: the largest pieces stay, and small holes close."""
    import cv2

    ball = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, ball), cv2.MORPH_OPEN, ball)
    for value, least in ((1, 0.15), (0, 0.01)):
        count, pieces, stats, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=4
        )
        areas = stats[:, cv2.CC_STAT_AREA]
        reference = areas[1:].max() if value and count > 1 else np.count_nonzero(mask)
        small = [i for i in range(1, count) if areas[i] < least * reference]
        mask[np.isin(pieces, small)] = 1 - value
    return mask

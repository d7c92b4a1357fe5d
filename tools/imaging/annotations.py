"""Regions drawn on an image: outlines, tinted masks, labels on plates, and numbered marks.

Every line is a coloured one over a wider white one, and every plate has a white rim, so that they show on any ground.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Circle, Line, Located, Polygon
from visprog.values.image import Image

from .region_masks import mask_of, reach, region_mask

if TYPE_CHECKING:
    import PIL.ImageFont

Pixels: TypeAlias = NDArray[np.uint8]
Size: TypeAlias = tuple[int, int]
"""Width and height."""

COLORS = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e67300", "#008080", "#c2185b", "#5d4037")
"""Colours of outlines and plates."""

MAX_LETTERS = 60
"""Number of letters of a label that are drawn: more would not fit on a plate."""

MAX_ASPECT = 4
"""Longest side of an image, in shortest sides, by which lines and letters grow: they must fit into a thin one."""

TINT = 0.4
"""Share of its colour in the pixels of a mask."""

SMALL_LABEL = 0.3
"""Height of letters as a share of the shorter side of most objects: labels must not hide what they name."""

MAX_PLATES = 1_000
"""Number of regions that get a label; an image with more of them cannot be read."""

SIXTEENTHS = 4
"""Bits of a coordinate behind the point, for `shift` of OpenCV's drawing functions."""


def draw_annotations(image: Image, regions: Sequence[Located], labels: Sequence[str]) -> Pixels:
    """Pixels (H, W, 3) of an image with the outline of each region, its mask tinted, and its label.

    Args:
        labels: One a region; an empty one is not drawn. Regions of one label have one colour, and if all labels are
            equal, each has its own.
    """
    names = list(dict.fromkeys(labels))
    each = len(names) < 2
    colors = [
        COLORS[(i if each else names.index(t)) % len(COLORS)] for i, t in enumerate(labels[:MAX_PLATES])
    ]
    colors += [COLORS[0]] * (len(regions) - len(colors))
    pixels = image.pixels.copy()
    boxes = [
        _draw_region(pixels, image, region, color) for region, color in zip(regions, colors, strict=True)
    ]
    font = _font(image, boxes, 42)
    taken: NDArray[np.float64] = np.zeros((0, 4))
    objects = np.array([_edges(box) for box in boxes if box is not None]).reshape(-1, 4)
    for box, label, color in list(zip(boxes, labels, colors, strict=True))[:MAX_PLATES]:
        if box is not None and label:
            text = label if len(label) <= MAX_LETTERS else label[: MAX_LETTERS - 1] + "…"
            plate = _plate(text, font, color)
            place = _place(_beside(box, _size(plate), image.size), _size(plate), taken, objects)
            taken = np.vstack([taken, _paste(pixels, plate, place)])
    return pixels


def draw_marks(image: Image, regions: Sequence[Located]) -> Pixels:
    """Pixels (H, W, 3) of an image with each region outlined and numbered from 1.

    The number stands in the middle of a mask, or at the corner of a box, where it covers no other.
    """
    pixels = image.pixels.copy()
    colors = [COLORS[i % len(COLORS)] for i in range(len(regions))]
    boxes = [
        _draw_region(pixels, image, region, color) for region, color in zip(regions, colors, strict=True)
    ]
    font = _font(image, boxes, 32)
    taken: NDArray[np.float64] = np.zeros((0, 4))
    nothing: NDArray[np.float64] = np.zeros((0, 4))
    for number, (box, region, color) in enumerate(zip(boxes, regions, colors, strict=True), 1):
        if box is None:
            continue
        plate = _plate(str(number), font, color)
        size = _size(plate)
        candidates = [*_middle(image, region, size), *_corners(box, size, image.size)]
        candidates += _beside(box, size, image.size)
        taken = np.vstack([taken, _paste(pixels, plate, _place(candidates, size, taken, nothing))])
    return pixels


# -- regions -----------------------------------------------------------------------------------------


def _draw_region(pixels: Pixels, image: Image, region: Located, color: str) -> Box | None:
    """Draw the outline of a region, and tint its mask. Returns the part of its box in the image, None if there is
    none."""
    import cv2

    window = reach(image, region)
    if window is None:
        return None
    rgb, stroke = _rgb(color), _stroke(image)
    part = pixels[window]
    if mask_of(region) is not None:
        inside = region_mask(image, region, window)
        part[inside] = ((1 - TINT) * part[inside] + TINT * np.array(rgb)).round()
        # The outline also runs beyond the box of the mask.
        rim = stroke + 2
        wide = reach(image, region, rim) or window
        outline = region_mask(image, region, wide).astype(np.uint8)
        paths = list(cv2.findContours(outline, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0])
        part = pixels[wide]
    else:
        paths = [_outline(image, region)]
        part = pixels
    closed = not isinstance(region, Line)
    shift = 0 if mask_of(region) is not None else SIXTEENTHS
    canvas = np.ascontiguousarray(part)
    for width, tone in ((stroke + 2, (255, 255, 255)), (stroke, rgb)):
        cv2.polylines(canvas, paths, closed, tone, width, cv2.LINE_AA, shift)
    if canvas is not part:
        part[:] = canvas
    return image.to_local(region).clip(Box(0, 0, image.width, image.height))


def _outline(image: Image, region: Located) -> NDArray[np.int32]:
    """Corners (N, 2) of what a region looks like, in sixteenths of the image's own pixels."""
    x, y = image.origin.x, image.origin.y
    if isinstance(region, Line | Polygon):
        corners = np.array([[p.x - x, p.y - y] for p in region.points])
    elif isinstance(region, Circle):
        turns = np.linspace(0, 2 * math.pi, 73)[:-1]
        corners = np.stack([np.cos(turns), np.sin(turns)], 1) * region.radius
        corners += [region.center.x - x, region.center.y - y]
    else:
        inset = (_stroke(image) + 1) / 2  # the edge of the image must not hide it
        box = image.to_local(region).clip(Box(0, 0, image.width, image.height))
        left, right = _inset(box.left, box.right, image.width, inset)
        top, bottom = _inset(box.top, box.bottom, image.height, inset)
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    sixteenths: NDArray[np.int32] = np.round(corners.clip(-1e6, 1e6) * 2**SIXTEENTHS).astype(np.int32)
    return sixteenths


def _inset(start: float, end: float, length: int, inset: float) -> tuple[float, float]:
    return max(start, min(inset, length / 2)), min(end - 1, max(length - 1 - inset, length / 2))


def _stroke(image: Image) -> int:
    return max(2, round(_side(image) / 320))


def _side(image: Image) -> float:
    """Side, in pixels, by which lines and letters grow: that of a thin image is bounded by its width."""
    return min(max(image.size), MAX_ASPECT * min(image.size))


# -- plates ------------------------------------------------------------------------------------------


def _font(
    image: Image, boxes: Sequence[Box | None], share: int
) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    """A font of a share of the image's side; a smaller one, down to a third, if most objects are small."""
    import PIL.ImageFont

    size = _side(image) / share
    heights = [min(box.width, box.height) for box in boxes if box is not None]
    if heights:
        size = max(min(size, SMALL_LABEL * float(np.median(heights))), size / 3)
    return PIL.ImageFont.load_default(size=max(12, round(size)))


def _plate(text: str, font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont, color: str) -> Pixels:
    """White text on a rounded plate with a white rim, as (h, w, 4) with alpha."""
    import PIL.Image
    import PIL.ImageDraw

    smooth = 3
    measure = PIL.ImageDraw.Draw(PIL.Image.new("L", (1, 1)))
    left, _, right, _ = measure.textbbox((0, 0), text, font=font, anchor="ls")
    capital = -measure.textbbox((0, 0), "0", font=font, anchor="ls")[1]
    height = round(1.9 * capital)
    width = max(height, round(right - left + 0.9 * capital))
    plate = PIL.Image.new("RGBA", (smooth * width, smooth * height))
    ink = PIL.ImageDraw.Draw(plate)
    rim = max(1, round(height / 14))
    ink.rounded_rectangle(
        (0, 0, smooth * width - 1, smooth * height - 1), smooth * height / 4, color, "#ffffff", smooth * rim
    )
    plate = plate.resize((width, height), PIL.Image.Resampling.LANCZOS)
    ink = PIL.ImageDraw.Draw(plate)
    ink.text(((width - right - left) / 2, (height + capital) / 2), text, "#ffffff", font, "ls")
    return np.asarray(plate)


def _size(plate: Pixels) -> Size:
    return plate.shape[1], plate.shape[0]


def _paste(pixels: Pixels, plate: Pixels, place: tuple[float, float]) -> NDArray[np.float64]:
    """Draw a plate with its corner at a place, as far as it lies in the image. Returns its edges (1, 4)."""
    left, top = round(place[0]), round(place[1])
    height, width = plate.shape[:2]
    rows, columns = slice(max(top, 0), max(top + height, 0)), slice(max(left, 0), max(left + width, 0))
    under = pixels[rows, columns]
    over = plate[rows.start - top :, columns.start - left :][: under.shape[0], : under.shape[1]]
    share = over[..., 3:] / 255
    under[:] = (over[..., :3] * share + under * (1 - share)).round()
    return np.array([[left, top, left + width, top + height]], float)


def _place(
    candidates: Sequence[tuple[float, float]],
    size: Size,
    taken: NDArray[np.float64],
    objects: NDArray[np.float64],
) -> tuple[float, float]:
    """The first of some places for a plate that covers least of other plates, and then of objects.

    Args:
        taken: Edges (N, 4) of the plates that are there.
        objects: Edges (N, 4) of what should stay visible.
    """
    best, least = candidates[0], math.inf
    for left, top in candidates:
        edges = np.array([left, top, left + size[0], top + size[1]])
        cost = 1000 * _covered(edges, taken) + _covered(edges, objects)
        if cost < least - 1e-6:
            best, least = (left, top), cost
        if cost == 0:
            break
    return best


def _covered(edges: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Sum of the shares of other rectangles (N, 4), or of this one if it is the smaller, that it covers."""
    if not len(others):
        return 0.0
    low, high = np.maximum(edges[:2], others[:, :2]), np.minimum(edges[2:], others[:, 2:])
    shared = (high - low).clip(0, None).prod(1)
    own = (edges[2:] - edges[:2]).prod()
    return float((shared / np.minimum((others[:, 2:] - others[:, :2]).prod(1), own).clip(1, None)).sum())


def _beside(box: Box, size: Size, frame: Size) -> list[tuple[float, float]]:
    """Places for a plate above, below and beside a box, and in its corners, moved into the image."""
    width, height = size
    above, below = box.top - height, box.bottom
    before, after = box.left - width, box.right
    around = [
        (box.left, above), (box.right - width, above), (box.left, below), (box.right - width, below),
        (after, box.top), (before, box.top), (after, box.bottom - height), (before, box.bottom - height),
    ]  # fmt: skip
    outside = [p for p in (_within(x, y, size, frame) for x, y in around) if not _inside(p, size, box)]
    return [*outside, *_corners(box, size, frame)]


def _corners(box: Box, size: Size, frame: Size) -> list[tuple[float, float]]:
    """Places for a plate in the corners of a box, moved into the image."""
    right, bottom = box.right - size[0], box.bottom - size[1]
    corners = (box.left, box.top), (right, box.top), (box.left, bottom), (right, bottom)
    return [_within(x, y, size, frame) for x, y in corners]


def _middle(image: Image, region: Located, size: Size) -> Iterator[tuple[float, float]]:
    """The place for a plate around the point of a mask that is farthest from its edge, if it fits there; of several,
    the one nearest to its middle."""
    import cv2

    window = reach(image, region)
    if mask_of(region) is None or window is None:
        return
    rows, columns = window
    step = max(1, max(rows.stop - rows.start, columns.stop - columns.start) // 200)
    inside: Any = np.pad(region_mask(image, region, window)[::step, ::step].astype(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    deepest = np.argwhere(depth >= 0.95 * depth.max())
    off = np.linalg.norm(deepest - np.argwhere(inside).mean(0), axis=1)
    y, x = deepest[int(off.argmin())].tolist()
    if step * depth[y, x] >= 0.6 * min(size):
        center = columns.start + step * (x - 0.5), rows.start + step * (y - 0.5)
        yield _within(center[0] - size[0] / 2, center[1] - size[1] / 2, size, image.size)


def _within(x: float, y: float, size: Size, frame: Size) -> tuple[float, float]:
    """A corner moved so that what has it lies in the image, if it is not larger than that."""
    return min(max(x, 0.0), max(0.0, frame[0] - size[0])), min(max(y, 0.0), max(0.0, frame[1] - size[1]))


def _inside(place: tuple[float, float], size: Size, box: Box) -> bool:
    """Whether a plate has left the outside of its box by being moved into the image."""
    x, y = place
    plate = Box(x, y, x + size[0], y + size[1])
    shared = plate.intersection(box)
    return shared is not None and shared.area > 0.5 * plate.area


def _edges(box: Box) -> tuple[float, float, float, float]:
    return box.left, box.top, box.right, box.bottom


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)

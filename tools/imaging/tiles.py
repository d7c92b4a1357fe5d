"""Detection in overlapping tiles, for objects that are small in a large image, and what several tiles see made one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from visprog.errors import ToolError
from visprog.values import Box, Region
from visprog.values.image import Image

MAX_TILES = 8
"""Number of tiles along the longer side, at most."""

OVERLAP = 0.25
"""Share of a tile that it shares with the next."""

MIN_TILE_SIDE = 32
"""Shorter side, in pixels, of the smallest tile."""

SAME = 0.45
"""Intersection over union from which boxes of two tiles are one object."""

COVERED = 0.6
"""Share of a piece at a seam from which it belongs to an object that another tile shows whole."""

Calls = list[dict[str, Any]]


def in_tiles(
    image: Image, what: str, tiles: int
) -> tuple[Calls, Callable[[Sequence[list[Region]]], list[Region]]]:
    """The calls of a detector for a whole image and its tiles, and how their results become one.

    Args:
        tiles: Number of tiles along the longer side; 1 for the whole image alone.

    Raises:
        ToolError: There are too few or too many tiles.
    """
    if not 1 <= tiles <= MAX_TILES:
        raise ToolError(f"detect: 'tiles' is the number along the longer side, 1 to {MAX_TILES}, not {tiles}")
    if tiles == 1:
        return [{"image": image, "what": what}], lambda results: results[0]
    parts = [image, *_tiles(image, tiles)]
    calls = [{"image": part, "what": what} for part in parts]
    return calls, lambda results: _joined(image, [part.box for part in parts], results)


def _tiles(image: Image, count: int) -> list[Image]:
    """Tiles of an image, about square, row by row."""
    side = max(image.size) / (count - (count - 1) * OVERLAP)
    spans = [_spans(length, side) for length in (image.height, image.width)]
    boxes = [Box(left, top, right, bottom) for top, bottom in spans[0] for left, right in spans[1]]
    if min(boxes[0].width, boxes[0].height) < MIN_TILE_SIDE or len(boxes) < 2:
        return []
    return [image.crop(image.to_root(box)) for box in boxes]


def _spans(length: int, side: float) -> list[tuple[int, int]]:
    """Start and end of overlapping parts of equal length, none longer than a side."""
    if length <= side + 1:
        return [(0, length)]
    count = math.ceil((length - side * OVERLAP) / (side * (1 - OVERLAP)) - 1e-6)
    size = math.ceil(length / (count - (count - 1) * OVERLAP))
    starts = [round(i * (length - size) / (count - 1)) for i in range(count)]
    return [(start, start + size) for start in starts]


def _joined(image: Image, parts: Sequence[Box], results: Sequence[list[Region]]) -> list[Region]:
    """What the whole image and its tiles show, each object once, most certain first.

    What reaches a seam is a piece: pieces of one object are joined, and count where no tile shows it whole.
    """
    whole: list[tuple[Region, int]] = []
    pieces: list[tuple[Region, int]] = []
    for number, (part, found) in enumerate(zip(parts, results, strict=True)):
        for region in found:
            (pieces if number and _is_cut(region, part, image.box) else whole).append((region, number))
    kept: list[tuple[Region, int]] = []
    for region, number in sorted(whole, key=lambda each: -each[0].score):
        if not any(other != number and region.iou(known) > SAME for known, other in kept):
            kept.append((region, number))
    objects = [region for region, _ in kept]
    for region in _pieces_joined(pieces, parts):
        if not any(
            _covered(region, known) > COVERED or _covered(known, region) > COVERED for known in objects
        ):
            objects.append(region)
    return sorted(objects, key=lambda each: -each.score)


def _pieces_joined(pieces: Sequence[tuple[Region, int]], parts: Sequence[Box]) -> list[Region]:
    """Pieces of one object, which look alike where two tiles overlap, as one region; most certain first."""
    groups: list[tuple[Region, set[int]]] = []
    for region, number in sorted(pieces, key=lambda each: -each[0].score):
        joined, numbers = region, {number}
        for other, known in list(groups):
            shared = [parts[number].intersection(parts[k]) for k in known - numbers]
            if any(strip is not None and _same_in(strip, joined, other) for strip in shared):
                groups.remove((other, known))
                score = max(joined.score, other.score)
                joined = Region(joined.box.union(other), other.label, score, region.image)
                numbers |= known
        groups.append((joined, numbers))
    return [region for region, _ in groups]


def _same_in(strip: Box, a: Region, b: Region) -> bool:
    """Whether two pieces are one in what two tiles share."""
    one, other = strip.intersection(a), strip.intersection(b)
    return one is not None and other is not None and one.iou(other) > SAME


def _is_cut(region: Region, part: Box, image: Box) -> bool:
    """Whether a region reaches an edge of its tile that is not an edge of the image."""
    near = max(2.0, 0.01 * max(part.width, part.height))
    return (
        (part.left > image.left and region.left < part.left + near)
        or (part.top > image.top and region.top < part.top + near)
        or (part.right < image.right and region.right > part.right - near)
        or (part.bottom < image.bottom and region.bottom > part.bottom - near)
    )


def _covered(region: Region, other: Region) -> float:
    shared = region.box.intersection(other)
    return 0.0 if shared is None else shared.area / max(region.box.area, 1e-9)

"""Masks as COCO writes them: run lengths, plain or packed into text, and polygons.

Run lengths count pixels down the columns, first those outside. Packed, each is a series of characters of 5 bits and
a continuation bit, offset by 48, from the third on as the difference to the one two before (the format of the COCO
API's mask routines).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.bool_]


def decode_mask(segmentation: Any, height: int, width: int) -> Bits:
    """The mask (H, W) of an annotation's "segmentation".

    Args:
        segmentation: {"size": [H, W], "counts": list or text}, a list of polygons [x0, y0, x1, y1, …], or the mask
            itself, bool (H, W).

    Raises:
        ValueError: it is none of these, or does not fit the image.
    """
    if isinstance(segmentation, np.ndarray):
        if segmentation.shape != (height, width):
            raise ValueError(
                f"the mask is of size {list(segmentation.shape)}, the image of [{height}, {width}]"
            )
        return segmentation
    if isinstance(segmentation, Mapping):
        if segmentation.get("size") != [height, width]:
            raise ValueError(
                f"the mask is of size {segmentation.get('size')}, the image of [{height}, {width}]"
            )
        counts = segmentation.get("counts")
        runs = unpack(counts) if isinstance(counts, str | bytes) else counts
        return decode_runs(runs, height, width)
    if isinstance(segmentation, Sequence) and not isinstance(segmentation, str) and segmentation:
        return decode_polygons(segmentation, height, width)
    raise ValueError("its segmentation is neither run lengths nor polygons")


def decode_runs(runs: Any, height: int, width: int) -> Bits:
    """A mask (H, W) from run lengths. Raises `ValueError` if they do not fill it exactly."""
    try:
        lengths = np.asarray(runs, np.int64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError("its run lengths are not numbers") from None
    if lengths.ndim != 1 or (lengths < 0).any() or int(lengths.sum()) != height * width:
        raise ValueError(f"its run lengths do not fill {width} x {height} pixels")
    inside = np.arange(len(lengths)) % 2 == 1
    return np.ascontiguousarray(np.repeat(inside, lengths).reshape(width, height).T)


def encode_runs(mask: Bits) -> list[int]:
    """The run lengths of a mask (H, W): the inverse of `decode_runs`."""
    flat = np.concatenate([[False], mask.T.reshape(-1), [not mask.T.reshape(-1)[-1]] if mask.size else []])
    edges = np.flatnonzero(flat[1:] != flat[:-1])
    return [int(n) for n in np.diff(np.concatenate([[0], edges]))]


def unpack(text: str | bytes) -> list[int]:
    """Run lengths from COCO's text. Raises `ValueError` if it is not in this format."""
    data = text.encode("ascii", "replace") if isinstance(text, str) else text
    runs: list[int] = []
    value = shift = 0
    for byte in data:
        bits = byte - 48
        if not 0 <= bits < 64:
            raise ValueError("its packed run lengths hold a character that cannot be there")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:  # the sign, spread over the bits above
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueError("its packed run lengths end within a number")
    return runs


def pack(runs: Sequence[int]) -> str:
    """Run lengths as COCO's text: the inverse of `unpack`."""
    out = []
    for i, run in enumerate(runs):
        value = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            bits = value & 31
            value >>= 5
            more = value != (-1 if bits & 16 else 0)
            out.append(chr((bits | 32 if more else bits) + 48))
    return "".join(out)


def decode_polygons(polygons: Sequence[Any], height: int, width: int) -> Bits:
    """A mask (H, W) of polygons in pixels: a pixel is inside where its centre is inside one of them.

    Raises:
        ValueError: a polygon has fewer than three corners or something that is no number.
    """
    mask = np.zeros((height, width), bool)
    for polygon in polygons:
        try:
            corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        except (TypeError, ValueError):
            raise ValueError("a polygon of it is not a list of x and y in turn") from None
        if len(corners) < 3 or not np.isfinite(corners).all():
            raise ValueError("a polygon of it has fewer than three corners")
        mask |= _fill(corners, height, width)
    return mask


def _fill(corners: NDArray[np.float64], height: int, width: int) -> Bits:
    """Even-odd rule at pixel centres: along each row, the inside toggles where an edge is crossed."""
    toggles = np.zeros((height, width + 1), np.int64)
    rows = np.arange(height) + 0.5
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
        crossed = np.flatnonzero((rows >= min(y0, y1)) & (rows < max(y0, y1)))
        if len(crossed) == 0:
            continue
        x = x0 + (rows[crossed] - y0) * (x1 - x0) / (y1 - y0)
        first = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)  # the first centre right of the edge
        np.add.at(toggles, (crossed, first), 1)
    inside: Bits = np.cumsum(toggles[:, :width], 1) % 2 == 1
    return inside

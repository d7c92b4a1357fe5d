"""Centre lines of strokes: thinning a mask to one pixel, and following the lines that remain."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
AROUND = ((0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1))
"""The eight neighbours (dx, dy), clockwise from the north."""


def _removable() -> Array:
    """(2, 256) bool: for each half step, which of the 256 neighbourhoods lose their middle pixel."""
    table = np.zeros((2, 256), bool)
    for code in range(256):
        bits = [code >> i & 1 for i in range(8)]
        north, _, east, _, south, _, west, _ = bits
        changes = sum(a == 0 and b == 1 for a, b in zip(bits, bits[1:] + bits[:1], strict=True))
        if 2 <= sum(bits) <= 6 and changes == 1:
            table[0, code] = north * east * south == 0 and east * south * west == 0
            table[1, code] = north * east * west == 0 and north * south * west == 0
    return table


_TABLE = _removable()
_CHANGES = np.array(
    [sum((c >> i & 1) == 0 and (c >> (i + 1) % 8 & 1) == 1 for i in range(8)) for c in range(256)], np.uint8
)


def _codes(padded: Array, places: Array, stride: int) -> Array:
    codes = np.zeros(len(places), np.uint8)
    for bit, (dx, dy) in enumerate(AROUND):
        codes |= padded[places + dy * stride + dx] << bit
    return codes


def thin(mask: Array) -> Array:
    """A bool mask (H, W) thinned to lines one pixel wide.

    T. Y. Zhang and C. Y. Suen, "A fast parallel algorithm for thinning digital patterns", CACM 27(3), 1984.
    """
    height, width = mask.shape
    padded = np.pad(mask.astype(np.uint8), 1)
    flat = padded.ravel()
    places = np.flatnonzero(flat)
    changed = True
    while changed:
        changed = False
        for step in (0, 1):
            gone = places[_TABLE[step][_codes(flat, places, width + 2)]]
            if len(gone):
                flat[gone] = 0
                places = places[flat[places] > 0]
                changed = True
    return padded[1 : height + 1, 1 : width + 1] > 0


def chains(skeleton: Array, depth: Array) -> list[tuple[Array, bool]]:
    """The lines of a skeleton between its ends and junctions: (points (N, 2) x, y, closed) each.

    Args:
        skeleton: bool (H, W), thinned.
        depth: distance from each pixel to the rim of the stroke; around a junction the centre line is bent
            as far as the stroke is deep, so that much is left out.
    """
    padded = np.pad(skeleton.astype(np.uint8), 1)
    stride = padded.shape[1]
    flat = padded.ravel()
    places = np.flatnonzero(flat)
    junctions = places[_CHANGES[_codes(flat, places, stride)] >= 3]
    lines = padded.copy()
    for place in junctions:
        y, x = divmod(int(place), stride)
        cv2.circle(lines, (x, y), max(1, round(float(depth[y - 1, x - 1]))), 0, -1)
    flat = lines.ravel()
    left = set(np.flatnonzero(flat).tolist())
    steps = [dy * stride + dx for dx, dy in (*AROUND[::2], *AROUND[1::2])]

    def walk(start: int) -> list[int]:
        path, place = [start], start
        left.discard(start)
        while True:
            for step in steps:
                if place + step in left:
                    place += step
                    left.discard(place)
                    path.append(place)
                    break
            else:
                return path

    ends = [p for p in sorted(left) if sum(p + s in left for s in steps) == 1]
    found = []
    for start in (*ends, *sorted(left)):
        if start not in left:
            continue
        path = walk(start)
        back = walk(start) if len(path) > 1 else [start]
        path = back[:0:-1] + path
        if len(path) < 4:
            continue
        ys, xs = np.divmod(np.array(path), stride)
        points = np.stack([xs - 1, ys - 1], 1)
        gap = np.abs(points[0] - points[-1]).max()
        found.append((points, bool(gap <= 2 and len(path) > 8)))
    return found

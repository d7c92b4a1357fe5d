"""Geodesic distance: the change of colour along the cheapest path through an image to each pixel."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
from numpy.typing import NDArray

UNREACHED = 1e9
"""Distance of a pixel that no path reaches."""


def geodesic_distance(
    colors: NDArray[Any], start: NDArray[np.bool_], step: float = 0.3
) -> NDArray[np.float64]:
    """Length of the cheapest path from the pixels in `start` to each pixel.

    A path costs each change of colour, and `step` per pixel. A pixel that a smooth surface joins to the start is
    near, one that an edge closes off is far (Bai & Sapiro 2007). Dijkstra's algorithm on 8 neighbours.

    Args:
        colors: (H, W, 3) float.
        start: (H, W) bool.

    Returns:
        (H, W); `UNREACHED` if `start` is empty.
    """
    height, width = start.shape
    # A rim of one pixel that no path may enter spares every test of bounds.
    stride = width + 2
    moves: list[tuple[int, list[float], int]] = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = colors[: height - dy, max(0, -dx) : width - max(0, dx)]
        b = colors[dy:, max(0, dx) : width - max(0, -dx)]
        cost = np.full((height + 2, stride), UNREACHED)
        change = np.sqrt(((a - b) ** 2).sum(-1)) + step * np.hypot(dy, dx)
        cost[1 : 1 + change.shape[0], 1 + max(0, -dx) : 1 + max(0, -dx) + change.shape[1]] = change
        flat, offset = cost.ravel().tolist(), dy * stride + dx
        moves += [(offset, flat, 0), (-offset, flat, -offset)]
    seeds = np.flatnonzero(np.pad(start, 1)).tolist()
    distance = [UNREACHED] * ((height + 2) * stride)
    for place in seeds:
        distance[place] = 0.0
    queue = [(0.0, place) for place in seeds]
    while queue:
        length, place = heapq.heappop(queue)
        if length > distance[place]:
            continue
        for offset, cost_at, shift in moves:
            longer = length + cost_at[place + shift]
            if longer < distance[place + offset]:
                distance[place + offset] = longer
                heapq.heappush(queue, (longer, place + offset))
    return np.array(distance).reshape(height + 2, stride)[1:-1, 1:-1]

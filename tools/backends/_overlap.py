"""Several boxes for one thing reduced to one: greedy non-maximum suppression."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from visprog.values import Box


def suppress(
    boxes: Sequence[Box],
    scores: Sequence[float],
    kinds: Sequence[Hashable],
    same: float = 0.45,
    other: float = 1.0,
    inside: float = 1.0,
) -> list[int]:
    """Which boxes stay, best first: each drops the lower-scored ones that it overlaps.

    Args:
        kinds: the class of each box.
        same: intersection over union from which a box of the same kind is dropped.
        other: the same, for a box of another kind; 1 keeps them all.
        inside: share of the smaller box from which a box of the same kind is dropped; 1 keeps them all.
    """
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda j: -scores[j]):
        if not any(_same_thing(boxes[i], boxes[k], kinds[i] == kinds[k], same, other, inside) for k in kept):
            kept.append(i)
    return kept


def _same_thing(a: Box, b: Box, alike: bool, same: float, other: float, inside: float) -> bool:
    shared = a.intersection(b)
    if shared is None:
        return False
    iou = shared.area / (a.area + b.area - shared.area)
    if not alike:
        return iou > other
    return iou > same or shared.area / min(a.area, b.area) > inside

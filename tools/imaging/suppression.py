"""Greedy non-maximum suppression: several boxes of one object reduced to one."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from visprog.values import Box


def suppress(
    boxes: Sequence[Box],
    scores: Sequence[float],
    classes: Sequence[Hashable],
    same: float = 0.45,
    other: float = 1.0,
    inside: float = 1.0,
) -> list[int]:
    """Indices of the boxes that stay, best first: each drops the lower-scored ones that it overlaps.

    Args:
        boxes: Boxes in one frame.
        scores: Score per box.
        classes: Class per box.
        same: Intersection over union from which a box of the same class is dropped.
        other: Intersection over union from which a box of another class is dropped; 1 keeps them all.
        inside: Share of the smaller box from which a box of the same class is dropped; 1 keeps them all.
    """
    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda j: -scores[j]):
        if not any(_overlap(boxes[i], boxes[k], classes[i] == classes[k], same, other, inside) for k in kept):
            kept.append(i)
    return kept


def _overlap(a: Box, b: Box, same_class: bool, same: float, other: float, inside: float) -> bool:
    """Whether two boxes overlap so far that one is dropped."""
    shared = a.intersection(b)
    if shared is None:
        return False
    iou = shared.area / (a.area + b.area - shared.area)
    if not same_class:
        return iou > other
    return iou > same or shared.area / min(a.area, b.area) > inside

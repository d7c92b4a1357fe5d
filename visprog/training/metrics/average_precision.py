"""Average precision of detections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class ScoredBoxes(NamedTuple):
    """Detections of one class in one image, and the true boxes.

    Attributes:
        boxes: (n, 4), corners.
        scores: (n,).
        truth: (m, 4), corners.
    """

    boxes: Floats
    scores: Floats
    truth: Floats


def average_precision(images: Sequence[ScoredBoxes], threshold: float = 0.5) -> float:
    """The area under the precision-recall curve of one class, precision made monotonic (as COCO and VOC
    2010 do); best scores choose first, and each true box counts once. NaN if there is none.

    Args:
        images: one for each image that was searched.
        threshold: the least intersection over union of a right box.
    """
    total = sum(len(image.truth) for image in images)
    if not total:
        return float("nan")
    scores: list[Floats] = [np.zeros(0)]
    right = [np.zeros(0, bool)]
    for image in images:
        order = np.argsort(-image.scores, kind="stable")
        scores.append(image.scores[order])
        right.append(_matched(image.boxes[order], image.truth, threshold))
    hits = np.concatenate(right)[np.argsort(-np.concatenate(scores), kind="stable")]
    gained = np.cumsum(hits)
    precision = gained / np.arange(1, len(hits) + 1)
    best_from_here = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best_from_here[hits].sum() / total)


def _matched(boxes: Floats, truth: Floats, threshold: float) -> NDArray[np.bool_]:
    """For each detection, best first, whether it takes a true box that is still free."""
    hits = np.zeros(len(boxes), bool)
    if not len(boxes) or not len(truth):
        return hits
    extent = np.minimum(boxes[:, None, 2:], truth[None, :, 2:]) - np.maximum(
        boxes[:, None, :2], truth[None, :, :2]
    )
    shared = extent.clip(min=0).prod(-1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)[:, None] + (truth[:, 2:] - truth[:, :2]).prod(-1)[None]
    overlap = shared / np.maximum(areas - shared, 1e-9)
    for i, row in enumerate(overlap):
        best = int(row.argmax())
        if row[best] >= threshold:
            hits[i] = True
            overlap[:, best] = -1.0
    return hits

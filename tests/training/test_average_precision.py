"""Average precision, by hand and against COCO's."""

from __future__ import annotations

import contextlib
import io
import math

import numpy as np
import pytest

from visprog.training.metrics.average_precision import ScoredBoxes, average_precision

BOX = np.array([[0.0, 0, 10, 10]])


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, float).reshape(-1, 4)


def test_by_hand() -> None:
    right = ScoredBoxes(BOX, np.array([0.9]), BOX)
    missed = ScoredBoxes(boxes(), np.zeros(0), BOX)
    false = ScoredBoxes(BOX, np.array([0.95]), boxes())
    assert average_precision([right]) == 1
    assert average_precision([right, missed]) == 0.5
    assert average_precision([right, false]) == 0.5  # the false one comes first
    assert (
        average_precision([ScoredBoxes(boxes((0, 0, 10, 10), (0, 0, 10, 9)), np.array([0.9, 0.8]), BOX)]) == 1
    )
    assert math.isnan(average_precision([false]))


def test_against_coco() -> None:
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")
    rng = np.random.default_rng(0)
    images, annotations, results = [], [], []
    for image in range(40):
        corners = rng.uniform(0, 80, (int(rng.integers(0, 6)), 2))
        truth = np.concatenate([corners, corners + rng.uniform(8, 20, corners.shape)], 1)
        noisy = truth + rng.normal(0, 2.5, truth.shape)
        extra = rng.uniform(0, 80, (3, 2))
        found = np.concatenate([noisy, np.concatenate([extra, extra + 12], 1)])
        scores = rng.uniform(0, 1, len(found))
        images.append(ScoredBoxes(found, scores, truth))
        for box in truth:
            annotations.append({
                "id": len(annotations) + 1, "image_id": image, "category_id": 1, "iscrowd": 0,
                "bbox": [*box[:2], *(box[2:] - box[:2])], "area": float(np.prod(box[2:] - box[:2])),
            })  # fmt: skip
        results += [
            {"image_id": image, "category_id": 1, "bbox": [*b[:2], *(b[2:] - b[:2])], "score": s}
            for b, s in zip(found, scores, strict=True)
        ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth_set = coco.COCO()
        truth_set.dataset = {
            "images": [{"id": i} for i in range(40)], "annotations": annotations, "categories": [{"id": 1}],
        }  # fmt: skip
        truth_set.createIndex()
        judge = evaluation.COCOeval(truth_set, truth_set.loadRes(results), "bbox")
        judge.params.iouThrs = np.array([0.5])
        judge.params.recThrs = np.linspace(0, 1, 10_001)  # the curve itself rather than 101 points of it
        judge.evaluate()
        judge.accumulate()
    wanted = judge.eval["precision"][0, :, 0, 0, 2].mean()
    assert average_precision(images) == pytest.approx(wanted, abs=2e-3)

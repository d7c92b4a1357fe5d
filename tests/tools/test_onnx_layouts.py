"""Outputs of networks for detection, in all the layouts that exporters write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tools.onnx_files import FLOAT16, UINT8, write_network
from visprog.errors import ToolError
from visprog.tools.backends.onnx import OnnxDetector
from visprog.tools.backends.onnx_layouts import yolo, yolo_layout
from visprog.values import Box
from visprog.values.image import Image

BOX = (10.0, 20.0, 40.0, 50.0)
"""What every network finds, in its input of 64 x 64."""

CENTER = (25.0, 35.0, 30.0, 30.0)
SHARES = tuple(v / 64 for v in CENTER)

IMAGE = Image(np.full((64, 64, 3), 90, np.uint8))


def rows(count: int, *row: float) -> np.ndarray[Any, Any]:
    """(1, count, columns): one row that holds something, the others hold boxes of no score."""
    made = np.zeros((1, count, len(row)), np.float32)
    made[0, :, :4] = np.resize(np.array([30, 30, 9, 9], np.float32), (count, 4)) / (
        64 if max(row[:4]) <= 1 else 1
    )
    made[0, 3] = row
    return made


def finished(count: int, *row: float) -> np.ndarray[Any, Any]:
    """(1, count, 6) with empty rows after the last."""
    made = np.zeros((1, count, len(row)), np.float32)
    made[0, 0] = row
    return made


def detector(folder: Path, classes: int, values: np.ndarray[Any, Any], **options: Any) -> OnnxDetector:
    names = folder / "some.names"
    names.write_text("".join(f"sort{'abcd'[i]}\n" for i in range(classes)))
    return OnnxDetector(write_network(folder / "net.onnx", {"output0": values}), labels=str(names), **options)


READ = {
    "end-to-end of 1 class": (1, finished(300, *BOX, 0.9, 0)),
    "end-to-end of 2 classes": (2, finished(300, *BOX, 0.9, 0)),
    "end-to-end of 3 classes": (3, finished(300, *BOX, 0.9, 0)),
    "end-to-end of 100 rows": (1, finished(100, *BOX, 0.9, 0)),
    "v8 of 1 class": (1, rows(84, *CENTER, 0.9).transpose(0, 2, 1)),
    "v8 of 1 class, transposed": (1, rows(84, *CENTER, 0.9)),
    "v8 of 2 classes": (2, rows(84, *CENTER, 0.9, 0.1).transpose(0, 2, 1)),
    "v8 of 2 classes, transposed": (2, rows(84, *CENTER, 0.9, 0.1)),
    "v8 of 3 classes": (3, rows(84, *CENTER, 0.9, 0.1, 0).transpose(0, 2, 1)),
    "v5 of 1 class": (1, rows(252, *CENTER, 0.95, 0.95)),
    "v5 of 2 classes": (2, rows(252, *CENTER, 0.95, 0.95, 0.1)),
    "rt-detr of 1 class": (1, rows(300, *SHARES, 0.9)),
    "rt-detr of 2 classes": (2, rows(300, *SHARES, 0.9, 0.1)),
    "rt-detr of 3 classes": (3, rows(300, *SHARES, 0.9, 0.1, 0.1)),
}


@pytest.mark.parametrize("name", READ)
def test_each_layout_gives_the_same_box(tmp_path: Path, name: str) -> None:
    classes, values = READ[name]
    (found,) = detector(tmp_path, classes, values).detect(IMAGE, "sorta")
    assert found.box.iou(Box(*BOX)) > 0.95
    assert found.score == pytest.approx(0.9, abs=0.01)


REFUSED = {
    "rotated boxes of 1 class": (1, rows(84, *CENTER, 0.9, 0.3).transpose(0, 2, 1), "rotated"),
    "rotated boxes of 3 classes": (3, rows(84, *CENTER, 0.9, 0, 0, 1.2).transpose(0, 2, 1), "rotated"),
    "logits": (2, rows(84, *CENTER, 4.0, -3.0).transpose(0, 2, 1), "sigmoid"),
    "corners with classes": (3, np.tile(np.float32([*BOX, 0.9, 0, 0]), (1, 84, 1)), "centre and size"),
    "shares after suppression": (3, finished(300, *(v / 64 for v in BOX), 0.9, 0), "wrong layout"),
    "class numbers without a label": (3, finished(300, *BOX, 0.9, 7), "class number 7"),
    "boxes outside": (3, finished(300, *(v + 900 for v in BOX), 0.9, 0), "wrong layout"),
    "either of two": (1, finished(300, *BOX, 0.9, 5), "several layouts"),
    "a batch of answers": (3, rows(84, *CENTER, 0.9).repeat(2, 0), "no layout that is known"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_known_is_refused(tmp_path: Path, name: str) -> None:
    classes, values, message = REFUSED[name]
    with pytest.raises(ToolError, match=message):
        detector(tmp_path, classes, values).detect(IMAGE, "sorta")


def test_the_layout_can_be_given(tmp_path: Path) -> None:
    rotated = rows(84, *CENTER, 0.95, 0.95).transpose(0, 2, 1)
    (found,) = detector(tmp_path, 1, rotated, layout="yolov5").detect(IMAGE, "sorta")
    assert found.box.iou(Box(*BOX)) > 0.95
    with pytest.raises(ToolError, match="cannot be of the layout end-to-end"):
        detector(tmp_path, 1, rotated[:, :5], layout="end-to-end").detect(IMAGE, "sorta")
    with pytest.raises(ToolError, match="layout must be one of yolov5, yolov8, rt-detr, end-to-end"):
        OnnxDetector("some.onnx", layout="yolov9")


def test_numbers_decide_where_a_shape_cannot() -> None:
    one = finished(300, *BOX, 0.9, 0)[0]
    assert yolo_layout(one, 1) == yolo_layout(one, 2) == "end-to-end"
    assert yolo(one, 1).boxes[0].tolist() == list(BOX)
    assert yolo_layout(rows(8400, *CENTER, 0.9, 0.4)[0], 1) == "yolov5"
    assert yolo_layout(rows(8400, *CENTER, 0.9, 0.4)[0], 2) == "yolov8"
    shares = rows(300, 0.31, 0.3, 0.31, 0.22, 0.9, 0, 0)[0]
    assert yolo(shares, 3, size=(100, 200)).boxes[3].tolist() == pytest.approx([15.5, 38, 46.5, 82])


@pytest.mark.parametrize("task", ["obb", "segment", "pose", "classify"])
def test_other_tasks_are_refused_by_name(tmp_path: Path, task: str) -> None:
    path = write_network(tmp_path / "n.onnx", {"o": rows(84, *CENTER, 0.9)}, metadata={"task": task})
    with pytest.raises(ToolError, match=f"task '{task}'"):
        OnnxDetector(path).detect(IMAGE, "dog")


def test_names_are_read_from_the_file(tmp_path: Path) -> None:
    metadata = {"task": "detect", "names": "{0: 'bolt', 1: 'wing nut'}"}
    values = rows(84, *CENTER, 0.1, 0.9).transpose(0, 2, 1)
    backend = OnnxDetector(write_network(tmp_path / "n.onnx", {"o": values}, metadata=metadata))
    assert "wing nut" in backend.sees.summary
    (found,) = backend.detect(IMAGE, "wing nuts")
    assert found.label == "wing nut"
    many = {"names": str({i: f"sort{i}" for i in range(90)})}
    assert (
        "sort7" in OnnxDetector(write_network(tmp_path / "m.onnx", {"o": values}, metadata=many)).sees.summary
    )


@pytest.mark.parametrize(
    "given",
    [
        {"kind": FLOAT16},
        {"shape": (1, 64, 64, 3)},
        {"shape": ("batch", 3, "height", "width")},
        {"shape": ("batch", 3, 64, 64)},
    ],
)
def test_inputs_of_many_kinds_are_fed(tmp_path: Path, given: dict[str, Any]) -> None:
    values = rows(84, *CENTER, 0.9).astype(np.float16).transpose(0, 2, 1)
    names = {"names": "{0: 'bolt'}"}
    path = write_network(tmp_path / "n.onnx", {"o": np.ascontiguousarray(values)}, metadata=names, **given)
    (found,) = OnnxDetector(path, size=64).detect(IMAGE, "bolt")
    assert found.box.iou(Box(*BOX)) > 0.95


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": UINT8}, "one float input"),
        ({"shape": (4, 3, 64, 64)}, "batch of 1"),
        ({"shape": (1, 1, 64, 64)}, "three channels|RGB"),
        ({"shape": (1, 3, 64)}, "one float input"),
    ],
)
def test_inputs_that_cannot_be_fed_are_refused(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    path = write_network(tmp_path / "n.onnx", {"o": rows(84, *CENTER, 0.9)}, **given)
    with pytest.raises(ToolError, match=message):
        OnnxDetector(path).detect(IMAGE, "dog")


def test_a_segmentation_export_is_refused(tmp_path: Path) -> None:
    outputs = {
        "output0": np.zeros((1, 116, 84), np.float32),
        "output1": np.zeros((1, 32, 16, 16), np.float32),
    }
    with pytest.raises(ToolError, match="no layout that is known"):
        OnnxDetector(write_network(tmp_path / "n.onnx", outputs)).detect(IMAGE, "dog")


def test_named_boxes_in_shares_are_refused(tmp_path: Path) -> None:
    outputs = {
        "boxes": np.array([[0.1, 0.2, 0.5, 0.6]], np.float32),
        "scores": np.array([0.9], np.float32),
        "labels": np.array([3]),
    }
    with pytest.raises(ToolError, match="wrong layout"):
        OnnxDetector(write_network(tmp_path / "n.onnx", outputs)).detect(IMAGE, "dog")

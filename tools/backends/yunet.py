"""Faces by YuNet (Wu, Peng & Yu 2023) in an ONNX file."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry import answer_each
from visprog.values import Box, Region
from visprog.values.image import Image

from ..imaging.suppression import suppress
from .cascades import HaarFaces
from .onnx_network import Network, file_tail, resize

STRIDES = (8, 16, 32)
"""Pixels of the input per cell, for each group of outputs."""

MIN_SCORE = 0.3
"""Score below which a cell is not read."""


class YuNetFaces:
    """The YuNet face detector in an ONNX file.

    Args:
        model: Path of the file.
        threshold: Lowest score of a face.
        max_side: Longer side, in pixels, to which larger images are reduced before the search.
    """

    process = "native"

    def __init__(self, model: str | None = None, *, threshold: float = 0.7, max_side: int = 1280) -> None:
        self.model = model
        self.threshold = threshold
        self.max_side = max_side
        self._network: Network | None = None

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.find)

    def find(self, image: Image) -> list[Region]:
        """Faces of one image, most certain first.

        Raises:
            ToolError: No model is configured, or it is not YuNet.
        """
        if self._network is None:
            self._network = Network(self.model, "find_faces")
        boxes, scores = yunet_boxes(self._network, image.pixels, self.max_side)
        sure = [i for i, score in enumerate(scores) if score >= self.threshold]
        boxes, scores = [boxes[i] for i in sure], [scores[i] for i in sure]
        kept = suppress(boxes, scores, ["face"] * len(boxes), same=0.3)
        return [Region(image.to_root(boxes[i]), "face", scores[i], image.root) for i in kept]


class BestFaces:
    """YuNet if its file is there, else OpenCV's cascades, which miss about every third face of a street.

    Args:
        model: Path of a YuNet file; by default one that lies in the folder `data` of OpenCV.
        threshold: Lowest score of a face, for YuNet.
    """

    process = "native"

    def __init__(self, model: str | None = None, *, threshold: float = 0.7) -> None:
        model = model or yunet_beside_opencv()
        self.finder = YuNetFaces(model, threshold=threshold) if model else HaarFaces()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return self.finder(calls)

    def find(self, image: Image) -> list[Region]:
        """Faces of one image, most certain first."""
        return self.finder.find(image)


@cache
def yunet_beside_opencv() -> str | None:
    """Path of a YuNet file in the folder `data` of OpenCV, the newest by name; None if there is none."""
    import cv2

    files = sorted((Path(cv2.__file__).parent / "data").glob("*.onnx"), reverse=True)
    return next((str(path) for path in files if holds_yunet(path)), None)


def is_yunet(outputs: list[str]) -> bool:
    """Whether a network is YuNet, by the names of its outputs."""
    return {f"{part}_{stride}" for part in ("cls", "obj", "bbox") for stride in STRIDES} <= set(outputs)


def holds_yunet(path: Path) -> bool:
    """Whether a file holds YuNet, by the names of its outputs: the network is not opened."""
    return is_yunet(re.findall(r"[a-z]+_\d+", file_tail(path).decode("latin-1")))


def yunet_boxes(
    network: Network, pixels: NDArray[np.uint8], max_side: int = 1280
) -> tuple[list[Box], list[float]]:
    """Faces that YuNet sees in RGB pixels (H, W, 3): boxes in their pixels, and scores; not yet suppressed.

    At each stride the outputs are a row per cell: class and presence, whose geometric mean is the score, and
    the box as the offset of its centre in cells and the logarithm of its size in cells.

    Raises:
        ToolError: The network is not YuNet.
    """
    if not is_yunet(network.outputs):
        raise ToolError(f"{network.path} is not YuNet: its outputs are {', '.join(network.outputs)}")
    height, width = pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if network.size:
        scale = min(network.size[0] / width, network.size[1] / height)
    small = resize(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))[:, :, ::-1]
    columns, rows = network.size or (-(-small.shape[1] // 32) * 32, -(-small.shape[0] // 32) * 32)
    canvas = np.zeros((rows, columns, 3), np.float32)
    canvas[: small.shape[0], : small.shape[1]] = small
    values = network(canvas)
    boxes, scores = [], []
    frame = Box(0, 0, width, height)
    for stride in STRIDES:
        score = np.sqrt(
            values[f"cls_{stride}"][0, :, 0].clip(0, 1) * values[f"obj_{stride}"][0, :, 0].clip(0, 1)
        )
        for i in np.flatnonzero(score > MIN_SCORE):
            dx, dy, dw, dh = (float(v) for v in values[f"bbox_{stride}"][0, i])
            row, column = divmod(int(i), columns // stride)
            cx, cy = (column + dx) * stride / scale, (row + dy) * stride / scale
            w, h = np.exp(min(dw, 6.0)) * stride / scale, np.exp(min(dh, 6.0)) * stride / scale
            boxes.append(Box(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2).clip(frame))
            scores.append(float(score[i]))
    return boxes, scores

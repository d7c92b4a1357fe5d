"""Detectors in ONNX files: the layout of the outputs decides how they are read.

Supported are FastestDet, YOLO (v5 to v8 and later, with and without its own suppression), RT-DETR, outputs named
boxes, scores and labels, and YuNet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.registry.sees import Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from ..color import has_color
from ..imaging.suppression import suppress
from ..words.labels import ClassPhrases, Labels
from ..words.phrase import read_phrase
from .onnx_layouts import (
    YOLO_LAYOUTS,
    Array,
    RawDetections,
    fastestdet,
    named,
    read_layout,
    yolo,
    yolo_layout,
)
from .onnx_network import Network, class_names, resize
from .yunet import holds_yunet, is_yunet, yunet_boxes

Pixels = NDArray[np.uint8]

MAX_REMEMBERED = 16
"""Number of images whose detections are kept: programs often look for several kinds of objects in one image."""

TILE_SCORE = 0.75
"""Lowest score of an object in a tile: a part shows less of what surrounds an object, and the network errs more."""


class OnnxDetector:
    """Backend of `detect` for a network in an ONNX file.

    Args:
        model: Path of the ONNX file.
        labels: Path of a text file with one class a line. By default the names that the file itself holds, as
            exports of Ultralytics do, else COCO's 80.
        layout: Layout of the outputs of a YOLO or RT-DETR export: "yolov5", "yolov8", "rt-detr" or "end-to-end". By
            default it is known by their shape and numbers, or an error says that it must be set.
        threshold: Lowest score of an object; by default 0.5 for FastestDet, 0.7 for YuNet and 0.4 for others.
        nms: Intersection over union from which two boxes of one class are one object.
        size: Side of the input in pixels, for networks that take any.
        tiles: Whether FastestDet also searches four overlapping parts of the image, for small objects.
        threads: Number of threads of the runtime.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        labels: str | None = None,
        layout: str | None = None,
        threshold: float | None = None,
        nms: float = 0.4,
        size: int = 640,
        tiles: bool = True,
        threads: int = 2,
    ) -> None:
        if layout is not None and layout not in YOLO_LAYOUTS:
            raise ToolError(f"layout must be one of {', '.join(YOLO_LAYOUTS)}, not '{layout}'")
        self.model, self.label_file, self.threshold, self.nms = model, labels, threshold, nms
        self.layout = layout
        self.size, self.tiles, self.threads = size, tiles, threads
        self._find: Callable[[Pixels], RawDetections] | None = None
        self._labels = Labels(["object"])
        self._remembered: OrderedDict[str, list[tuple[Box, str, float, int]]] = OrderedDict()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.detect)

    def detect(self, image: Image, what: str) -> list[Region]:
        """The objects of one kind in one image, most certain first.

        Raises:
            Refused: The network has no such class; the message names the nearest.
            ToolError: The model cannot be used.
        """
        if self._find is None:
            self._open()
        phrases = ClassPhrases(self._labels, Path(str(self.model)).name)
        if refusal := phrases.refusal(what):
            raise Refused(refusal)
        wanted, color = phrases.find(read_phrase(what))
        found = [each for each in self._objects(image) if each[3] in wanted]
        if len(wanted) > 1:
            kept = suppress([f[0] for f in found], [f[2] for f in found], [""] * len(found), same=0.6)
            found = [found[i] for i in kept]
        regions = [Region(image.to_root(box), label, score, image.root) for box, label, score, _ in found]
        return [r for r in regions if has_color(r, color)] if color else regions

    @property
    def sees(self) -> Sees:
        """The classes, as far as they are known without running the network."""
        path = Path(str(self.model)).expanduser()
        if path.is_file() and holds_yunet(path):
            labels = Labels(["face"])
        else:
            labels = self._read_labels(path)
        phrases = ClassPhrases(labels, path.name)
        return Sees(phrases.summary, {"what": phrases})

    def _read_labels(self, path: Path) -> Labels:
        if self.label_file:
            return Labels.read(self.label_file)
        names = class_names(path) if path.is_file() else []
        return Labels(names) if names else Labels.coco()

    def _objects(self, image: Image) -> list[tuple[Box, str, float, int]]:
        """All objects that the network sees in an image, as (box, label, score, class), best first."""
        if image.digest in self._remembered:
            self._remembered.move_to_end(image.digest)
            return self._remembered[image.digest]
        if self._find is None:
            raise ToolError("the detector is not open")
        found = self._find(image.pixels)
        corners = np.nan_to_num(found.boxes).clip(0, [image.width, image.height] * 2)
        found = found.where((corners[:, 2] - corners[:, 0] >= 1) & (corners[:, 3] - corners[:, 1] >= 1))
        corners = np.nan_to_num(found.boxes).clip(0, [image.width, image.height] * 2)
        boxes = [Box(*(float(v) for v in row)) for row in corners]
        classes = [int(c) for c in found.classes]
        scores = [min(float(s), 1.0) for s in found.scores]
        # Networks of this size often see one object under two names ("dog", "cat"): the surer name stays.
        kept = suppress(boxes, scores, classes, same=self.nms, other=0.65, inside=0.75)
        objects = [(boxes[i], self._labels.names[classes[i]], scores[i], classes[i]) for i in kept]
        self._remembered[image.digest] = objects
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return objects

    def _open(self) -> None:
        network = Network(self.model, "detect", self.threads)
        labels = self._read_labels(Path(network.path).expanduser())
        if is_yunet(network.outputs):
            self._labels, self._find = Labels(["face"]), self._faces(network)
            return
        task = network.metadata.get("task", "detect")
        if task != "detect":
            raise ToolError(
                f"{network.path} is a network for the task '{task}', which detect does not read: export one for "
                "detection (upright boxes)"
            )
        size = network.size or (self.size, self.size)
        trial = network(np.zeros((size[1], size[0], 3), np.float32))
        layout = read_layout(trial, len(labels))
        if layout is None:
            shapes = ", ".join(f"{name} {value.shape}" for name, value in trial.items())
            raise ToolError(
                f"the outputs of {network.path} are of no layout that is known with {len(labels)} "
                f'classes ({shapes}): give the right label file (labels = "PATH"), or export it as YOLO or '
                f"with outputs named boxes, scores and labels"
            )
        if layout == "yolo" and self.layout is None:
            (values,) = trial.values()
            self.layout = yolo_layout(values[0], len(labels))
        self._labels = labels
        self._find = {"fastestdet": self._fastestdet, "yolo": self._yolo, "named": self._named}[layout](
            network, size
        )

    def _fastestdet(self, network: Network, size: tuple[int, int]) -> Callable[[Pixels], RawDetections]:
        threshold = 0.5 if self.threshold is None else self.threshold

        def find_all(pixels: Pixels) -> RawDetections:
            small = resize(pixels, size)[:, :, ::-1].astype(np.float32) / 255
            (grid,) = network(small).values()
            (mirror,) = network(small[:, ::-1]).values()
            height, width = pixels.shape[:2]
            return fastestdet(_activate(grid[0]), _activate(mirror[0]), width, height)

        def find(pixels: Pixels) -> RawDetections:
            whole = find_all(pixels)
            found = [whole.where(whole.scores >= threshold)]
            if self.tiles:
                for x0, y0, x1, y1 in _tiles(pixels.shape[1], pixels.shape[0]):
                    part = find_all(pixels[y0:y1, x0:x1])
                    sure = part.where(
                        (part.scores >= max(threshold, TILE_SCORE)) & ~_cut_off(part, x0, y0, x1, y1, pixels)
                    )
                    found.append(
                        RawDetections(
                            sure.boxes + np.array([x0, y0, x0, y0], np.float32), sure.scores, sure.classes
                        )
                    )
            return RawDetections.join(found)

        return find

    def _yolo(self, network: Network, size: tuple[int, int]) -> Callable[[Pixels], RawDetections]:
        def find(pixels: Pixels) -> RawDetections:
            canvas, scale, left, top = _letterbox(pixels, size)
            (values,) = network(canvas.astype(np.float32) / 255).values()
            found = yolo(values[0], len(self._labels), self.layout, size)
            found = found.where(found.scores >= (0.4 if self.threshold is None else self.threshold))
            found = found.checked(size, len(self._labels), network.path)
            return RawDetections(
                (found.boxes - np.array([left, top, left, top], np.float32)) / scale,
                found.scores,
                found.classes,
            )

        return find

    def _named(self, network: Network, size: tuple[int, int]) -> Callable[[Pixels], RawDetections]:
        def find(pixels: Pixels) -> RawDetections:
            values = network(resize(pixels, size).astype(np.float32) / 255)
            found = named(values)
            found = found.where(found.scores >= (0.4 if self.threshold is None else self.threshold))
            found = found.checked(size, len(self._labels), network.path)
            stretch = np.array([pixels.shape[1] / size[0], pixels.shape[0] / size[1]] * 2, np.float32)
            return RawDetections(found.boxes * stretch, found.scores, found.classes)

        return find

    def _faces(self, network: Network) -> Callable[[Pixels], RawDetections]:
        def find(pixels: Pixels) -> RawDetections:
            boxes, scores = yunet_boxes(network, pixels)
            rows = np.array([(b.left, b.top, b.right, b.bottom) for b in boxes], np.float32).reshape(-1, 4)
            found = RawDetections(rows, np.array(scores, np.float32), np.zeros(len(boxes), np.intp))
            return found.where(found.scores >= (0.7 if self.threshold is None else self.threshold))

        return find


def _activate(grid: Array) -> Array:
    """The grid with its activations, which FastestDet's exports leave out: tanh of offsets, sigmoid of sizes."""
    grid = grid.copy()
    grid[1:3] = np.tanh(grid[1:3])
    grid[3:5] = 1 / (1 + np.exp(-grid[3:5]))
    return grid


def _tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Four parts of 60 % of each side, overlapping in the middle."""
    w, h = int(0.6 * width), int(0.6 * height)
    return [(x, y, x + w, y + h) for y in (0, height - h) for x in (0, width - w)] if min(w, h) >= 64 else []


def _cut_off(
    found: RawDetections, x0: int, y0: int, x1: int, y1: int, pixels: NDArray[Any]
) -> NDArray[np.bool_]:
    """Whether each box (N,) reaches an edge of the tile that is not an edge of the image."""
    height, width = pixels.shape[:2]
    edge = 0.01 * max(width, height)
    left, top, right, bottom = found.boxes.T
    cut: NDArray[np.bool_] = (
        ((left < edge) & (x0 > 0)) | ((top < edge) & (y0 > 0))
        | ((right > x1 - x0 - edge) & (x1 < width)) | ((bottom > y1 - y0 - edge) & (y1 < height))
    )  # fmt: skip
    return cut


def _letterbox(pixels: Pixels, size: tuple[int, int]) -> tuple[Pixels, float, int, int]:
    """The image scaled into the middle of a grey canvas, the scale, and the left and top of its corner."""
    scale = min(size[0] / pixels.shape[1], size[1] / pixels.shape[0])
    small = resize(pixels, (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))))
    left, top = (size[0] - small.shape[1]) // 2, (size[1] - small.shape[0]) // 2
    canvas = np.full((size[1], size[0], 3), 114, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas, scale, left, top

"""A detector from an ONNX file: the layout of its outputs tells how they are read.

Understood are FastestDet, YOLO (v5 to v8 and later, with and without its own suppression), RT-DETR, outputs named
boxes, scores and labels, and YuNet.
"""

from __future__ import annotations

import ast
import re
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from ..words.labels import ClassPhrases, Labels
from ..words.phrase import read_phrase
from ._each import answer_each
from ._overlap import suppress
from .onnx_layouts import YOLO_LAYOUTS, Array, Found, fastestdet, named, read_layout, yolo, yolo_layout

TAIL = 1 << 16
"""Bytes at the end of an ONNX file, in which its outputs are described."""

INPUT_TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

REMEMBERED = 16
"""Pictures whose detections are kept: programs often ask for several kinds of things in one picture."""


class Network:
    """An ONNX file, opened.

    Attributes:
        size: (width, height) of its input, None where it is free.
        outputs: their names.

    Raises:
        ToolError: no path is configured, no such file, or it cannot be run.
    """

    def __init__(self, path: str | None, tool: str, threads: int = 2) -> None:
        import onnxruntime

        if path is None:
            raise ToolError(
                f'{tool} needs an ONNX file with this backend: set model = "PATH.onnx" under [tools.{tool}] '
                f"in visprog.toml"
            )
        if not Path(path).expanduser().is_file():
            raise ToolError(f"{tool}: there is no model file {path}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(
                str(Path(path).expanduser()), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime has its own kinds of error, not exported
            reason = str(error).splitlines()[0]
            raise ToolError(f"{tool}: the model file {path} cannot be used: {reason}") from None
        self.path = path
        self.tool = tool
        inputs = self.session.get_inputs()
        shape: list[Any] = inputs[0].shape
        self.dtype = INPUT_TYPES.get(inputs[0].type)
        if len(inputs) != 1 or self.dtype is None or len(shape) != 4:
            raise ToolError(f"{tool}: {path} must have one float input (1, 3, height, width)")
        self.channels_last = shape[3] == 3 and shape[1] != 3
        batch, channels, height, width = [shape[i] for i in (0, 3, 1, 2)] if self.channels_last else shape
        if (isinstance(batch, int) and batch > 1) or (isinstance(channels, int) and channels != 3):
            given = ", ".join(str(side) for side in shape)
            raise ToolError(
                f"{tool}: {path} takes an input ({given}), but one image of three channels is given: export it for "
                "a batch of 1 and RGB"
            )
        self.size = (width, height) if isinstance(width, int) and isinstance(height, int) else None
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.metadata: dict[str, str] = self.session.get_modelmeta().custom_metadata_map

    def __call__(self, pixels: NDArray[Any]) -> dict[str, Array]:
        """Outputs by name for an input (H, W, 3).

        Raises:
            ToolError: the network cannot be run on it.
        """
        image = pixels if self.channels_last else pixels.transpose(2, 0, 1)
        batch = np.ascontiguousarray(image[None], dtype=self.dtype)
        try:
            values = self.session.run(None, {self.session.get_inputs()[0].name: batch})
        except Exception as error:  # the runtime has its own kinds of error, not exported
            reason = str(error).splitlines()[0]
            size = f"{pixels.shape[1]} x {pixels.shape[0]}"
            raise ToolError(f"{self.tool}: {self.path} fails on an input of {size}: {reason}") from None
        return {name: np.asarray(value, np.float32) for name, value in zip(self.outputs, values, strict=True)}


class OnnxDetector:
    """Backend of `detect` for a network in an ONNX file.

    Args:
        model: path of the ONNX file.
        labels: path of a text file with one class a line. By default the names that the file itself holds, as
            exports of Ultralytics do, else COCO's 80.
        layout: of the outputs of a YOLO or RT-DETR export: "yolov5", "yolov8", "rt-detr" or "end-to-end". By
            default it is known by its shape and numbers, and asked for if it cannot be known.
        threshold: lowest score of what is found; where it is not given, 0.5 for FastestDet and 0.4 for
            others.
        nms: intersection over union from which two boxes of one class are one thing.
        size: side of the input in pixels, for networks that leave it free.
        tiles: FastestDet only: look a second time at four overlapping parts, for small things.
        threads: of the runtime.
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
        self._look: Callable[[NDArray[np.uint8]], Found] | None = None
        self._labels = Labels(["object"])
        self._seen: OrderedDict[str, list[tuple[Box, str, float, int]]] = OrderedDict()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.detect)

    def detect(self, image: Image, what: str) -> list[Region]:
        """The things of one kind in one image, most certain first.

        Raises:
            Refused: the network has no such class; the message names the nearest.
            ToolError: the model cannot be used.
        """
        if self._look is None:
            self._open()
        phrases = ClassPhrases(self._labels, Path(str(self.model)).name)
        if refusal := phrases.refusal(what):
            raise Refused(refusal)
        wanted, color = phrases.find(read_phrase(what))
        things = [t for t in self._things(image) if t[3] in wanted]
        if len(wanted) > 1:
            kept = suppress([t[0] for t in things], [t[2] for t in things], [""] * len(things), same=0.6)
            things = [things[i] for i in kept]
        regions = [Region(image.to_root(box), label, score, image.root) for box, label, score, _ in things]
        if color:
            from ..color import has_color

            regions = [r for r in regions if has_color(r, color)]
        return regions

    @property
    def sees(self) -> Sees:
        """The classes, as far as they are known without running the network."""
        path = Path(str(self.model)).expanduser()
        if path.is_file() and finds_faces(path):
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

    def _things(self, image: Image) -> list[tuple[Box, str, float, int]]:
        """All that the network sees in an image, as (box, label, score, class), best first."""
        if image.digest in self._seen:
            self._seen.move_to_end(image.digest)
            return self._seen[image.digest]
        if self._look is None:
            raise ToolError("the detector is not open")
        found = self._look(image.pixels)
        corners = np.nan_to_num(found.boxes).clip(0, [image.width, image.height] * 2)
        found = found.where((corners[:, 2] - corners[:, 0] >= 1) & (corners[:, 3] - corners[:, 1] >= 1))
        corners = np.nan_to_num(found.boxes).clip(0, [image.width, image.height] * 2)
        boxes = [Box(*(float(v) for v in row)) for row in corners]
        classes = [int(c) for c in found.classes]
        scores = [min(float(s), 1.0) for s in found.scores]
        # Networks of this size often see one thing under two names ("dog", "cat"): the surer name stays.
        kept = suppress(boxes, scores, classes, same=self.nms, other=0.65, inside=0.75)
        things = [(boxes[i], self._labels.names[classes[i]], scores[i], classes[i]) for i in kept]
        self._seen[image.digest] = things
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return things

    def _open(self) -> None:
        network = Network(self.model, "detect", self.threads)
        labels = self._read_labels(Path(network.path).expanduser())
        if is_yunet(network.outputs):
            self._labels, self._look = Labels(["face"]), self._faces(network)
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
                f"the outputs of {network.path} are of no layout that is understood with {len(labels)} "
                f'classes ({shapes}): give the right label file (labels = "PATH"), or export it as YOLO or '
                f"with outputs named boxes, scores and labels"
            )
        if layout == "yolo" and self.layout is None:
            (values,) = trial.values()
            self.layout = yolo_layout(values[0], len(labels))
        self._labels = labels
        self._look = {"fastestdet": self._fastestdet, "yolo": self._yolo, "named": self._named}[layout](
            network, size
        )

    def _fastestdet(self, network: Network, size: tuple[int, int]) -> Callable[[NDArray[np.uint8]], Found]:
        threshold = 0.5 if self.threshold is None else self.threshold

        def part(pixels: NDArray[np.uint8]) -> Found:
            small = _resize(pixels, size)[:, :, ::-1].astype(np.float32) / 255
            (grid,) = network(small).values()
            (mirror,) = network(small[:, ::-1]).values()
            height, width = pixels.shape[:2]
            return fastestdet(_activate(grid[0]), _activate(mirror[0]), width, height)

        def look(pixels: NDArray[np.uint8]) -> Found:
            whole = part(pixels)
            found = [whole.where(whole.scores >= threshold)]
            if self.tiles:
                # A part shows less of what surrounds a thing, and the network errs more: ask for more
                # certainty.
                for x0, y0, x1, y1 in _tiles(pixels.shape[1], pixels.shape[0]):
                    seen = part(pixels[y0:y1, x0:x1])
                    sure = seen.where(
                        (seen.scores >= max(threshold, 0.75)) & ~_cut_off(seen, x0, y0, x1, y1, pixels)
                    )
                    found.append(
                        Found(sure.boxes + np.array([x0, y0, x0, y0], np.float32), sure.scores, sure.classes)
                    )
            return Found.join(found)

        return look

    def _yolo(self, network: Network, size: tuple[int, int]) -> Callable[[NDArray[np.uint8]], Found]:
        def look(pixels: NDArray[np.uint8]) -> Found:
            canvas, scale, left, top = _letterbox(pixels, size)
            (values,) = network(canvas.astype(np.float32) / 255).values()
            found = yolo(values[0], len(self._labels), self.layout, size)
            found = found.where(found.scores >= (0.4 if self.threshold is None else self.threshold))
            found = found.checked(size, len(self._labels), network.path)
            return Found(
                (found.boxes - np.array([left, top, left, top], np.float32)) / scale,
                found.scores,
                found.classes,
            )

        return look

    def _named(self, network: Network, size: tuple[int, int]) -> Callable[[NDArray[np.uint8]], Found]:
        def look(pixels: NDArray[np.uint8]) -> Found:
            values = network(_resize(pixels, size).astype(np.float32) / 255)
            found = named(values)
            found = found.where(found.scores >= (0.4 if self.threshold is None else self.threshold))
            found = found.checked(size, len(self._labels), network.path)
            stretch = np.array([pixels.shape[1] / size[0], pixels.shape[0] / size[1]] * 2, np.float32)
            return Found(found.boxes * stretch, found.scores, found.classes)

        return look

    def _faces(self, network: Network) -> Callable[[NDArray[np.uint8]], Found]:
        def look(pixels: NDArray[np.uint8]) -> Found:
            boxes, scores = yunet_boxes(network, pixels)
            rows = np.array([(b.left, b.top, b.right, b.bottom) for b in boxes], np.float32).reshape(-1, 4)
            found = Found(rows, np.array(scores, np.float32), np.zeros(len(boxes), np.intp))
            return found.where(found.scores >= (0.7 if self.threshold is None else self.threshold))

        return look


# -- YuNet --------------------------------------------------------------------------------------------


def is_yunet(outputs: list[str]) -> bool:
    return {f"{kind}_{stride}" for kind in ("cls", "obj", "bbox") for stride in (8, 16, 32)} <= set(outputs)


def finds_faces(path: Path) -> bool:
    """Whether a file holds YuNet, by the names of its outputs, which stand at its end: the network is not opened."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - TAIL, 0))
        end = file.read()
    return is_yunet(re.findall(r"[a-z]+_\d+", end.decode("latin-1")))


def class_names(path: Path) -> list[str]:
    """Names of the classes that an ONNX file itself holds, in order; none if it holds none.

    They stand in the metadata at its end, as `{0: 'person', 1: 'bicycle'}`: the network is not opened.
    """
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - TAIL, 0))
        end = file.read()
    match = re.search(rb"names\x12[\x80-\xff]*[\x00-\x7f](\{0: .*?\})", end, re.DOTALL)
    try:
        names = ast.literal_eval(match[1].decode()) if match else {}
    except (ValueError, SyntaxError):
        return []
    return [str(names[i]) for i in range(len(names))] if set(names) == set(range(len(names))) else []


def yunet_boxes(
    network: Network, pixels: NDArray[np.uint8], max_side: int = 1280
) -> tuple[list[Box], list[float]]:
    """Faces that YuNet sees in RGB pixels (H, W, 3): boxes in their pixels, and scores; not yet suppressed.

    At each stride the outputs are a row a cell: class and presence, whose geometric mean is the score, and
    the box as the offset of its centre in cells and the logarithm of its size in cells.

    Raises:
        ToolError: the network is not YuNet.
    """
    if not is_yunet(network.outputs):
        raise ToolError(f"{network.path} is not YuNet: its outputs are {', '.join(network.outputs)}")
    height, width = pixels.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    if network.size:
        scale = min(network.size[0] / width, network.size[1] / height)
    small = _resize(pixels, (max(1, round(width * scale)), max(1, round(height * scale))))[:, :, ::-1]
    columns, rows = network.size or (-(-small.shape[1] // 32) * 32, -(-small.shape[0] // 32) * 32)
    canvas = np.zeros((rows, columns, 3), np.float32)
    canvas[: small.shape[0], : small.shape[1]] = small
    values = network(canvas)
    boxes, scores = [], []
    frame = Box(0, 0, width, height)
    for stride in (8, 16, 32):
        score = np.sqrt(
            values[f"cls_{stride}"][0, :, 0].clip(0, 1) * values[f"obj_{stride}"][0, :, 0].clip(0, 1)
        )
        for i in np.flatnonzero(score > 0.3):
            dx, dy, dw, dh = (float(v) for v in values[f"bbox_{stride}"][0, i])
            row, column = divmod(int(i), columns // stride)
            cx, cy = (column + dx) * stride / scale, (row + dy) * stride / scale
            w, h = np.exp(min(dw, 6.0)) * stride / scale, np.exp(min(dh, 6.0)) * stride / scale
            boxes.append(Box(cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2).clip(frame))
            scores.append(float(score[i]))
    return boxes, scores


def _activate(grid: Array) -> Array:
    """FastestDet's exports leave it to the reader to squash offsets (tanh) and sizes (sigmoid)."""
    grid = grid.copy()
    grid[1:3] = np.tanh(grid[1:3])
    grid[3:5] = 1 / (1 + np.exp(-grid[3:5]))
    return grid


def _tiles(width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Four parts of 60 % of each side, overlapping in the middle."""
    w, h = int(0.6 * width), int(0.6 * height)
    return [(x, y, x + w, y + h) for y in (0, height - h) for x in (0, width - w)] if min(w, h) >= 64 else []


def _cut_off(found: Found, x0: int, y0: int, x1: int, y1: int, pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Which boxes reach an edge of the tile that is not an edge of the picture."""
    height, width = pixels.shape[:2]
    edge = 0.01 * max(width, height)
    left, top, right, bottom = found.boxes.T
    cut: NDArray[np.bool_] = (
        ((left < edge) & (x0 > 0)) | ((top < edge) & (y0 > 0))
        | ((right > x1 - x0 - edge) & (x1 < width)) | ((bottom > y1 - y0 - edge) & (y1 < height))
    )  # fmt: skip
    return cut


def _resize(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    import cv2

    smaller = size[0] < pixels.shape[1] or size[1] < pixels.shape[0]
    resized: NDArray[np.uint8] = cv2.resize(
        pixels, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    )
    return resized


def _letterbox(pixels: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], float, int, int]:
    """The picture scaled into the middle of a grey canvas; the scale, and where its corner lies."""
    scale = min(size[0] / pixels.shape[1], size[1] / pixels.shape[0])
    small = _resize(pixels, (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale))))
    left, top = (size[0] - small.shape[1]) // 2, (size[1] - small.shape[0]) // 2
    canvas = np.full((size[1], size[0], 3), 114, np.uint8)
    canvas[top : top + small.shape[0], left : left + small.shape[1]] = small
    return canvas, scale, left, top

"""Layouts in which detection networks give boxes, scores and classes, and how each is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError

Array = NDArray[np.float32]

YOLO_LAYOUTS = ("yolov5", "yolov8", "rt-detr", "end-to-end")
"""Choices of the option `layout`."""

MAX_QUERIES = 1000
"""Number of rows of exports that end in their own suppression, or look for a fixed number of objects."""


@dataclass(frozen=True)
class RawDetections:
    """Objects that a network sees in one image.

    Attributes:
        boxes: (N, 4) left, top, right, bottom in pixels.
        scores: (N,).
        classes: (N,).
    """

    boxes: Array
    scores: Array
    classes: NDArray[np.intp]

    @classmethod
    def join(cls, parts: list[RawDetections]) -> RawDetections:
        """The objects of several parts together."""
        return cls(
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.scores for p in parts]),
            np.concatenate([p.classes for p in parts]),
        )

    def where(self, keep: NDArray[Any]) -> RawDetections:
        """The objects that a mask (N,) or an index keeps."""
        return RawDetections(self.boxes[keep], self.scores[keep], self.classes[keep])

    def checked(self, size: tuple[int, int], classes: int, model: str) -> RawDetections:
        """The same, if the boxes can be in pixels of the input (width, height), and the classes have names.

        Raises:
            ToolError: No box has a pixel within the input, or a class has no name.
        """
        if not len(self.boxes):
            return self
        if not ((self.classes >= 0) & (self.classes < classes)).all():
            raise ToolError(
                f"{model} finds class number {int(self.classes.max())}, but there are {classes} labels: give the "
                'label file of this network (labels = "PATH") under [tools.detect] in visprog.toml'
            )
        inner = self.boxes.clip(0, [*size, *size])
        if not ((inner[:, 2] - inner[:, 0] >= 1) & (inner[:, 3] - inner[:, 1] >= 1)).any():
            raise ToolError(
                f"no box of {model} has a pixel within its input of {size[0]} x {size[1]}, so its outputs are read in "
                f"a wrong layout: set layout to one of {', '.join(YOLO_LAYOUTS)} under [tools.detect] in visprog.toml"
            )
        return self


def read_layout(outputs: dict[str, Array], classes: int) -> str | None:
    """The layout of outputs by name, for a number of classes: "fastestdet", "yolo", "named"; None if it is unknown."""
    if len(outputs) == 1:
        (value,) = outputs.values()
        if value.ndim == 4 and value.shape[1] == classes + 5:
            return "fastestdet"
        if value.ndim == 3 and (value.shape[2] == 6 or {classes + 4, classes + 5} & set(value.shape[1:])):
            return "yolo"
        return None
    return "named" if len(_by_role(outputs)) == 3 else None


def yolo_layout(values: Array, classes: int) -> str:
    """One of `YOLO_LAYOUTS`: that of an output without its batch axis, by its shape and its numbers.

    Raises:
        ToolError: It is not one of them, or can be several; the message names the option.
    """
    rows, columns = values.shape
    if columns not in (classes + 4, classes + 5, 6):
        if rows == classes + 4:
            return "rt-detr" if _shares(values.T) else _centers(values.T)
        raise ToolError(
            f"an output ({rows}, {columns}) with {classes} classes is that of rotated boxes (OBB), which detect does "
            'not read: export a model for upright boxes, or set layout = "yolov5" under [tools.detect] if it is one'
        )
    possible = {
        "yolov8": columns == classes + 4,
        "yolov5": columns == classes + 5,
        "end-to-end": columns == 6,
    }
    names = [name for name, fits in possible.items() if fits]
    if "end-to-end" in names and len(names) > 1:
        finished = rows <= MAX_QUERIES and _finished(values, classes)
        names = ["end-to-end"] if finished else [n for n in names if n != "end-to-end"]
        if not finished and rows <= MAX_QUERIES and _ordered(values):
            raise _ambiguous(values, classes, ["end-to-end", *names])
    if names == ["yolov8"]:
        return "rt-detr" if _shares(values) else _centers(values)
    return names[0]


def yolo(
    values: Array, classes: int, layout: str | None = None, size: tuple[int, int] = (640, 640)
) -> RawDetections:
    """Boxes, in pixels of the input (width, height), of a YOLO or RT-DETR export without its batch axis.

    "yolov8" is (4 + classes, N) of YOLOv8 and later, "yolov5" is (N, 5 + classes) with a score of presence, either
    way round: centre and size in pixels. "rt-detr" is like "yolov8" with boxes as shares of the input.
    "end-to-end" is (N, 6) after the network's own suppression: left, top, right, bottom, score, class.

    Raises:
        ToolError: The layout is not given and cannot be known, or the numbers cannot be of this layout.
    """
    layout = layout or yolo_layout(values, classes)
    columns = {"yolov5": classes + 5, "end-to-end": 6}.get(layout, classes + 4)
    if values.shape[1] != columns and values.shape[0] == columns:
        values = values.T
    if values.shape[1] != columns:
        raise ToolError(f"an output {values.shape} cannot be of the layout {layout} with {classes} classes")
    scores = values[:, 4:5] if layout == "end-to-end" else values[:, 4:]
    if values.size and not (scores.min() >= -0.01 and scores.max() <= 1.01):
        raise ToolError(
            f"the scores of the network reach from {scores.min():.3g} to {scores.max():.3g}, not 0 to 1: export it "
            "with its last activation (sigmoid), or set another layout under [tools.detect] in visprog.toml"
        )
    if layout == "end-to-end":
        return RawDetections(values[:, :4], values[:, 4], values[:, 5].round().astype(np.intp))
    cx, cy, w, h = values[:, :4].T
    boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1)
    if layout == "rt-detr":
        boxes = boxes * np.array([*size, *size], np.float32)
    scores = values[:, -classes:]
    if layout == "yolov5":
        scores = scores * values[:, 4:5]
    return RawDetections(boxes, scores.max(1), scores.argmax(1))


def named(outputs: dict[str, Array]) -> RawDetections:
    """Outputs named boxes (N, 4: left, top, right, bottom in pixels of the input), scores and labels (N,)."""
    role = _by_role(outputs)
    boxes = role["boxes"].reshape(-1, 4)
    return RawDetections(boxes, role["scores"].reshape(-1), role["labels"].reshape(-1).astype(np.intp))


def fastestdet(grid: Array, mirror: Array, width: int, height: int) -> RawDetections:
    """Boxes of FastestDet (Ma, 2022) from its activated grid (5 + classes, H, W) and that of the mirrored
    image.

    Rows are the presence of an object, the offset of its centre from the cell's corner in cells, its size as
    a share of the image, and the probability of each class. The two grids are averaged, which removes
    much noise.
    """
    unmirrored = mirror[:, :, ::-1].copy()
    unmirrored[1] = 1 - unmirrored[1]
    grid = np.array((grid + unmirrored) / 2, np.float32)
    rows, columns = grid.shape[1:]
    y, x = np.mgrid[:rows, :columns]
    cx, cy = (x + grid[1]) / columns * width, (y + grid[2]) / rows * height
    w, h = grid[3] * width, grid[4] * height
    boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], -1).reshape(-1, 4)
    scores = grid[0] ** 0.6 * grid[5:].max(0) ** 0.4
    return RawDetections(boxes.astype(np.float32), scores.ravel(), grid[5:].argmax(0).ravel())


def _by_role(outputs: dict[str, Array]) -> dict[str, Array]:
    roles = {"boxes": ("box",), "scores": ("score", "conf"), "labels": ("label", "class", "cls")}
    found = {}
    for role, hints in roles.items():
        for name, value in outputs.items():
            if any(hint in name.lower() for hint in hints):
                found[role] = value
    return found


def _live(rows: Array) -> Array:
    """Rows that hold a box: those after the last are zero in many exports."""
    return rows[rows[:, :4].any(1)]


def _ordered(rows: Array) -> bool:
    """Whether all boxes can be left, top, right, bottom."""
    live = _live(rows)
    return bool(((live[:, 2] >= live[:, 0]) & (live[:, 3] >= live[:, 1])).all())


def _finished(rows: Array, classes: int) -> bool:
    """Whether (N, 6) can be left, top, right, bottom, score and a whole class number."""
    numbers = rows[:, 5]
    whole = (numbers == numbers.round()) & (numbers >= 0) & (numbers < classes)
    return bool(whole.all()) and _ordered(rows)


def _shares(rows: Array) -> bool:
    """Whether boxes are shares of the input: none reaches far beyond 1."""
    live = _live(rows)
    return bool(len(live) and np.abs(live[:, :4]).max() <= 1.5)


def _centers(rows: Array) -> str:
    """ "yolov8", if boxes are not as good as certainly left, top, right, bottom.

    Raises:
        ToolError: They are.
    """
    if len(_live(rows)) >= 64 and _ordered(rows):
        raise ToolError(
            f"the boxes of an output {rows.shape} seem to be left, top, right, bottom, not centre and size: "
            'export it as YOLO, or set layout = "yolov8" under [tools.detect] in visprog.toml if it is'
        )
    return "yolov8"


def _ambiguous(values: Array, classes: int, names: list[str]) -> ToolError:
    choices = " or ".join(f'"{name}"' for name in names)
    return ToolError(
        f"an output {values.shape} with {classes} classes can be of several layouts: set layout = {choices} under "
        "[tools.detect] in visprog.toml"
    )

"""The package `segment-anything` without torchvision, as a reference for our own SAM.

The package imports four functions of torchvision. If torchvision is missing, or does not fit the installed torch,
substitutes take their place while the package is imported, and nothing of them stays visible afterwards.
"""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_importing = threading.Lock()


def import_package() -> Any:
    """The module `segment_anything`; the test is skipped if it is not installed."""
    with _importing:
        if "segment_anything" in sys.modules:
            return sys.modules["segment_anything"]
        if _torchvision_works():
            return _import()
        with _substitutes():
            return _import()


def _import() -> Any:
    return pytest.importorskip("segment_anything", reason="segment-anything is not installed")


def _torchvision_works() -> bool:
    try:
        importlib.import_module("torchvision.ops")
        importlib.import_module("torchvision.transforms.functional")
    except (ImportError, RuntimeError, AttributeError, OSError):
        return False  # a build for another torch fails in many ways
    return True


@contextmanager
def _substitutes() -> Iterator[None]:
    names = ("torchvision", "torchvision.ops", "torchvision.ops.boxes", "torchvision.transforms",
             "torchvision.transforms.functional")  # fmt: skip
    hidden = {n: sys.modules.pop(n) for n in list(sys.modules) if n.partition(".")[0] == "torchvision"}
    modules = {name: types.ModuleType(name) for name in names}
    vars(modules["torchvision.ops.boxes"]).update(batched_nms=batched_nms, box_area=box_area)
    vars(modules["torchvision.transforms.functional"]).update(resize=resize, to_pil_image=to_pil_image)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(hidden)


def box_area(boxes: Any) -> Any:
    """(N, 4) corners → (N,) areas."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def batched_nms(boxes: Any, scores: Any, idxs: Any, iou_threshold: float) -> Any:
    """Indices, best first, of the boxes (N, 4) that no better one of their class overlaps by more."""
    import torch

    order = scores.argsort(descending=True, stable=True)
    areas = box_area(boxes)
    kept = []
    while len(order):
        first, order = order[0], order[1:]
        kept.append(first)
        low = torch.maximum(boxes[first, :2], boxes[order, :2])
        high = torch.minimum(boxes[first, 2:], boxes[order, 2:])
        shared = (high - low).clamp(min=0).prod(1)
        iou = shared / (areas[first] + areas[order] - shared)
        order = order[(iou <= iou_threshold) | (idxs[order] != idxs[first])]
    return torch.stack(kept) if kept else torch.empty(0, dtype=torch.int64, device=boxes.device)


def to_pil_image(pixels: Any) -> Any:
    """uint8 (H, W, 3) → a PIL image."""
    import PIL.Image

    return PIL.Image.fromarray(pixels)


def resize(image: Any, size: Any) -> Any:
    """A PIL image at (height, width), bilinear."""
    import PIL.Image

    return image.resize((size[1], size[0]), PIL.Image.Resampling.BILINEAR)

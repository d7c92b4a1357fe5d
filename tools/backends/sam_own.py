"""`segment` and `segment_everything` with the bundled SAM, or with one of one's own from `visprog train sam`."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box, Point, Region
from visprog.values.image import Image

from ._bundled import model_folder, read_once
from ._gate import to_view
from .sam import Ask, PromptedSegmenter, is_point
from .sam_everything import SamEverything

if TYPE_CHECKING:
    from ...models.preprocess.image_processor import ImageProcessor
    from ...models.sam.model import Sam
    from ...models.sam.predictor import SamPredictor


LEAST = 16.0
"""Side in pixels of the smallest window."""


class EmbeddedSegmenter(PromptedSegmenter):
    """A small SAM (Kirillov et al. 2023): the thing in a box, or the thing at a point.

    Args:
        model: folder of a model trained with `visprog train sam`; the bundled one where not given.
        window: only a square around a box is looked at, so many times its longer side, and its mask is the finer
            for it; 0 for the whole picture. Where not given, 2 with the bundled model, which knows things of all
            sizes, and 0 with one of one's own.
        remembered: how many encoded pictures, or windows of pictures, are kept.
    """

    def __init__(
        self, model: str | None = None, *, window: float | None = None, remembered: int = 16
    ) -> None:
        self.folder = model_folder(model, "sam")
        self.window = window if window is not None else 2.0 if model is None else 0.0
        super().__init__(str(self.folder), remembered)
        self._lock = threading.RLock()
        self._predictor: SamPredictor | None = None

    def _prepare(self, image: Image, region: Region | Point) -> Ask:
        ask, seen = super()._prepare(image, region), to_view(image, self.folder, "segment")
        return super()._prepare(seen, region) if image.to_root(ask.box).inside(seen.box, 0) else ask

    def _masks(self, image: Image, boxes: list[Box]) -> Iterable[NDArray[np.bool_]]:
        if not self.window or any(map(is_point, boxes)):
            return self._look(image, boxes)
        return [self._look_closely(image, box) for box in boxes]

    def _look_closely(self, image: Image, box: Box) -> NDArray[np.bool_]:
        """The mask of a box, seen in its window."""
        part = image.crop(image.to_root(around(box, image.width, image.height, self.window)))
        shift = image.to_local(part.box)
        (seen,) = self._look(part, [box.shift(-shift.left, -shift.top)])
        mask = np.zeros((image.height, image.width), bool)
        top, left = int(shift.top), int(shift.left)
        mask[top : top + part.height, left : left + part.width] = seen
        return mask

    def _look(self, image: Image, boxes: list[Box]) -> NDArray[np.bool_]:
        import torch

        with self._lock:
            predictor = self.predictor
            (predictor.image,) = self._encoded.get(
                [image.digest], lambda _: [predictor.set_image(image.pixels)]
            )
            corners = torch.tensor([[b.left, b.top, b.right, b.bottom] for b in boxes])
            if all(map(is_point, boxes)):
                answer = predictor.predict(points=corners[:, None, :2])
            else:
                answer = predictor.predict(boxes=corners)
        masks = answer.logits[torch.arange(len(boxes)), answer.iou_predictions.argmax(-1)] > 0
        return masks.numpy()  # type: ignore[no-any-return]

    @property
    def predictor(self) -> SamPredictor:
        """The model, loaded at the first use.

        Raises:
            ToolError: the folder holds no such model.
        """
        with self._lock:
            if self._predictor is None:
                self._predictor = predictor_of(self.folder)
            return self._predictor


class EmbeddedEverything(SamEverything):
    """The bundled SAM asked about everything; the arguments are those of `SamEverything`.

    Args:
        model: folder of a model trained with `visprog train sam`; the bundled one where not given.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        points_per_side: int = 16,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.9,
    ) -> None:
        super().__init__(
            str(model_folder(model, "sam")),
            points_per_side=points_per_side,
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
        )

    def everything(self, image: Image) -> list[Region]:
        """All things and parts of things, surest first.

        Raises:
            ToolError: there is no such model.
            Refused: the model was not taught such images.
        """
        return super().everything(to_view(image, Path(self.model), "segment_everything"))

    def load(self) -> SamPredictor:
        """Read the weights."""
        return predictor_of(Path(self.model))


def around(box: Box, width: int, height: int, factor: float) -> Box:
    """The window in which a box is looked at: a square of `factor` times its longer side, moved into a picture of
    that width and height, and cut where the picture is smaller."""
    side = max(factor * max(box.width, box.height), LEAST)
    across, down = min(side, width), min(side, height)
    left = min(max(box.center.x - across / 2, 0.0), width - across)
    top = min(max(box.center.y - down / 2, 0.0), height - down)
    return Box(left, top, left + across, top + down)


def predictor_of(folder: Path) -> SamPredictor:
    """One of a backend's own: it remembers the picture that it looks at."""
    from ...models.sam.predictor import SamPredictor

    return SamPredictor(*load(folder))


@read_once("SAM model")
def load(folder: Path) -> tuple[Sam, ImageProcessor]:
    """A model that `visprog train` saved, and its image processor.

    Raises:
        ToolError: the folder holds none.
    """
    from ...models.preprocess.image_processor import ImageProcessor
    from ...models.sam.model import Sam

    return Sam.from_pretrained(folder), ImageProcessor.from_pretrained(folder)

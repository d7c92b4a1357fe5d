"""`segment` and `segment_everything` with the bundled SAM, or with one of one's own from `visprog train sam`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visprog.values import Box
from visprog.values.image import Image

from ..hub.everything import SamEverything
from ..hub.segment import PromptedSegmenter, is_point
from . import model_folder, read_once

if TYPE_CHECKING:
    from ..models.sam import Sam
    from ..models.sam_predictor import SamPredictor


class EmbeddedSegmenter(PromptedSegmenter):
    """A small SAM (Kirillov et al. 2023): the thing in a box, or the thing at a point.

    Args:
        model: folder of a model trained with `visprog train sam`; the bundled one where not given.
        remembered: how many encoded pictures are kept.
    """

    def __init__(self, model: str | None = None, *, remembered: int = 4) -> None:
        self.folder = model_folder(model, "sam")
        super().__init__(str(self.folder), remembered)
        self._lock = threading.RLock()
        self._predictor: SamPredictor | None = None

    def _masks(self, image: Image, boxes: list[Box]) -> NDArray[np.bool_]:
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
        masks = answer.logits[torch.arange(len(boxes)), answer.iou.argmax(-1)] > 0
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
        side: int = 16,
        least_iou: float = 0.8,
        least_stability: float = 0.9,
    ) -> None:
        folder = str(model_folder(model, "sam"))
        super().__init__(folder, side=side, least_iou=least_iou, least_stability=least_stability)

    def load(self) -> SamPredictor:
        """Read the weights."""
        return predictor_of(Path(self.model))


def predictor_of(folder: Path) -> SamPredictor:
    """One of a backend's own: it remembers the picture that it looks at."""
    from ..models.sam_predictor import SamPredictor

    return SamPredictor(load(folder))


@read_once("SAM model")
def load(folder: Path) -> Sam:
    """A model that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ..models.sam import Sam

    return Sam.load(folder)

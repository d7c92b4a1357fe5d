"""`segment` and `segment_everything` with the bundled SAM, or with one of one's own from `visprog train sam`."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Box
from visprog.values.image import Image

from ..hub.everything import SamEverything
from ..hub.segment import PromptedSegmenter, is_point
from . import need_torch

if TYPE_CHECKING:
    from ..models.sam_predictor import SamPredictor

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "sam"


class EmbeddedSegmenter(PromptedSegmenter):
    """A small SAM (Kirillov et al. 2023): the thing in a box, or the thing at a point.

    Args:
        model: folder of a model trained with `visprog train sam`; the bundled one where not given.
        remembered: how many encoded pictures are kept.
    """

    def __init__(self, model: str | None = None, *, remembered: int = 4) -> None:
        need_torch()
        super().__init__(model, remembered)
        self._lock = threading.RLock()
        self._predictor: SamPredictor | None = None

    def unload(self) -> None:
        """Let go of the weights."""
        with self._lock:
            self._predictor = None

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
                self._predictor = load(Path(self.model).expanduser() if self.model else WEIGHTS)
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
        need_torch()
        super().__init__(
            model or str(WEIGHTS),
            side=side,
            least_iou=least_iou,
            least_stability=least_stability,
            device="cpu",
        )

    def load(self) -> SamPredictor:
        """Read the weights."""
        return load(Path(self.model).expanduser())


def load(folder: Path) -> SamPredictor:
    """A model that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ..models.sam import Sam
    from ..models.sam_predictor import SamPredictor

    try:
        return SamPredictor(Sam.load(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"segment: there is no SAM model in {folder}: {error}") from error

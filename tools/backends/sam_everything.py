"""`segment_everything` with SAM, asked at points on a grid (Kirillov et al. 2023, appendix B)."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from visprog.errors import MissingExtra, ToolError
from visprog.values import Mask, Region
from visprog.values.image import Image

from ._checkpoint import first_line, pick_device
from ._each import answer_each

if TYPE_CHECKING:
    from ...models.sam.predictor import SamPredictor


class SamEverything:
    """A public SAM checkpoint in this package's own implementation; see `SamAutomaticMaskGenerator` for what the
    thresholds mean. The score of a region is the model's own idea of how well its mask fits.

    Args:
        model: a folder in the hub's layout, or a hub id.
        points_per_side: points along each side of the grid.
        pred_iou_thresh: masks that the model rates lower are dropped.
        stability_score_thresh: so are those that change more than this with the threshold.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        points_per_side: int = 32,
        pred_iou_thresh: float = 0.88,
        stability_score_thresh: float = 0.95,
        device: str = "auto",
    ) -> None:
        self.model = model or "facebook/sam-vit-base"
        self.points_per_side, self.pred_iou_thresh = points_per_side, pred_iou_thresh
        self.stability_score_thresh = stability_score_thresh
        self.device = device
        self._lock = threading.Lock()
        self._predictor: SamPredictor | None = None

    def unload(self) -> None:
        """Let go of the weights."""
        with self._lock:
            self._predictor = None

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.everything)

    def everything(self, image: Image) -> list[Region]:
        """All things and parts of things, surest first.

        Raises:
            ToolError: there is no such model.
        """
        with self._lock:
            self._predictor = self._predictor or self.load()
            from ...models.sam.automatic import SamAutomaticMaskGenerator

            generator = SamAutomaticMaskGenerator(
                self._predictor, points_per_side=self.points_per_side, pred_iou_thresh=self.pred_iou_thresh,
                stability_score_thresh=self.stability_score_thresh,
            )  # fmt: skip
            found = generator.generate(image.pixels)
        origin = image.origin
        masks = [Mask.tight(f.pixels, int(origin.x) + f.box[0], int(origin.y) + f.box[1]) for f in found]
        return [
            Region(mask.box, "", min(1.0, max(0.0, f.predicted_iou)), image.root, mask)
            for mask, f in zip(masks, found, strict=True)
        ]

    def load(self) -> SamPredictor:
        """Read the weights."""
        try:
            from ...models.sam.model import Sam
            from ...models.sam.predictor import SamPredictor
        except ImportError as error:
            raise MissingExtra("segment_everything with SAM", "hf") from error
        try:
            model = Sam.from_pretrained(self.model)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ToolError(
                f"segment_everything: cannot load SAM from {self.model}: {first_line(error)}"
            ) from error
        return SamPredictor(model.to(pick_device(self.device)))

"""`segment` and `segment_everything` with SAM 2 (Ravi et al., 2024), by transformers.

The tracker of SAM 3 (Carion et al., 2025) and EdgeTAM (Zhou et al., 2025), whose image encoder needs timm, are prompted
alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._checkpoint import Checkpoint
from ._loading import image_processor_alone, load_by_transformers
from .sam import SamBackend, SamEverything, SamSegmenter

if TYPE_CHECKING:
    from ._sam_predictor import ImagePredictor


class Sam2Backend(SamBackend):
    """What both tools share."""

    default_model = "facebook/sam2.1-hiera-tiny"
    model_types = ("sam2", "sam2_video", "sam3_tracker", "sam3_video", "edgetam", "edgetam_video")
    """Those for videos have the one for images in them."""

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded when it is first used; the tools share it.

        Raises:
            ToolError: There is no such model.
        """
        return load_by_transformers(
            self._find(),
            "AutoModelForMaskGeneration",
            self.device,
            self.dtype,
            processor=image_processor_alone,
        )

    @property
    def predictor(self) -> ImagePredictor:
        """A new predictor on the model, without an image."""
        from ._sam_predictor import KeepingSam2Predictor

        return KeepingSam2Predictor(self.checkpoint)


class Sam2Segmenter(Sam2Backend, SamSegmenter):
    """The mask of the object in a box or at a point: of the three that SAM 2 proposes, the one that it rates best. Each
    image is encoded once; its boxes and points are then cheap."""


class Sam2Everything(Sam2Backend, SamEverything):
    """All objects and parts of objects in an image, found from points on a grid. The score of a region is the model's
    own estimate of how well its mask fits."""

    default_iou = 0.8

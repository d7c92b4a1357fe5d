"""SAM with the images that it has encoded. Imports torch: only where SAM runs."""

from __future__ import annotations

from typing import Any, Protocol

from visprog.models.preprocess.image_processor import ImageArray
from visprog.models.sam.predictor import EncodedImage, MaskPredictor, SamPredictor
from visprog.values.image import Image

from ._checkpoint import Checkpoint
from ._features import FEATURES


class ImagePredictor(MaskPredictor, Protocol):
    """A predictor of masks that knows the images of programs."""

    def show(self, image: Image) -> Any:
        """As `set_image`, of an image that knows its digest."""


class KeepingPredictor(SamPredictor):
    """A predictor that takes images which were encoded before from the cache.

    Args:
        checkpoint: A SAM.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.network, checkpoint.processor.image_processor)
        self.checkpoint = checkpoint

    def set_image(self, image: ImageArray) -> EncodedImage:
        """As `SamPredictor.set_image`."""
        return self.show(Image(image))

    def show(self, image: Image) -> EncodedImage:
        """As `set_image`, of an image that knows its digest."""
        encode = super().set_image
        (self.image,) = FEATURES.get(
            self.checkpoint, "image", [image.digest], lambda _: [encode(image.pixels)]
        )
        return self.image

"""SAM 2 with the images that it has encoded. Imports torch: only where it runs."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from visprog.models.preprocess.image_processor import ImageArray
from visprog.models.sam.predictor import Prediction
from visprog.values.image import Image

from ._checkpoint import Checkpoint
from ._features import FEATURES


class EncodedImage(NamedTuple):
    """An image as SAM 2 encodes it.

    Attributes:
        embeddings: Three maps of features, the finest first, (1, channels, h, w) each.
        size: Height and width of the image.
    """

    embeddings: tuple[Tensor, ...]
    size: tuple[int, int]


class Sam2Predictor:
    """Predicts masks of one image at a time. Images that were encoded before come from the cache.

    Args:
        checkpoint: A model of transformers that is prompted as `Sam2Model`, with an `ImageProcessor`.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.image: EncodedImage | None = None

    def set_image(self, image: ImageArray) -> EncodedImage:
        """Encode an image, uint8 (height, width, 3), and make it the one that prompts are about."""
        return self.show(Image(image))

    def show(self, image: Image) -> EncodedImage:
        """As `set_image`, of an image that knows its digest."""
        (self.image,) = FEATURES.get(
            self.checkpoint, "image", [image.digest], lambda _: [self._encode(image)]
        )
        return self.image

    def predict(self, points: Tensor | None = None, *, boxes: Tensor | None = None) -> Prediction:
        """Three masks for each of N prompts in pixels of the image: points (N, K, 2), or boxes (N, 4).

        Raises:
            ValueError: No image was set.
        """
        if self.image is None:
            raise ValueError("set_image comes first: there is no image that the prompts could be about")
        height, width = self.image.size
        rows, columns = self.checkpoint.processor.image_processor.size
        scale = torch.tensor([columns / width, rows / height])
        given = {}
        if points is not None:
            given["input_points"] = self.checkpoint.send((points * scale).float()[None])
        if boxes is not None:
            given["input_boxes"] = self.checkpoint.send((boxes * scale.repeat(2)).float()[None])
        output = self.checkpoint.network(
            image_embeddings=list(self.image.embeddings), multimask_output=True, **given
        )
        masks = output.pred_masks[0].float()
        logits = F.interpolate(masks, (height, width), mode="bilinear", align_corners=False)
        return Prediction(logits, output.iou_scores[0].float(), masks)

    def _encode(self, image: Image) -> EncodedImage:
        pixels = self.checkpoint.send(self.checkpoint.processor.image_processor([image.pixels]))
        embeddings = self.checkpoint.network.get_image_embeddings(pixels)
        return EncodedImage(tuple(each.clone() for each in embeddings), (image.height, image.width))

"""SAM 2 on one image (Ravi et al., 2024): the network of transformers, which is encoded once, and then prompted."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..preprocess.image_processor import ImageArray, ImageProcessor
from .predictor import Prediction


class Sam2Encoding(NamedTuple):
    """An image as SAM 2 encodes it.

    Attributes:
        embeddings: three maps of features, the finest first, (1, channels, h, w) each.
        size: height and width of the image.
    """

    embeddings: tuple[Tensor, ...]
    size: tuple[int, int]


class Sam2Predictor:
    """A network that is prompted as the `Sam2Model` of transformers, and the image that it is prompted about.

    Args:
        network: the network, in evaluation mode.
        image_processor: prepares images: stretches them to a square.

    Attributes:
        image: the image that prompts are about; a return value of `set_image` may be put here again.
    """

    def __init__(self, network: Any, image_processor: ImageProcessor) -> None:
        if image_processor.size is None:
            raise ValueError("SAM 2 sees squares: its image processor needs a height and a width")
        self.network = network
        self.image_processor = image_processor
        self.size = image_processor.size
        self.image: Sam2Encoding | None = None

    @torch.no_grad()
    def set_image(self, image: ImageArray) -> Sam2Encoding:
        """Encode an image, uint8 (height, width, 3), and make it the one that prompts are about."""
        embeddings = self.network.get_image_embeddings(self._send(self.image_processor([image])))
        self.image = Sam2Encoding(tuple(each.clone() for each in embeddings), image.shape[:2])
        return self.image

    @torch.no_grad()
    def predict(self, points: Tensor | None = None, *, boxes: Tensor | None = None) -> Prediction:
        """Three masks for each of N prompts in pixels of the image: points (N, K, 2), or boxes (N, 4).

        Raises:
            ValueError: no image was set.
        """
        if self.image is None:
            raise ValueError("set_image comes first: there is no image that the prompts could be about")
        height, width = self.image.size
        scale = torch.tensor([self.size[1] / width, self.size[0] / height])
        given = {}
        if points is not None:
            given["input_points"] = self._send((points * scale)[None])
        if boxes is not None:
            given["input_boxes"] = self._send((boxes * scale.repeat(2))[None])
        output = self.network(image_embeddings=list(self.image.embeddings), multimask_output=True, **given)
        masks = output.pred_masks[0].float()
        logits = F.interpolate(masks, (height, width), mode="bilinear", align_corners=False)
        return Prediction(logits, output.iou_scores[0].float(), masks)

    def _send(self, value: Tensor) -> Tensor:
        weight = next(self.network.parameters())
        return value.to(weight.device, weight.dtype)

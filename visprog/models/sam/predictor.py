"""SAM on one image: it is encoded once, and then prompted any number of times."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..preprocess.image_processor import BILINEAR, ImageArray, ImageProcessor
from .model import Sam


class EncodedImage(NamedTuple):
    """An image as SAM encodes it.

    Attributes:
        embedding: (1, width, h, w).
        original_size: height and width of the image.
        input_size: height and width of the image as it was given to the model, before padding.
    """

    embedding: Tensor
    original_size: tuple[int, int]
    input_size: tuple[int, int]


class Prediction(NamedTuple):
    """Predictions for N prompts, M masks each; a mask is where its logits are positive.

    Attributes:
        logits: (N, M, height, width), of the size of the image.
        iou_predictions: predicted IoU of each mask with the object, (N, M).
        low_res_masks: logits of the decoder (N, M, 4 h, 4 w), which a further prompt may contain.
    """

    logits: Tensor
    iou_predictions: Tensor
    low_res_masks: Tensor


class MaskPredictor(Protocol):
    """What predicts masks of one image for prompts: SAM, and its successors."""

    def set_image(self, image: ImageArray) -> Any:
        """Encode an image, uint8 (height, width, 3), and make it the one that prompts are about."""

    def predict(self, points: Tensor | None = None, *, boxes: Tensor | None = None) -> Prediction:
        """Masks for N prompts in pixels of the image: points (N, K, 2), or boxes (N, 4)."""


def sam_image_processor(size: int = 1024) -> ImageProcessor:
    """The image processor of SAM: the longer side `size` pixels, padded to a square on the right and below."""
    return ImageProcessor(
        longest=size,
        resample=BILINEAR,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        pad=(size, size),
    )


class SamPredictor:
    """A model and the image that it is prompted about.

    Args:
        model: put into evaluation mode.
        image_processor: prepares images; `sam_image_processor` of the model's size if not given.

    Attributes:
        image: the image that prompts are about; a return value of `set_image` may be put here again.
    """

    def __init__(self, model: Sam, image_processor: ImageProcessor | None = None) -> None:
        self.model = model.eval()
        self.image_processor = image_processor or sam_image_processor(model.config.image_size)
        self.image: EncodedImage | None = None

    @torch.no_grad()
    def set_image(self, image: ImageArray) -> EncodedImage:
        """Encode an image, uint8 (height, width, 3), and make it the one that prompts are about."""
        resized = self.image_processor.fit(image)
        device = self.model.prompt_encoder.frequencies.device
        embedding, _ = self.model.image_encoder(self.image_processor([image]).to(device))
        embedding = embedding.to(self.model.prompt_encoder.no_mask_embed.dtype)
        self.image = EncodedImage(embedding, image.shape[:2], resized.shape[:2])
        return self.image

    @torch.no_grad()
    def predict(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        *,
        multimask_output: bool = True,
    ) -> Prediction:
        """Masks for N prompts, in pixels of the image.

        Args:
            points: (N, K, 2), x and y.
            labels: (N, K), as in `Sam`; all 1 if not given.
            boxes: (N, 4).
            masks: `low_res_masks` of an earlier prediction, (N, 4 h, 4 w).
            multimask_output: whether to predict several masks each, for prompts that may mean several objects.

        Raises:
            ValueError: no image was set, or the numbers of prompts differ.
        """
        image = self.image
        if image is None:
            raise ValueError("set_image comes first: there is no image that the prompts could be about")
        embedding = image.embedding
        # Coordinates are float32 in a model of any precision: bfloat16 has no 1001, only 1000 and 1004.
        scale = torch.tensor(
            [new / old for new, old in zip(image.input_size, image.original_size, strict=True)],
            device=embedding.device,
        ).flip(0)
        given = {
            "points": None if points is None else points.to(scale) * scale,
            "labels": None if labels is None else labels.to(scale.device),
            "boxes": None if boxes is None else boxes.to(scale) * scale.repeat(2),
            "masks": None if masks is None else masks.to(embedding),
        }
        output = self.model(
            image_embeddings=embedding,
            multimask_output=multimask_output,
            **{name: None if prompt is None else prompt[None] for name, prompt in given.items()},
        )
        low_res = output.masks[0]
        return Prediction(self.postprocess_masks(low_res, image), output.iou_predictions[0], low_res)

    def postprocess_masks(self, low_res_masks: Tensor, image: EncodedImage) -> Tensor:
        """Logits of the decoder (N, M, 4 h, 4 w) at the size of the image, without the padding."""
        patch = self.model.config.patch
        padded = [side * patch for side in image.embedding.shape[2:]]
        whole = F.interpolate(low_res_masks.float(), padded, mode="bilinear")
        height, width = image.input_size
        return F.interpolate(whole[..., :height, :width], image.original_size, mode="bilinear")

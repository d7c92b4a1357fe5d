"""Ask SAM about a picture: it is encoded once, and then prompted as often as one likes."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..preprocess.image_processor import BILINEAR, Picture, Pixels
from .model import Sam


class Encoded(NamedTuple):
    """A picture as SAM sees it.

    Attributes:
        embedding: (1, width, h, w).
        original: height and width of the picture.
        resized: those of the picture as it was given to the model, before padding.
    """

    embedding: Tensor
    original: tuple[int, int]
    resized: tuple[int, int]


class Prediction(NamedTuple):
    """Answers to N prompts, M masks each; a mask is where logits are positive.

    Attributes:
        logits: of the size of the picture, (N, M, height, width).
        iou: how well each mask fits, as the model sees it, (N, M).
        small: the decoder's own logits (N, M, 4 h, 4 w): a further prompt.
    """

    logits: Tensor
    iou: Tensor
    small: Tensor


def sam_pixels(size: int = 1024) -> Pixels:
    """How SAM wants its pictures: the longer side `size` pixels, padded to a square on the right and below."""
    return Pixels(
        longest=size,
        resample=BILINEAR,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        pad=(size, size),
    )


class SamPredictor:
    """A model and the picture it looks at.

    Args:
        model: put into evaluation mode.
        pixels: how pictures are prepared; `sam_pixels` of the model's size where not given.

    Attributes:
        image: the picture that prompts are about; what `set_image` once returned may be put here again.
    """

    def __init__(self, model: Sam, pixels: Pixels | None = None) -> None:
        self.model = model.eval()
        self.pixels = pixels or sam_pixels(model.config.image_size)
        self.image: Encoded | None = None

    @torch.no_grad()
    def set_image(self, picture: Picture) -> Encoded:
        """Encode a picture, uint8 (height, width, 3), and make it the one that prompts are about."""
        fitted = self.pixels.fit(picture)
        device = self.model.prompts.frequencies.device
        embedding, _ = self.model.encoder(self.pixels([picture]).to(device))
        self.image = Encoded(embedding, picture.shape[:2], fitted.shape[:2])
        return self.image

    @torch.no_grad()
    def predict(
        self,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        *,
        multimask: bool = True,
    ) -> Prediction:
        """Masks for N prompts, in pixels of the picture.

        Args:
            points: (N, K, 2), x and y.
            labels: (N, K), as in `Sam`; 1 where not given.
            boxes: (N, 4).
            masks: `small` logits of an earlier answer, (N, 4 h, 4 w).
            multimask: several masks each, for prompts that may mean several things.

        Raises:
            ValueError: no picture was set, or the prompts are of different number.
        """
        image = self.image
        if image is None:
            raise ValueError("set_image comes first: there is no picture that the prompts could be about")
        embedding = image.embedding
        # Coordinates are float32 in a model of any precision: bfloat16 has no 1001, only 1000 and 1004.
        scale = torch.tensor(
            [new / old for new, old in zip(image.resized, image.original, strict=True)],
            device=embedding.device,
        ).flip(0)
        given = {
            "points": None if points is None else points.to(scale) * scale,
            "labels": None if labels is None else labels.to(scale.device),
            "boxes": None if boxes is None else boxes.to(scale) * scale.repeat(2),
            "masks": None if masks is None else masks.to(embedding),
        }
        output = self.model(
            embedding=embedding,
            multimask=multimask,
            **{name: None if prompt is None else prompt[None] for name, prompt in given.items()},
        )
        small = output.masks[0]
        return Prediction(self.enlarge(small, image), output.iou[0], small)

    def enlarge(self, small: Tensor, image: Encoded) -> Tensor:
        """The decoder's logits (N, M, 4 h, 4 w) at the size of the picture, without the padding."""
        patch = self.model.config.patch
        padded = [side * patch for side in image.embedding.shape[2:]]
        whole = F.interpolate(small.float(), padded, mode="bilinear")
        return F.interpolate(
            whole[..., : image.resized[0], : image.resized[1]], image.original, mode="bilinear"
        )

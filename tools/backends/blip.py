"""`caption` with BLIP (Li et al., 2022), by transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from visprog.values import Region
from visprog.values.image import Image

from ._batching import crop_to, in_batches, to_rgb
from ._loading import load_by_transformers
from ._model_backend import ModelBackend


class BlipCaptioner(ModelBackend):
    """BLIP's captions, decoded greedily.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        max_tokens: Maximum number of tokens of one caption.
        batch_size: Number of images that the network sees at once.
    """

    tool = "caption"
    default_model = "Salesforce/blip-image-captioning-base"

    def __init__(
        self,
        model: str | None = None,
        *,
        margin: float = 0.05,
        max_tokens: int = 40,
        batch_size: int = 8,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.margin, self.max_tokens, self.batch_size = margin, max_tokens, batch_size

    def _prepare(self, image: Image | Region) -> Image:
        return crop_to(image, self.margin)

    def _answer(self, images: list[Image]) -> list[str]:
        checkpoint = load_by_transformers(
            self._find("blip"), "BlipForConditionalGeneration", self.device, self.dtype
        )

        def describe(part: Sequence[Image]) -> list[str]:
            inputs = checkpoint.processor.image_processor(
                [to_rgb(image) for image in part], return_tensors="pt"
            )
            with checkpoint.running():
                ids = checkpoint.network.generate(
                    **checkpoint.send_all(inputs),
                    max_new_tokens=self.max_tokens,
                    do_sample=False,
                    num_beams=1,
                )
            texts = checkpoint.processor.tokenizer.batch_decode(ids, skip_special_tokens=True)
            return [" ".join(text.split()) for text in texts]

        return in_batches(checkpoint, images, self.batch_size, describe)

"""`retrieve` by an image with DINOv3 (Siméoni et al., 2025) and DINOv2 (Oquab et al., 2023), by transformers: they were
trained on images alone, without texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.registry.sees import Sees
from visprog.values.image import Image

from ._batching import answer_batch, in_batches
from ._checkpoint import Checkpoint, checkpoint_digest
from ._features import FEATURES
from ._loading import image_processor_alone, load_by_transformers
from ._model_backend import ModelBackend


class DinoRetriever(ModelBackend):
    """The images whose features are nearest to those of an image, for `visprog search --image`; it reads no texts.

    Args:
        batch_size: Number of images that the network sees at once.
    """

    tool = "retrieve"
    default_model = "facebook/dinov3-vits16-pretrain-lvd1689m"
    model_types = ("dinov3_vit", "dinov3_convnext", "dinov2", "dinov2_with_registers")
    sees = Sees(
        nothing="the backend dino of retrieve finds images by an image, with visprog search --image, and reads no "
        'texts: for those, set backend = "siglip" or "clip" under [tools.retrieve]'
    )

    def __init__(self, model: str | None = None, *, batch_size: int = 16, **options: Any) -> None:
        super().__init__(model, **options)
        self.batch_size = batch_size

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return [Refused(self.sees.nothing)] * len(calls)

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded when it is first used.

        Raises:
            ToolError: There is no such model.
        """
        return load_by_transformers(
            self._find(), "AutoModel", self.device, self.dtype, processor=image_processor_alone
        )

    def digest(self) -> str:
        """What tells the model from others."""
        return checkpoint_digest(self._find())

    def image_features(self, images: Sequence[Image]) -> list[NDArray[np.float32] | Exception]:
        """The feature of each image, (dim,), of length 1."""
        return answer_batch([{"image": image} for image in images], lambda image: image, self._encode)

    def text_features(self, texts: list[str]) -> NDArray[np.float32]:
        """Refuses: the model reads no texts."""
        raise Refused(self.sees.nothing)

    def _encode(self, images: list[Image]) -> list[NDArray[np.float32]]:
        checkpoint = self.checkpoint
        by_digest = {image.digest: image for image in images}

        def encode(part: Sequence[str]) -> list[NDArray[np.float32]]:
            pixels = checkpoint.processor.image_processor([by_digest[digest].pixels for digest in part])
            with checkpoint.running():
                rows = checkpoint.network(checkpoint.send(pixels)).pooler_output.float()
            return [row / np.linalg.norm(row) for row in rows.cpu().numpy()]

        def compute(digests: list[str]) -> list[NDArray[np.float32]]:
            return in_batches(checkpoint, digests, self.batch_size, encode)

        return FEATURES.get(checkpoint, "image", [image.digest for image in images], compute)

"""Images and texts in one space: CLIP (Radford et al., 2021), SigLIP (Zhai et al., 2023) and SigLIP 2."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.values.image import Image

from ._batching import Memory, chunks, to_rgb
from ._checkpoint import Checkpoint

KINDS = ("clip", "metaclip_2", "siglip", "siglip2")
TEXTS = 4096
IMAGES = 1024
"""How many features are remembered."""


class DualEncoder:
    """Unit features of images and of texts, remembered, so that equal inputs are computed once.

    A text stands for the mean of its features in a few prompt templates, each normalised first, the mean
    again (Radford et al., section 3.1.4).
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self._texts: Memory[str, NDArray[np.float32]] = Memory(TEXTS)
        self._images: Memory[str, NDArray[np.float32]] = Memory(IMAGES)

    @property
    def scale(self) -> float:
        """What cosines are multiplied by before the softmax or sigmoid."""
        return float(self.checkpoint.network.logit_scale.detach().exp())

    @property
    def bias(self) -> float | None:
        """What is then added (SigLIP), or None (CLIP)."""
        bias = getattr(self.checkpoint.network, "logit_bias", None)
        return None if bias is None else float(bias.detach())

    def encode_images(self, images: list[Image], batch_size: int) -> NDArray[np.float32]:
        """N images → (N, D), rows of length 1."""
        by_digest = {image.digest: image for image in images}

        def compute(digests: list[str]) -> list[NDArray[np.float32]]:
            rows: list[NDArray[np.float32]] = []
            for part in chunks(digests, batch_size):
                pictures = [to_rgb(by_digest[d]) for d in part]
                inputs = self.checkpoint.processor(images=pictures, return_tensors="pt")
                with self.checkpoint.running():
                    output = self.checkpoint.network.get_image_features(**self.checkpoint.send(inputs))
                    rows += list(_unit(output))
            return rows

        return np.stack(self._images.get([image.digest for image in images], compute))

    def encode_texts(self, texts: list[str], batch_size: int) -> NDArray[np.float32]:
        """N texts, such as "dog" or "a red car" → (N, D), rows of length 1."""
        from visprog.prompts import templates

        frames = templates("crops")

        def compute(missing: list[str]) -> list[NDArray[np.float32]]:
            lines = [frame.replace("{}", text) for text in missing for frame in frames]
            rows = [row for part in chunks(lines, batch_size) for row in self._encode_lines(list(part))]
            means = np.stack(rows).reshape(len(missing), len(frames), -1).mean(1)
            return list(means / np.linalg.norm(means, axis=1, keepdims=True))

        return np.stack(self._texts.get([_plain(text) for text in texts], compute))

    def _encode_lines(self, lines: list[str]) -> NDArray[np.float32]:
        checkpoint = self.checkpoint
        length = checkpoint.network.config.text_config.max_position_embeddings
        siglip = checkpoint.kind.startswith("siglip")
        inputs = checkpoint.processor.tokenizer(
            lines,
            # SigLIP was trained on texts filled up to full length, without a mask.
            padding="max_length" if siglip else True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        wanted = ("input_ids",) if siglip else ("input_ids", "attention_mask")
        with checkpoint.running():
            output = checkpoint.network.get_text_features(
                **checkpoint.send({k: inputs[k] for k in wanted if k in inputs})
            )
            return _unit(output)


@cache
def dual_encoder(checkpoint: Checkpoint) -> DualEncoder:
    """The one encoder of a checkpoint, so that tools share what it remembers."""
    return DualEncoder(checkpoint)


def _plain(text: str) -> str:
    """Lower case, no leading article, no full stop: the templates bring their own."""
    words = " ".join(text.lower().split()).rstrip(".!?")
    return re.sub(r"^(a|an|the)\s+", "", words)


def _unit(output: Any) -> NDArray[np.float32]:
    """The features of a forward pass, each row of length 1."""
    features = output.pooler_output.float()
    array: NDArray[np.float32] = (features / features.norm(dim=-1, keepdim=True)).cpu().numpy()
    return array

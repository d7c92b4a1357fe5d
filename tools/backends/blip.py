"""`caption` with BLIP (Li et al., 2022)."""

from __future__ import annotations

from typing import Any

from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_together, chunks, look, to_rgb
from ._checkpoint import load, unload


class BlipCaptioner:
    """BLIP's captions, decoded greedily.

    Args:
        model: a folder, or a hub id.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is the checkpoint's own.
        margin: how much wider than a region its crop is, as a share of its longer side.
        max_tokens: of one caption.
        batch_size: how many pictures the network sees at once.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        margin: float = 0.05,
        max_tokens: int = 40,
        batch_size: int = 8,
    ) -> None:
        self.model = model or "Salesforce/blip-image-captioning-base"
        self.device = device
        self.dtype = dtype
        self.margin = margin
        self.max_tokens = max_tokens
        self.batch_size = batch_size

    def unload(self) -> None:
        """Let go of the weights."""
        unload(self.model)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region) -> Image:
        return look(image, self.margin)

    def _answer(self, pictures: list[Image]) -> list[str]:
        checkpoint = load(
            self.model, "caption", "BlipForConditionalGeneration", ("blip",),
            device=self.device, dtype=self.dtype,
        )  # fmt: skip
        captions: list[str] = []
        for part in chunks(pictures, self.batch_size):
            inputs = checkpoint.processor.image_processor([to_rgb(p) for p in part], return_tensors="pt")
            with checkpoint.running():
                written = checkpoint.network.generate(
                    **checkpoint.send(inputs), max_new_tokens=self.max_tokens, do_sample=False, num_beams=1
                )
            texts = checkpoint.processor.tokenizer.batch_decode(written, skip_special_tokens=True)
            captions += [" ".join(text.split()) for text in texts]
        return captions

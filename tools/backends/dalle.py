"""`generate` with DALL-E (Ramesh et al., 2021), trained by `visprog train dalle`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry.sees import Parsed, Sees

from ._backend_file import words_summary
from ._batching import chunks
from ._checkpoint import CheckpointSource, Processor
from ._generation import ImageGenerator
from ._loading import load, read_processor


class DalleGenerator(ImageGenerator):
    """Images drawn token by token.

    Args:
        temperature: Number that divides the logits of tokens.
        top_k: Number of likeliest tokens that are drawn from; 0 for all.
        batch_size: Number of images that the network draws at once.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        if not model:
            raise ToolError(
                "generate: which model? Set model = the folder of a run of `visprog train dalle` under [tools.generate]"
            )
        if top_k < 0:
            raise ToolError("generate: top_k must not be negative")
        if temperature <= 0:
            raise ToolError(f"generate: temperature must be above 0, not {temperature}")
        super().__init__(model, **options)
        self.temperature, self.top_k, self.batch_size = temperature, top_k, batch_size

    @property
    def sees(self) -> Sees:
        """The words that the model was taught; any text if it reads any word."""
        return Sees(words_summary(self.folder), {"prompt": Parsed(self._read)})

    def _draw(self, text: str, count: int) -> list[NDArray[np.uint8]]:
        import torch

        from visprog.models.nn.generate import Sampling

        checkpoint = load(self._find("dalle"), self.device, self.dtype, processor=_processor)
        network = checkpoint.network
        ids = checkpoint.send(checkpoint.processor.tokenizer([text], special=False).ids)
        if ids.shape[1] > network.config.length:
            raise ToolError(
                f"generate: the text has {ids.shape[1]} tokens, and the model '{self.model}' reads "
                f"{network.config.length}: write a shorter one"
            )
        generator = torch.Generator(ids.device).manual_seed(self.seed)
        search = Sampling(self.temperature, self.top_k or None, generator=generator)
        images: list[NDArray[np.uint8]] = []
        for part in chunks(range(count), self.batch_size):
            with checkpoint.running():
                levels = network.decode_images(network.generate(ids, len(part), search=search))
            images += list((levels.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        return images


def _processor(source: CheckpointSource, network: Any) -> Processor:
    """The tokenizer, which cuts no text."""
    processor = read_processor(source, network)
    if processor.tokenizer is not None:
        processor.tokenizer.backend.no_truncation()
    return processor

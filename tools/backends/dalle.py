"""`generate` with DALL-E (Ramesh et al., 2021), trained by `visprog train dalle`."""

from __future__ import annotations

import re
from typing import Any

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.registry.sees import Parsed, Sees
from visprog.values.image import Image

from ..classify import match
from ._backend_file import known_words, words_summary
from ._batching import chunks
from ._checkpoint import Checkpoint, CheckpointSource, Processor, load, read_processor
from ._model_backend import ModelBackend
from ._vocabulary import SIGNS
from .clip import ClipMatcher

MAX_DRAWN = 512
"""Number of images that one call may draw: as many as the paper draws per caption."""


class DalleGenerator(ModelBackend):
    """Images drawn token by token. Several times as many are drawn as are asked for, and those that fit the text best
    are kept (section 2.6 of the paper).

    Args:
        candidates: Number of images that are drawn per image that is kept; 1 keeps all.
        rerank: What tells how well an image fits: "match", the tool as it is configured, or a CLIP or SigLIP, as the
            name of a bundled model, a folder or a hub id.
        temperature: Number that divides the logits of tokens.
        top_k: Number of likeliest tokens that are drawn from; 0 for all.
        seed: Seed of the random numbers.
        batch_size: Number of images that the network draws at once.
    """

    tool = "generate"

    def __init__(
        self,
        model: str | None = None,
        *,
        candidates: int = 8,
        rerank: str = "match",
        temperature: float = 1.0,
        top_k: int = 0,
        seed: int = 0,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        if not model:
            raise ToolError(
                "generate: which model? Set model = the folder of a run of `visprog train dalle` under [tools.generate]"
            )
        if not 1 <= candidates <= MAX_DRAWN:
            raise ToolError(f"generate: candidates must be between 1 and {MAX_DRAWN}, not {candidates}")
        if top_k < 0 or seed < 0:
            raise ToolError("generate: top_k and seed must not be negative")
        if temperature <= 0:
            raise ToolError(f"generate: temperature must be above 0, not {temperature}")
        super().__init__(model, **options)
        self.candidates, self.rerank = candidates, rerank
        self.temperature, self.top_k, self.seed, self.batch_size = temperature, top_k, seed, batch_size

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._generate)

    @property
    def sees(self) -> Sees:
        """The words that the model was taught; any text if it reads any word."""
        return Sees(words_summary(self.folder), {"prompt": Parsed(self._read)})

    def _generate(self, prompt: str, n: int) -> list[Image]:
        text = self._read(prompt)
        count = n * self.candidates
        if not 0 < count <= MAX_DRAWN:
            raise ToolError(
                f"generate: n must be between 1 and {MAX_DRAWN // self.candidates}, with {self.candidates} candidates "
                f"per image, not {n}"
            )
        checkpoint = load(self._find("dalle"), self.device, self.dtype, processor=_processor)
        images = self._draw(checkpoint, text, prompt, count)
        return images if self.candidates == 1 else self._best(images, prompt)[:n]

    def _read(self, prompt: str) -> str:
        """A text in words that the model knows.

        Raises:
            Refused: It has others.
            ToolError: It is empty.
        """
        words = re.findall(r"\w+|[^\w\s]+", prompt.lower())
        if not any(word.isalnum() for word in words):
            raise ToolError("generate was given an empty text: say what the image shows")
        known = known_words(self.folder)
        if known is None:
            return " ".join(prompt.split())
        unknown = [word for word in words if word not in known | SIGNS]
        if unknown:
            raise Refused(
                f"the model '{self.model}' of generate was not taught what {', '.join(map(repr, unknown))} is: "
                "use its words, or train one with texts that have them (visprog train dalle data=FILE)"
            )
        return " ".join(word for word in words if word in known)

    def _draw(self, checkpoint: Checkpoint, text: str, prompt: str, count: int) -> list[Image]:
        """Images of a text, as they are drawn.

        Raises:
            ToolError: The text is too long.
        """
        import torch

        from visprog.models.nn.generate import Sampling

        network = checkpoint.network
        ids = checkpoint.send(checkpoint.processor.tokenizer([text], special=False).ids)
        if ids.shape[1] > network.config.length:
            raise ToolError(
                f"generate: the text has {ids.shape[1]} tokens, and the model '{self.model}' reads "
                f"{network.config.length}: write a shorter one"
            )
        generator = torch.Generator(ids.device).manual_seed(self.seed)
        search = Sampling(self.temperature, self.top_k or None, generator=generator)
        name = f"{' '.join(prompt.split())} (seed {self.seed})"
        images = []
        for part in chunks(range(count), self.batch_size):
            with checkpoint.running():
                levels = network.decode_images(network.generate(ids, len(part), search=search))
            pixels = (levels.float() * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
            images += [Image(each.copy(), name=name) for each in pixels]
        return images

    def _best(self, images: list[Image], prompt: str) -> list[Image]:
        """Images, those that fit a text best first. One that cannot be judged, since it looks like nothing that the
        judge was taught, comes last.

        Raises:
            Refused: None can be judged.
        """
        calls = [{"image": image, "text": prompt} for image in images]
        if self.rerank == "match":
            fits = answer_each(calls, match)
        else:
            fits = ClipMatcher(self.rerank, device=self.device, dtype=self.dtype)(calls)
        refused = [fit for fit in fits if isinstance(fit, Refused)]
        if len(refused) == len(fits):
            raise Refused(
                f"{refused[0]}; or set candidates = 1 under [tools.generate], which keeps what is drawn first"
            )
        for fit in fits:
            if isinstance(fit, Exception) and not isinstance(fit, Refused):
                raise fit
        worth = [-1.0 if isinstance(fit, Refused) else fit for fit in fits]
        return [images[i] for i in sorted(range(len(images)), key=lambda i: -worth[i])]


def _processor(source: CheckpointSource, network: Any) -> Processor:
    """The tokenizer, which cuts no text."""
    processor = read_processor(source, network)
    if processor.tokenizer is not None:
        processor.tokenizer.backend.no_truncation()
    return processor

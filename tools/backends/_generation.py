"""What the backends that make images share: `generate` makes whole ones, `replace` and `remove` parts of one."""

from __future__ import annotations

import re
from abc import abstractmethod
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.values import Located
from visprog.values.image import Image

from ..classify import match
from ..imaging.inpainting import Hole, fill, find_hole, find_removed
from ._backend_file import known_words
from ._checkpoint import Checkpoint
from ._model_backend import ModelBackend
from ._vocabulary import SIGNS
from .clip import ClipMatcher

MAX_DRAWN = 512
"""Number of images that one call may draw: as many as DALL-E's paper draws per caption."""


class PromptedBackend(ModelBackend):
    """Reads prompts."""

    def _read(self, prompt: str) -> str:
        """A prompt in words that the model knows.

        Raises:
            Refused: It has others.
            ToolError: It is empty.
        """
        words = re.findall(r"\w+|[^\w\s]+", prompt.lower())
        if not any(word.isalnum() for word in words):
            raise ToolError(f"{self.tool} was given an empty text: say what the image shows")
        known = known_words(self.folder)
        if known is None:
            return " ".join(prompt.split())
        unknown = [word for word in words if word not in known | SIGNS]
        if unknown:
            raise Refused(
                f"the model '{self.model}' of {self.tool} was not taught what {', '.join(map(repr, unknown))} is: "
                "use its words, or train one with texts that have them"
            )
        return " ".join(word for word in words if word in known)


class ImageGenerator(PromptedBackend):
    """Draws several times as many images as are asked for, and keeps those that fit the text best (Ramesh et al. 2021,
    section 2.6).

    Args:
        candidates: Number of images that are drawn per image that is kept; 1 keeps all, as they are drawn.
        rerank: What tells how well an image fits: "match", the tool as it is configured, or a CLIP or SigLIP, as the
            name of a bundled model, a folder or a hub id.
        seed: Seed of the random numbers.
    """

    tool = "generate"

    def __init__(
        self,
        model: str | None = None,
        *,
        candidates: int = 8,
        rerank: str = "match",
        seed: int = 0,
        **options: Any,
    ) -> None:
        if not 1 <= candidates <= MAX_DRAWN:
            raise ToolError(f"generate: candidates must be between 1 and {MAX_DRAWN}, not {candidates}")
        if seed < 0:
            raise ToolError("generate: seed must not be negative")
        super().__init__(model, **options)
        self.candidates, self.rerank, self.seed = candidates, rerank, seed

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._generate)

    @abstractmethod
    def _draw(self, text: str, count: int) -> list[NDArray[np.uint8]]:
        """Images (height, width, 3) of a text, as they are drawn.

        Raises:
            ToolError: The text is too long, or there is no such model.
        """

    def _generate(self, prompt: str, n: int) -> list[Image]:
        text, count = self._read(prompt), n * self.candidates
        if not 0 < count <= MAX_DRAWN:
            raise ToolError(
                f"generate: n must be between 1 and {MAX_DRAWN // self.candidates}, with {self.candidates} candidates "
                f"per image, not {n}"
            )
        name = f"{' '.join(prompt.split())} (seed {self.seed})"
        images = [Image(pixels.copy(), name=name) for pixels in self._draw(text, count)]
        return images if self.candidates == 1 else self._best(images, prompt)[:n]

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
                f'{refused[0]}; or set rerank = "clip" under [tools.generate], which knows drawn shapes, or '
                "candidates = 1, which keeps what is drawn first"
            )
        for fit in fits:
            if isinstance(fit, Exception) and not isinstance(fit, Refused):
                raise fit
        worth = [-1.0 if isinstance(fit, Refused) else fit for fit in fits]
        return [images[i] for i in sorted(range(len(images)), key=lambda i: -worth[i])]


class Filling(NamedTuple):
    """One call: what is filled, and with what."""

    image: Image
    hole: Hole
    prompt: str


class InpaintingBackend(PromptedBackend):
    """Draws each part of a hole in a window around it.

    Args:
        context: Side of the window in which a part is filled, as a multiple of its longer side.
        seed: Seed of the noise; another one gives another image.
    """

    def __init__(
        self, model: str | None = None, *, context: float = 2.0, seed: int = 0, **options: Any
    ) -> None:
        if context < 1:
            raise ToolError(f"{self.tool}: context must be at least 1, not {context:g}")
        super().__init__(model, **options)
        self.context, self.seed = context, seed

    @abstractmethod
    def _open(self) -> tuple[Checkpoint, int]:
        """The model, and the side of the squares that it takes, in pixels."""

    @abstractmethod
    def _fill(
        self, checkpoint: Checkpoint, prompt: str, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """A square (side, side, 3) with its masked pixels (side, side) drawn."""

    def _answer(self, asked: list[Filling]) -> list[Image]:
        checkpoint, side = self._open()
        return [
            fill(call.image, call.hole, side, self.context, partial(self._fill, checkpoint, call.prompt))
            for call in asked
        ]


class Replacer(InpaintingBackend):
    """Draws what a prompt describes."""

    tool = "replace"

    def _prepare(self, image: Image, region: Located | list[Located], prompt: str) -> Filling:
        return Filling(image, find_hole(image, region, self.tool), self._read(prompt))


class Remover(InpaintingBackend):
    """Draws what a fixed prompt describes.

    Args:
        prompt: The prompt.
    """

    tool = "remove"

    def __init__(self, model: str | None = None, *, prompt: str = "", **options: Any) -> None:
        super().__init__(model, **options)
        self.prompt = prompt

    def _prepare(self, image: Image, region: Located | list[Located]) -> Filling:
        return Filling(image, find_removed(image, region), self.prompt)

"""What the backends of `replace` and `remove` on generative models share."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.values import Located
from visprog.values.image import Image

from ..imaging.inpainting import Hole, fill, find_hole, find_removed
from ._checkpoint import Checkpoint
from ._model_backend import ModelBackend


class Filling(NamedTuple):
    """One call: what is filled, and with what."""

    image: Image
    hole: Hole
    prompt: str


class InpaintingBackend(ModelBackend):
    """Draws each part of a hole in a window around it.

    A subclass has `_open`, which gives the model and the side of the squares that it takes, and `_draw`.

    Args:
        steps: Number of steps of the sampler.
        guidance: Factor of the difference that the prompt makes; 1 for no guidance.
        context: Side of the window in which a part is filled, as a multiple of its longer side.
        seed: Seed of the noise; another one gives another image.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        steps: int = 50,
        guidance: float = 5.0,
        context: float = 2.0,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.steps, self.guidance, self.context, self.seed = steps, guidance, context, seed

    @abstractmethod
    def _open(self) -> tuple[Checkpoint, int]:
        """The model, and the side of the squares that it takes, in pixels."""

    @abstractmethod
    def _draw(
        self, checkpoint: Checkpoint, prompt: str, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        """A square (side, side, 3) with its masked pixels (side, side) drawn."""

    def _answer(self, asked: list[Filling]) -> list[Image]:
        checkpoint, side = self._open()
        return [
            fill(call.image, call.hole, side, self.context, partial(self._draw, checkpoint, call.prompt))
            for call in asked
        ]


class Replacer(InpaintingBackend):
    """Draws what a prompt describes."""

    tool = "replace"

    def _prepare(self, image: Image, region: Located | list[Located], prompt: str) -> Filling:
        if not prompt.strip():
            raise ToolError(
                "replace was given an empty prompt: for nothing in the place of a region, call remove"
            )
        return Filling(image, find_hole(image, region, self.tool), prompt)


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

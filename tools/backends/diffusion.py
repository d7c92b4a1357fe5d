"""`replace` and `remove` with a diffusion model that `visprog train diffusion` made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.registry.sees import Parsed, Sees
from visprog.values import Located
from visprog.values.image import Image

from ._backend_file import unknown_words, words_summary
from ._checkpoint import Checkpoint, load
from ._inpainting import Filling, InpaintingBackend, Remover, Replacer


class DiffusionBackend(InpaintingBackend):
    """What both tools share.

    Args:
        model: Folder that `visprog train diffusion` wrote.
        resamples: Number of times that each stretch of ten steps is gone through, so that what is drawn fits its
            surroundings (Lugmayr et al. 2022): more than 1 for a model that was not trained to inpaint.
    """

    default_model = ""

    def __init__(self, model: str | None = None, *, resamples: int = 1, **options: Any) -> None:
        super().__init__(model, **options)
        self.resamples = resamples

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        if not self.model:
            return Sees(
                nothing=f"{self.tool} has no model: train one with visprog train diffusion, and set "
                f'model = "FOLDER" under [tools.{self.tool}] in visprog.toml'
            )
        words = words_summary(self.folder) if self.tool == "replace" else ""
        return Sees(words, {"prompt": Parsed(self._check_words)} if words else {})

    def _check_words(self, prompt: str) -> None:
        """Raises `Refused` if a prompt has words that the model does not know."""
        if unknown := unknown_words(self.folder, prompt):
            raise Refused(
                f"the model '{self.model}' of {self.tool} does not know {', '.join(map(repr, unknown))}: set "
                f'backend = "diffusers" under [tools.{self.tool}] in visprog.toml, after pip install '
                "'visprog[diffusion]'"
            )

    def _open(self) -> tuple[Checkpoint, int]:
        if not self.model:
            raise Refused(self.sees.nothing)
        checkpoint = load(self._find("diffusion"), self.device, self.dtype)
        return checkpoint, checkpoint.network.config.image_size

    def _draw(
        self, checkpoint: Checkpoint, prompt: str, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        import torch

        from visprog.models.diffusion.schedule import Known, Sampler

        tokenizer, processor = checkpoint.processor
        with checkpoint.running():
            known = processor([pixels]), torch.from_numpy(mask)[None, None].float()
            images = checkpoint.network.generate(
                checkpoint.send(tokenizer([prompt]).ids),
                checkpoint.send(tokenizer([""]).ids[0]),
                guidance=self.guidance if prompt else 1.0,
                sampler=Sampler(self.steps, resamples=self.resamples),
                known=Known(*map(checkpoint.send, known)),
                generator=torch.Generator().manual_seed(self.seed),
            )
            levels = (127.5 * images[0].float() + 127.5).round().clamp(0, 255)
        drawn: NDArray[np.uint8] = levels.permute(1, 2, 0).cpu().numpy().astype(np.uint8)
        return drawn


class DiffusionReplacer(DiffusionBackend, Replacer):
    """What the prompt describes, in the words that the model was taught."""

    def _prepare(self, image: Image, region: Located | list[Located], prompt: str) -> Filling:
        self._check_words(prompt)
        return super()._prepare(image, region, prompt)


class DiffusionRemover(DiffusionBackend, Remover):
    """What the model draws for no text, which in its training stood for plain parts of images."""

"""`generate`, `replace` and `remove` with a diffusion model that `visprog train diffusion` made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Parsed, Sees

from ._backend_file import words_summary
from ._batching import chunks
from ._checkpoint import Checkpoint
from ._generation import ImageGenerator, InpaintingBackend, PromptedBackend, Remover, Replacer
from ._loading import load

if TYPE_CHECKING:
    import torch

    from visprog.models.diffusion.schedule import Known


class DiffusionBackend(PromptedBackend):
    """What the tools share.

    Args:
        model: Folder that `visprog train diffusion` wrote.
        steps: Number of steps of the sampler.
        guidance: Factor of the difference that the prompt makes; 1 for no guidance.
    """

    default_model = ""

    def __init__(
        self, model: str | None = None, *, steps: int = 50, guidance: float = 4.0, **options: Any
    ) -> None:
        if steps < 1:
            raise ToolError(f"{self.tool}: steps must be at least 1, not {steps}")
        super().__init__(model, **options)
        self.steps, self.guidance = steps, guidance

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        if not self.model:
            return Sees(
                nothing=f"{self.tool} has no model: train one with visprog train diffusion, and set "
                f'model = "FOLDER" under [tools.{self.tool}] in visprog.toml'
            )
        if self.tool == "remove":
            return Sees()
        return Sees(words_summary(self.folder), {"prompt": Parsed(self._read)})

    def _load(self) -> Checkpoint:
        if not self.model:
            raise Refused(self.sees.nothing)
        return load(self._find("diffusion"), self.device, self.dtype)

    def _sample(
        self,
        checkpoint: Checkpoint,
        prompt: str,
        count: int,
        generator: torch.Generator,
        known: Known | None = None,
        resamples: int = 1,
    ) -> NDArray[np.uint8]:
        """Images of a prompt, (count, side, side, 3)."""
        from visprog.models.diffusion.schedule import Sampler

        tokenizer = checkpoint.processor.tokenizer
        with checkpoint.running():
            images = checkpoint.network.generate(
                checkpoint.send(tokenizer([prompt] * count).ids),
                checkpoint.send(tokenizer([""]).ids[0]),
                guidance=self.guidance if prompt else 1.0,
                sampler=Sampler(self.steps, resamples=resamples),
                known=known,
                generator=generator,
            )
            levels = (127.5 * images.float() + 127.5).round().clamp(0, 255)
        drawn: NDArray[np.uint8] = levels.byte().permute(0, 2, 3, 1).cpu().numpy()
        return drawn


class DiffusionGenerator(DiffusionBackend, ImageGenerator):
    """Images drawn from noise.

    Args:
        batch_size: Number of images that the network draws at once.
    """

    def __init__(self, model: str | None = None, *, batch_size: int = 32, **options: Any) -> None:
        super().__init__(model, **options)
        self.batch_size = batch_size

    def _draw(self, text: str, count: int) -> list[NDArray[np.uint8]]:
        import torch

        checkpoint, generator = self._load(), torch.Generator().manual_seed(self.seed)
        parts = chunks(range(count), self.batch_size)
        return [each for part in parts for each in self._sample(checkpoint, text, len(part), generator)]


class DiffusionInpainting(DiffusionBackend, InpaintingBackend):
    """What `replace` and `remove` share.

    Args:
        resamples: Number of times that each stretch of ten steps is gone through, so that what is drawn fits its
            surroundings (Lugmayr et al. 2022): more than 1 for a model that was not trained to inpaint.
    """

    def __init__(self, model: str | None = None, *, resamples: int = 1, **options: Any) -> None:
        super().__init__(model, **options)
        self.resamples = resamples

    def _open(self) -> tuple[Checkpoint, int]:
        checkpoint = self._load()
        return checkpoint, checkpoint.network.config.image_size

    def _fill(
        self, checkpoint: Checkpoint, prompt: str, pixels: NDArray[np.uint8], mask: NDArray[np.bool_]
    ) -> NDArray[np.uint8]:
        import torch

        from visprog.models.diffusion.schedule import Known

        images = checkpoint.send(checkpoint.processor.image_processor([pixels]))
        known = Known(images, checkpoint.send(torch.from_numpy(mask)[None, None].float()))
        generator = torch.Generator().manual_seed(self.seed)
        drawn: NDArray[np.uint8] = self._sample(checkpoint, prompt, 1, generator, known, self.resamples)[0]
        return drawn


class DiffusionReplacer(DiffusionInpainting, Replacer):
    """What the prompt describes, in the words that the model was taught."""


class DiffusionRemover(DiffusionInpainting, Remover):
    """What the model draws for no text, which in its training stood for plain parts of images."""

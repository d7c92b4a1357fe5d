"""`caption` with CoCa (Yu et al., 2022): bundled, or trained by `visprog train coca`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image

from ._backend_file import words_summary
from ._batching import crop_to, in_batches
from ._checkpoint import Checkpoint
from ._gate import to_view
from ._loading import load
from ._model_backend import ModelBackend

if TYPE_CHECKING:
    from torch import Tensor


class CocaCaptioner(ModelBackend):
    """The likeliest caption, word by word. The bundled model names the simple shapes of a drawing and their colours,
    from left to right.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        frame: Side of the square around the crop of a region, as a multiple of its longer side, filled with the pixels
            of its edges, for a model that never saw an object that fills an image; 0 for none; by default that of
            `backend.json`, else 0.
        shift: Number of pixels by which an image is moved each way, so that it is seen five times and no word rests on
            how patches lie over objects; 0 to see it once.
        batch_size: Number of images that the network sees at once.
    """

    tool = "caption"
    default_model = "coca"

    def __init__(
        self,
        model: str | None = None,
        *,
        margin: float = 0.05,
        frame: float | None = None,
        shift: int = 3,
        batch_size: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.frame = self.settings.option("frame", frame, 0.0)
        self.margin, self.shift, self.batch_size = margin, shift, batch_size

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        return Sees(words_summary(self.folder))

    def _prepare(self, image: Image | Region) -> Image:
        return crop_to(to_view(image, self.folder, self.tool), self.margin, self.frame)

    def _answer(self, images: list[Image]) -> list[str]:
        checkpoint = load(self._find("coca"), self.device, self.dtype)
        return in_batches(checkpoint, images, self.batch_size, lambda part: self._captions(checkpoint, part))

    def _captions(self, checkpoint: Checkpoint, images: Any) -> list[str]:
        import torch

        from visprog.models.preprocess.tokenizer import END, START

        tokenizer, processor = checkpoint.processor
        with checkpoint.running():
            inputs = moved(checkpoint.send(processor([image.pixels for image in images])), self.shift)
            start = checkpoint.send(torch.tensor([tokenizer.id(START)]))
            captions = checkpoint.network.generate(inputs, start, stop=[tokenizer.id(END)])
        return [sentence(tokenizer.decode(ids)) for ids in captions]


def moved(images: Tensor, shift: int) -> Tensor:
    """Images (batch, 3, height, width) as they are and moved to each side, with their edges repeated: (5, batch, 3,
    height, width); (1, …) for a shift of 0."""
    import torch

    if shift == 0:
        return images[None]
    height, width = images.shape[-2:]
    wide = torch.nn.functional.pad(images, (shift, shift, shift, shift), mode="replicate")
    places = ((1, 1), (1, 0), (1, 2), (0, 1), (2, 1))
    return torch.stack(
        [wide[..., shift * y : shift * y + height, shift * x : shift * x + width] for y, x in places]
    )


def sentence(text: str) -> str:
    """Words as a sentence: "a red star , a cross" → "A red star, a cross."."""
    text = re.sub(r"\s+([,.;:!?])", r"\1", text.strip())
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

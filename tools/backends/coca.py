"""`caption` with the bundled CoCa, or with one of one's own from `visprog train coca`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_together
from ._bundled import in_frame, in_words, model_folder, read_once
from ._gate import to_view

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.coca import Coca
    from ...models.preprocess.image_processor import ImageArray, ImageProcessor
    from ...models.preprocess.tokenizer import Tokenizer


class Captioner(NamedTuple):
    """What `visprog train` saved of a captioner."""

    model: Coca
    tokenizer: Tokenizer
    pixels: ImageProcessor


class EmbeddedCaptioner:
    """A small CoCa (Yu et al. 2022), which writes the likeliest caption word by word. The bundled one names the
    simple shapes of a drawing and their colours, from left to right.

    Args:
        model: folder of a model trained with `visprog train coca`; the bundled one where not given.
        margin: how much wider than a region its crop is, as a share of its longer side.
        frame: as in `in_frame`. Where not given, 3 with the bundled model, which knows things in pictures and none
            that fills one, and 0 with one of one's own.
        shift: a picture is looked at five times, moved by so many pixels each way, and no word rests on how patches
            happen to lie over things; 0 looks once.
    """

    def __init__(
        self, model: str | None = None, *, margin: float = 0.05, frame: float | None = None, shift: int = 3
    ) -> None:
        self.folder = model_folder(model, "coca")
        self.frame = frame if frame is not None else 3.0 if model is None else 0.0
        self.margin, self.shift = margin, shift

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        return Sees(in_words(self.folder))

    def _prepare(self, image: Image | Region) -> ImageArray:
        return in_frame(to_view(image, self.folder, "caption"), self.margin, self.frame)

    def _answer(self, pictures: list[ImageArray]) -> list[str]:
        import torch

        from ...models.preprocess.tokenizer import END, START

        model, tokenizer, pixels = load(self.folder)
        images = moved(pixels(pictures), self.shift)
        start = torch.tensor([tokenizer.id(START)])
        written = model.generate(images, start, stop=[tokenizer.id(END)])
        return [sentence(tokenizer.decode(ids)) for ids in written]


@read_once("captioner")
def load(folder: Path) -> Captioner:
    """A captioner that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ...models.coca import Coca
    from ...models.preprocess.image_processor import ImageProcessor
    from ...models.preprocess.tokenizer import Tokenizer

    model, tokenizer = Coca.from_pretrained(folder).eval(), Tokenizer.from_pretrained(folder)
    return Captioner(model, tokenizer, ImageProcessor.from_pretrained(folder))


def moved(images: Tensor, shift: int) -> Tensor:
    """Images (batch, 3, height, width) as they are and moved to each side, their edges drawn out: (5, batch, 3, height,
    width); (1, …) for a shift of 0."""
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

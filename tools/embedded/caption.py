"""`caption` with the bundled CoCa, or with one of one's own from `visprog train coca`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visprog.values import Region
from visprog.values.image import Image

from ..hub.together import answer_together, look
from . import model_folder, read_once

if TYPE_CHECKING:
    from ..models.coca import Coca
    from ..models.pixels import Pixels
    from ..models.text import Tokenizer


class Captioner(NamedTuple):
    """What `visprog train` saved of a captioner."""

    model: Coca
    tokenizer: Tokenizer
    pixels: Pixels


class EmbeddedCaptioner:
    """A small CoCa (Yu et al. 2022), which writes the likeliest caption word by word. The bundled one names the
    simple shapes of a drawing and their colours, from left to right.

    Args:
        model: folder of a model trained with `visprog train coca`; the bundled one where not given.
        margin: how much wider than a region its crop is, as a share of its longer side.
    """

    def __init__(self, model: str | None = None, *, margin: float = 0.05) -> None:
        self.folder = model_folder(model, "coca")
        self.margin = margin

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region) -> Image:
        return look(image, self.margin)

    def _answer(self, pictures: list[Image]) -> list[str]:
        import torch

        from ..models.text import END, START

        model, tokenizer, pixels = load(self.folder)
        images = pixels([picture.pixels for picture in pictures])
        start = torch.tensor([tokenizer.id(START)])
        written = model.generate(images, start, stop=[tokenizer.id(END)])
        return [sentence(tokenizer.decode(ids)) for ids in written]


@read_once("captioner")
def load(folder: Path) -> Captioner:
    """A captioner that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ..models.coca import Coca
    from ..models.pixels import Pixels
    from ..models.text import Tokenizer

    return Captioner(Coca.load(folder).eval(), Tokenizer.load(folder), Pixels.load(folder))


def sentence(text: str) -> str:
    """Words as a sentence: "a red star , a cross" → "A red star, a cross."."""
    text = re.sub(r"\s+([,.;:!?])", r"\1", text.strip())
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

"""`caption` with the bundled CoCa, or with one of one's own from `visprog train coca`."""

from __future__ import annotations

import re
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visprog.errors import ToolError
from visprog.values import Region
from visprog.values.image import Image

from ..hub.together import answer_together, look
from . import need_torch

if TYPE_CHECKING:
    from ..models.coca import Coca
    from ..models.pixels import Pixels
    from ..models.text import Tokenizer

WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "coca"

_loading = threading.Lock()


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
        need_torch()
        self.folder = Path(model).expanduser() if model else WEIGHTS
        self.margin = margin

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region) -> Image:
        return look(image, self.margin)

    def _answer(self, pictures: list[Image]) -> list[str]:
        import torch

        from ..models.text import END, START

        with _loading:
            model, tokenizer, pixels = load(self.folder)
        images = pixels([picture.pixels for picture in pictures])
        start = torch.tensor([tokenizer.id(START)])
        written = model.generate(images, start, stop=[tokenizer.id(END)])
        return [sentence(tokenizer.decode(ids)) for ids in written]


@cache
def load(folder: Path) -> Captioner:
    """A captioner that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ..models.coca import Coca
    from ..models.pixels import Pixels
    from ..models.text import Tokenizer

    try:
        return Captioner(Coca.load(folder).eval(), Tokenizer.load(folder), Pixels.load(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ToolError(f"caption: there is no captioner in {folder}: {error}") from error


def sentence(text: str) -> str:
    """Words as a sentence: "a red star , a cross" → "A red star, a cross."."""
    text = re.sub(r"\s+([,.;:!?])", r"\1", text.strip())
    if not text:
        return text
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")

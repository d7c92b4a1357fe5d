"""The base of backends that judge an image by a text."""

from __future__ import annotations

from typing import Any

from visprog.registry.sees import Parsed, Sees

from ._backend_file import known_words, words_summary
from ._model_backend import ModelBackend
from ._vocabulary import DENIALS, as_caption, in_known_words


class TextBackend(ModelBackend):
    """What they share.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        batch_size: Number of images or texts that the network encodes at once.

    Attributes:
        parameter: Parameter of the tool that takes the texts.
    """

    parameter: str

    def __init__(
        self, model: str | None = None, *, margin: float = 0.05, batch_size: int = 32, **options: Any
    ) -> None:
        super().__init__(model, **options)
        self.margin, self.batch_size = margin, batch_size
        self.vocabulary = self.settings.vocabulary

    @property
    def sees(self) -> Sees:
        """The words that the model was taught; any text if it reads any word."""
        if known_words(self.folder) is None:
            return Sees("any short text about how an object looks.")
        read = Parsed(lambda text: self._read(DENIALS.sub(" ", text.lower())))
        return Sees(words_summary(self.folder), {self.parameter: read})

    def _read(self, text: str) -> str:
        """A text in the words of the training.

        Raises:
            Refused: It has words that the model does not know.
            ToolError: It is empty.
        """
        if self.vocabulary and text.strip():
            text = as_caption(text, self.vocabulary)
        way_out = (
            f'set backend = "siglip" under [tools.{self.tool}] in visprog.toml, '
            "after pip install 'visprog[hf]'"
        )
        return in_known_words(
            text, known_words(self.folder), model=self.model, tool=self.tool, way_out=way_out
        )

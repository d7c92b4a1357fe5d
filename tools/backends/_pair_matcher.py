"""`match` and `verify` with models that read an image and a text together, and were trained to tell pairs that belong
together from pairs that do not (image-text matching; Li et al., 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from visprog.values import Region
from visprog.values.image import Image

from ._batching import crop_to, in_batches
from ._gate import to_view
from ._loading import load
from ._text_backend import TextBackend
from ._vocabulary import DENIALS


class ImageTextPair(NamedTuple):
    """One call: an image and a text."""

    image: Image
    text: str
    denied: bool = False


class PairBackend(TextBackend):
    """What both tools share.

    Attributes:
        model_type: Type of the models, whose `match` gives the probabilities of pairs.
    """

    model_type: ClassVar[str]

    def probabilities(self, asked: list[ImageTextPair]) -> list[float]:
        """For each call, the probability that its text belongs to its image."""
        checkpoint = load(self._find(self.model_type), self.device, self.dtype)
        tokenizer, processor = checkpoint.processor

        def match(part: Sequence[ImageTextPair]) -> list[float]:
            with checkpoint.running():
                images = checkpoint.send(processor([ask.image.pixels for ask in part]))
                tokens = checkpoint.send(tokenizer([ask.text for ask in part]).ids)
                found: list[float] = checkpoint.network.match(images, tokens).tolist()
                return found

        return in_batches(checkpoint, asked, self.batch_size, match)

    def _crop(self, image: Image | Region) -> Image:
        """What the model is shown. Raises `Refused` if it was not taught such images."""
        return crop_to(to_view(image, self.folder, self.tool), self.margin)


class PairMatcher(PairBackend):
    """The probability that a text belongs to an image."""

    tool = "match"
    parameter = "text"

    def _prepare(self, image: Image | Region, text: str) -> ImageTextPair:
        return ImageTextPair(self._crop(image), self._read(text))

    def _answer(self, asked: list[ImageTextPair]) -> list[float]:
        return self.probabilities(asked)


class PairVerifier(PairBackend):
    """True if a statement belongs to an image more likely than not. A statement with "not" is true if the one without
    is false.

    Args:
        threshold: Minimum probability.
    """

    tool = "verify"
    parameter = "statement"

    def __init__(self, model: str | None = None, *, threshold: float = 0.5, **options: Any) -> None:
        super().__init__(model, **options)
        self.threshold = threshold

    def _prepare(self, image: Image | Region, statement: str) -> ImageTextPair:
        bare, denials = DENIALS.subn(" ", statement.lower())
        return ImageTextPair(self._crop(image), self._read(bare if denials else statement), denials % 2 == 1)

    def _answer(self, asked: list[ImageTextPair]) -> list[bool]:
        return [
            (probability >= self.threshold) != ask.denied
            for ask, probability in zip(asked, self.probabilities(asked), strict=True)
        ]

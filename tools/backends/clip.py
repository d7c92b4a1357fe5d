"""`classify`, `match` and `verify` with CLIP: bundled, trained by `visprog train clip`, or public."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.image import Image

from ._backend_file import known_words, words_summary
from ._batching import crop_to
from ._dual_encoder import DualEncoder, dual_encoder, encoder_of, plain, templates_for
from ._gate import to_view
from ._model_backend import ModelBackend
from ._vocabulary import DENIALS, as_caption, exchanged, in_known_words, near_misses, nouns_in

CLIP = "openai/clip-vit-base-patch32"

CLIPSCORE = 2.5
"""CLIPScore (Hessel et al., 2021): cosines of good captions lie near 0.3, and this brings them near 1."""

CONTRASTS = ("something", "something else", "a scene", "a thing")
"""What a statement must fit better than, to be held for true."""

HEAD = re.compile(
    r"^(?:there (?:is|are) )?(.+?) (?:is|are|has|have|with|without|in|on|at|of|near|that|who|which|\w+ing)\b"
)
"""The part of a statement that names an object, before its properties."""


class Comparison(NamedTuple):
    """One call: an image, or a region of the features of one, and the texts to compare it with."""

    image: Image | Region
    texts: list[str]
    denied: bool = False


class ClipBackend(ModelBackend):
    """What the three tools share.

    Args:
        margin: Width added to a region on each side, as a share of its longer side.
        batch_size: Number of images or texts that the network encodes at once.
        regions: Whether a region is judged by its part of the features of the whole image instead of by its crop; by
            default so if the model was trained on captions of regions (`visprog train`, key `regions`).
    """

    default_model = CLIP
    parameter: str

    def __init__(
        self,
        model: str | None = None,
        *,
        margin: float = 0.05,
        batch_size: int = 32,
        regions: bool | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.margin, self.batch_size = margin, batch_size
        self.regions = self.settings.option("regions", regions, False)
        self.vocabulary = self.settings.vocabulary

    def unload(self) -> None:
        """Let go of the weights."""
        encoder_of.cache_clear()
        super().unload()

    @property
    def sees(self) -> Sees:
        """The words that the model was taught; any text if it reads any word."""
        if known_words(self.folder) is None:
            return Sees("any short text about how an object looks.")
        read = Parsed(lambda text: self._read(DENIALS.sub(" ", text.lower())))
        return Sees(words_summary(self.folder), {self.parameter: read})

    @property
    def encoder(self) -> DualEncoder:
        """The model, loaded when it is first used; the tools share it.

        Raises:
            ToolError: There is no such model.
        """
        return dual_encoder(self._find(), self.device, self.dtype)

    def cosines(self, asked: list[Comparison]) -> list[NDArray[np.float32]]:
        """For each call, the cosines between its image and its texts."""
        encoder = self.encoder
        images = encoder.encode_views([ask.image for ask in asked], self.batch_size)
        texts = [text for ask in asked for text in ask.texts]
        templates = ("{}",) if self.vocabulary else templates_for(self.folder, encoder.trained_here)
        if templates != ("{}",):
            texts = [plain(text) for text in texts]
        features = encoder.encode_texts(texts, templates, self.batch_size)
        ends = np.cumsum([len(ask.texts) for ask in asked])
        parts = np.split(features, ends[:-1])
        return [part @ image for part, image in zip(parts, images, strict=True)]

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

    def _crop(self, image: Image | Region) -> Image | Region:
        """What the model is shown. Raises `Refused` if it was not taught such images."""
        view = to_view(image, self.folder, self.tool)
        return (
            view if self.regions and isinstance(view, Region) and view.image else crop_to(view, self.margin)
        )

    def _near_misses(self, text: str) -> list[str]:
        """What a text is compared with if the model knows few words: itself with one word exchanged. Empty if it reads
        any word.

        Raises:
            Refused: The text has no word that could be exchanged.
        """
        known = known_words(self.folder)
        if self.vocabulary:
            *kinds, last = self.vocabulary.kinds
            misses, named = near_misses(text, self.vocabulary), f"no {', '.join(kinds)} or {last}"
        elif known is not None:
            misses, named = exchanged(text, known), "nothing"
        else:
            return []
        if not misses:
            raise Refused(f"{self.tool}: '{text}' names {named} that the model '{self.model}' knows")
        return misses


class ClipClassifier(ClipBackend):
    """The option whose text is nearest to the image."""

    tool = "classify"
    parameter = "options"

    def _prepare(self, image: Image | Region, options: list[str]) -> tuple[Comparison, list[str]]:
        if not options:
            raise ToolError("classify was given no options to choose from")
        return Comparison(self._crop(image), [self._read(option) for option in options]), list(options)

    def _answer(self, asked: list[tuple[Comparison, list[str]]]) -> list[str]:
        rows = self.cosines([comparison for comparison, _ in asked])
        return [options[int(row.argmax())] for (_, options), row in zip(asked, rows, strict=True)]


class ClipMatcher(ClipBackend):
    """How well a text fits: SigLIP's own probability; of CLIP, which has none, the CLIPScore, at most 1. Of a model
    that knows few words, the probability of the text among those with one word exchanged."""

    tool = "match"
    parameter = "text"

    def _prepare(self, image: Image | Region, text: str) -> Comparison:
        text = self._read(text)
        return Comparison(self._crop(image), [text, *self._near_misses(text)])

    def _answer(self, asked: list[Comparison]) -> list[float]:
        encoder = self.encoder
        return [self._probability(encoder, row) for row in self.cosines(asked)]

    def _probability(self, encoder: DualEncoder, cosines: NDArray[np.float32]) -> float:
        if len(cosines) > 1:
            return float(1 / np.exp(encoder.logit_scale * (cosines - cosines[0])).sum())
        if encoder.logit_bias is None:
            return min(max(CLIPSCORE * float(cosines[0]), 0.0), 1.0)
        return _sigmoid(encoder.logit_scale * float(cosines[0]) + encoder.logit_bias)


class ClipVerifier(ClipBackend):
    """True if a statement fits better than empty phrases and than the bare name of its object; of a model that
    knows few words, than each statement with one word exchanged.

    "a person wearing a hat" is compared with "a person", so that a person alone does not make it true. A statement
    with "not" is true if the one without is false.

    Args:
        threshold: Minimum probability, from the softmax over the statement and the best of the others.
    """

    tool = "verify"
    parameter = "statement"

    def __init__(self, model: str | None = None, *, threshold: float = 0.5, **options: Any) -> None:
        super().__init__(model, **options)
        self.threshold = threshold

    def _prepare(self, image: Image | Region, statement: str) -> Comparison:
        bare, denials = DENIALS.subn(" ", statement.lower())
        label = image.label.strip() if isinstance(image, Region) else ""
        if self.vocabulary and not nouns_in(bare, self.vocabulary):
            bare = " ".join([bare, *nouns_in(label, self.vocabulary)[:1]])
        text = self._read(bare if denials or self.vocabulary else statement)
        others = self._near_misses(text)
        if not others:
            head = HEAD.match(bare.strip())
            names = [name for name in (head[1] if head else "", label) if name]
            others = [*CONTRASTS, *(name for name in names if name.lower() != bare.strip())]
        return Comparison(self._crop(image), [text, *others], denials % 2 == 1)

    def _answer(self, asked: list[Comparison]) -> list[bool]:
        scale = self.encoder.logit_scale
        margins = [scale * float(row[0] - row[1:].max()) for row in self.cosines(asked)]
        return [
            (_sigmoid(margin) >= self.threshold) != ask.denied
            for ask, margin in zip(asked, margins, strict=True)
        ]


class EmbeddedClassifier(ClipClassifier):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


class EmbeddedMatcher(ClipMatcher):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


class EmbeddedVerifier(ClipVerifier):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -60, 60))))

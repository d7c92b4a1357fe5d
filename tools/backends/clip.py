"""`classify`, `match`, `verify` and `retrieve` with CLIP: bundled, trained by `visprog train clip`, or public."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.retrieval.nearest import nearest
from visprog.tools.classify import match
from visprog.values import Region
from visprog.values.image import Image

from ._backend_file import known_words
from ._batching import answer_batch, crop_to
from ._checkpoint import Checkpoint, checkpoint_digest
from ._dual_encoder import BY_TRANSFORMERS, OURS, DualEncoder, dual_encoder, plain, templates_for
from ._gate import to_view
from ._text_backend import TextBackend
from ._vocabulary import DENIALS, exchanged, near_misses, nouns_in

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


class ClipBackend(TextBackend):
    """What the tools share.

    Args:
        regions: Whether a region is judged by its part of the features of the whole image instead of by its crop; by
            default so if the model was trained on captions of regions (`visprog train`, key `regions`).
    """

    default_model = CLIP
    model_types = (*OURS, *BY_TRANSFORMERS)

    def __init__(self, model: str | None = None, *, regions: bool | None = None, **options: Any) -> None:
        super().__init__(model, **options)
        self.regions = self.settings.option("regions", regions, False)

    @property
    def encoder(self) -> DualEncoder:
        """The model, loaded when it is first used; the tools share it.

        Raises:
            ToolError: There is no such model.
        """
        return dual_encoder(self._find(), self.device, self.dtype)

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint of the model."""
        return self.encoder.checkpoint

    def cosines(self, asked: list[Comparison]) -> list[NDArray[np.float32]]:
        """For each call, the cosines between its image and its texts."""
        images = self.encoder.encode_views([ask.image for ask in asked], self.batch_size)
        features = self._encode_texts([text for ask in asked for text in ask.texts])
        ends = np.cumsum([len(ask.texts) for ask in asked])
        parts = np.split(features, ends[:-1])
        return [part @ image for part, image in zip(parts, images, strict=True)]

    def _encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Features of texts that `_read` gave, (n, dim)."""
        encoder = self.encoder
        templates = ("{}",) if self.vocabulary else templates_for(self.folder, encoder.trained_here)
        if templates != ("{}",):
            texts = [plain(text) for text in texts]
        return encoder.encode_texts(texts, templates, self.batch_size)

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


class Retrieval(NamedTuple):
    """One call: images as they were given and as the model sees them, a text, and the number of images wanted."""

    images: list[Image]
    views: list[Image]
    text: str
    read: str
    k: int


class ClipRetriever(ClipBackend):
    """The images whose features are nearest to that of the text. `visprog search` has it make an index of a folder.

    Args:
        rerank: Number of the nearest images that are put in order anew by the tool `match`, which may have a model
            that looks at image and text together; 0 for none.
    """

    tool = "retrieve"
    parameter = "text"

    def __init__(self, model: str | None = None, *, rerank: int = 0, **options: Any) -> None:
        super().__init__(model, **options)
        self.rerank = rerank

    def digest(self) -> str:
        """What tells the model from others."""
        return checkpoint_digest(self._find())

    def image_features(self, images: Sequence[Image]) -> list[NDArray[np.float32] | Exception]:
        """The feature of each image, (dim,); a `Refused` for one that is not like those of the training."""
        return answer_batch(
            [{"image": image} for image in images],
            lambda image: to_view(image, self.folder, self.tool),
            lambda views: list(self.encoder.encode_images(views, self.batch_size)),
        )

    def text_features(self, texts: list[str]) -> NDArray[np.float32]:
        """Features of texts, (n, dim). Raises `Refused` if the model was not taught a word."""
        return self._encode_texts([self._read(text) for text in texts])

    def _prepare(self, images: list[Image], text: str, k: int) -> Retrieval:
        if k < 1:
            raise ToolError(f"retrieve gives at least one image: k must be 1 or more, not {k}")
        views = [to_view(image, self.folder, self.tool) for image in images]
        return Retrieval(images, views, text, self._read(text), k)

    def _answer(self, asked: list[Retrieval]) -> list[list[Image]]:
        texts = self._encode_texts([ask.read for ask in asked])
        return [self._nearest(ask, text) for ask, text in zip(asked, texts, strict=True)]

    def _nearest(self, ask: Retrieval, text: NDArray[np.float32]) -> list[Image]:
        if not ask.images:
            return []
        features = self.encoder.encode_images(ask.views, self.batch_size)
        _, (order,) = nearest(text[None], features, max(ask.k, self.rerank))
        found = [ask.images[i] for i in order]
        first = sorted(found[: self.rerank], key=lambda image: -match(image, ask.text))
        return [*first, *found[self.rerank :]][: ask.k]


class EmbeddedClassifier(ClipClassifier):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


class EmbeddedMatcher(ClipMatcher):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


class EmbeddedVerifier(ClipVerifier):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


class EmbeddedRetriever(ClipRetriever):
    """The bundled CLIP, which names the simple shapes of drawn scenes and their colours."""

    default_model = "clip"


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -60, 60))))

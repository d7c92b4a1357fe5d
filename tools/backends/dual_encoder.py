"""`classify`, `match` and `verify` with CLIP and SigLIP."""

from __future__ import annotations

import re
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry.sees import Sees
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_together, look
from ._checkpoint import load, unload
from .clip_hub import KINDS, DualEncoder, dual_encoder

CLIP = "openai/clip-vit-base-patch32"
SIGLIP = "google/siglip2-base-patch16-224"

CLIPSCORE = 2.5
"""CLIPScore (Hessel et al., 2021): cosines of good captions lie near 0.3, and this brings them near 1."""

CONTRASTS = ("something", "something else", "a scene", "a thing")
"""What a statement must fit better than, to be held for true."""

HEAD = re.compile(
    r"^(?:there (?:is|are) )?(.+?) (?:is|are|has|have|with|without|in|on|at|of|near|that|who|which|\w+ing)\b"
)
"""The part of a statement that names a thing, before what is said of it."""


class Ask(NamedTuple):
    """One call: the picture, and the texts to hold against it."""

    picture: Image
    texts: list[str]


class _OnDualEncoder:
    """What the three tools share.

    Args:
        model: a folder, or a hub id.
        device: "cpu", "cuda", "mps"; "auto" takes a GPU where there is one.
        dtype: "float32", "bfloat16", "float16"; "auto" is the checkpoint's own.
        margin: how much wider than a region its crop is, as a share of its longer side.
        batch_size: how many pictures or texts the network sees at once.
    """

    tool: ClassVar[str]
    default: ClassVar[str]
    sees = Sees("any short text about how a thing looks.")

    def __init__(
        self,
        model: str | None = None,
        *,
        device: str = "auto",
        dtype: str = "auto",
        margin: float = 0.05,
        batch_size: int = 32,
    ) -> None:
        self.model = model or self.default
        self.device = device
        self.dtype = dtype
        self.margin = margin
        self.batch_size = batch_size

    def unload(self) -> None:
        """Let go of the weights."""
        dual_encoder.cache_clear()
        unload(self.model)

    def _load(self) -> DualEncoder:
        checkpoint = load(self.model, self.tool, "AutoModel", KINDS, device=self.device, dtype=self.dtype)
        return dual_encoder(checkpoint)

    def _look(self, image: Image | Region, texts: list[str]) -> Ask:
        if not all(text.strip() for text in texts):
            raise ToolError(f"{self.tool} was given an empty text: say what to look for")
        return Ask(look(image, self.margin), texts)

    def _cosines(self, encoder: DualEncoder, asked: list[Ask]) -> list[NDArray[np.float32]]:
        """For each call, the cosines between its picture and its texts."""
        images = encoder.encode_images([ask.picture for ask in asked], self.batch_size)
        texts = encoder.encode_texts([text for ask in asked for text in ask.texts], self.batch_size)
        ends = np.cumsum([len(ask.texts) for ask in asked])
        parts = np.split(texts, ends[:-1])
        return [part @ image for part, image in zip(parts, images, strict=True)]


class ClipClassifier(_OnDualEncoder):
    """Zero-shot classification: the option whose text lies nearest to the picture."""

    tool = "classify"
    default = CLIP

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, options: list[str]) -> Ask:
        if not options:
            raise ToolError("classify was given no options to choose from")
        return self._look(image, list(options))

    def _answer(self, asked: list[Ask]) -> list[str]:
        cosines = self._cosines(self._load(), asked)
        return [ask.texts[int(row.argmax())] for ask, row in zip(asked, cosines, strict=True)]


class ClipMatcher(_OnDualEncoder):
    """How well a text fits: SigLIP's own probability; of CLIP, which has none, the CLIPScore, at most 1."""

    tool = "match"
    default = CLIP

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, text: str) -> Ask:
        return self._look(image, [text])

    def _answer(self, asked: list[Ask]) -> list[float]:
        encoder = self._load()
        cosines = [float(row[0]) for row in self._cosines(encoder, asked)]
        if encoder.bias is None:
            return [min(max(CLIPSCORE * cosine, 0.0), 1.0) for cosine in cosines]
        return [_sigmoid(encoder.scale * cosine + encoder.bias) for cosine in cosines]


class ClipVerifier(_OnDualEncoder):
    """True where the statement fits better than empty phrases and than the bare name of its thing.

    "a person wearing a hat" is held against "a person", so that a person alone does not make it true.

    Args:
        threshold: least probability, from the softmax over the statement and the best of the others.
    """

    tool = "verify"
    default = CLIP

    def __init__(self, model: str | None = None, *, threshold: float = 0.5, **options: Any) -> None:
        super().__init__(model, **options)
        self.threshold = threshold

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, statement: str) -> Ask:
        head = HEAD.match(statement.lower().strip())
        names = [head[1]] if head else []
        if isinstance(image, Region) and image.label.strip():
            names.append(image.label)
        others = [name for name in names if name.lower() != statement.lower().strip()]
        return self._look(image, [statement, *CONTRASTS, *others])

    def _answer(self, asked: list[Ask]) -> list[bool]:
        encoder = self._load()
        rows = self._cosines(encoder, asked)
        return [_sigmoid(encoder.scale * float(row[0] - row[1:].max())) >= self.threshold for row in rows]


class SiglipClassifier(ClipClassifier):
    default = SIGLIP


class SiglipMatcher(ClipMatcher):
    default = SIGLIP


class SiglipVerifier(ClipVerifier):
    default = SIGLIP


def _sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-np.clip(x, -60, 60))))

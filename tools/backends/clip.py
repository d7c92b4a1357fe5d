"""`classify`, `match` and `verify` with the bundled CLIP, in the words that it was trained on."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.image import Image

from ._batching import answer_together, look
from ._bundled import in_words, model_folder, read_once, words_of
from ._gate import to_view
from .dual_encoder import CONTRASTS

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.zero_shot import ZeroShot

FILLERS = frozenset(
    "a an the is are it this that there its in of on with color colour colored coloured shape shaped".split()
)
VAGUE = frozenset("thing something picture image photo".split())
"""Words that say nothing of what is seen."""

SIGNS = frozenset(".,;:!?\"'")
"""Signs that a text may have where the captions of training had none."""

MOST_RIVALS = 200
"""Words of a model of one's own that each word of a text is exchanged for."""

DENIALS = re.compile(r"\b(?:not|no|isn't|isnt|aren't|arent)\b")


class Ask(NamedTuple):
    """One call: the picture, and the texts to hold against it."""

    picture: Image
    texts: list[str]
    denied: bool = False


class _OnClip:
    """What the three tools share.

    Args:
        model: folder of a model trained with `visprog train clip`; the bundled one where not given.
        margin: how much wider than a region its crop is, as a share of its longer side.
    """

    tool: ClassVar[str]
    parameter: ClassVar[str]

    def __init__(self, model: str | None = None, *, margin: float = 0.05) -> None:
        self.folder = model_folder(model, "clip")
        self.bundled = model is None
        self.margin = margin

    @property
    def zero_shot(self) -> ZeroShot:
        """The model, loaded at the first use; the tools share it.

        Raises:
            ToolError: the folder holds no such model.
        """
        return load(self.folder)

    def _read(self, text: str) -> str:
        """The text as it was said in training. Raises `Refused` where it has words that the model does not know.

        What scenes call things is put as their captions put it; a model that was taught other captions is given the
        text as it is, cut into the words that its tokenizer cuts it into.
        """
        known = words_of(self.folder)
        if self._on_scenes:
            plain = _phrase(" ".join(re.findall(r"[a-z]+|[,;]", text.lower().replace("gray", "grey"))))
        elif known is None:
            plain = " ".join(text.split())
        else:
            plain = " ".join(re.findall(r"\w+|[^\w\s]+", text.lower()))
        if known is not None:
            plain = " ".join(w for w in plain.split() if w in known or w not in FILLERS | SIGNS)
        unknown = [word for word in plain.split() if known is not None and word not in known]
        if unknown or not plain:
            which = "bundled model" if self.bundled else f"model in {self.folder.name}"
            raise Refused(
                f"the {which} of {self.tool} was not taught what "
                f'{", ".join(repr(w) for w in unknown) or "an empty text"} is: set backend = "siglip" under '
                f"[tools.{self.tool}] in visprog.toml, after pip install 'visprog[hf]'"
            )
        return plain

    def _look(self, image: Image | Region) -> Image:
        """What the model is shown. Raises `Refused` if it was not taught such images."""
        return look(to_view(image, self.folder, self.tool), self.margin)

    @property
    def _on_scenes(self) -> bool:
        """Whether the model was taught the words of scenes: a model of one's own may have been taught others."""
        known = words_of(self.folder) or frozenset()
        colors, _, shapes = kinds()
        return known.issuperset((*colors, *shapes))

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        phrases = {self.parameter: Parsed(self._read_bare)} if words_of(self.folder) else {}
        return Sees(in_words(self.folder), phrases)

    def _read_bare(self, text: str) -> str:
        return self._read(DENIALS.sub(" ", text.lower()))

    def _cosines(self, asked: list[Ask]) -> list[Tensor]:
        """For each call, the cosines between its picture and its texts."""
        model = self.zero_shot
        images = model.encode_images([ask.picture.pixels for ask in asked])
        return [model.encode_classes(ask.texts) @ image for ask, image in zip(asked, images, strict=True)]

    def _against(self, image: Image | Region, text: str, denied: bool = False) -> Ask:
        """A text, and what it would be with one word of its kind exchanged."""
        text = self._read(text)
        rivals = near_misses(text) if self._on_scenes else []
        if not rivals and not self.bundled:
            rivals = self._rivals(text)
        if not rivals:
            what = "no colour, texture or shape" if self._on_scenes else "nothing"
            which = "bundled model" if self.bundled else f"model in {self.folder.name}"
            raise Refused(f"{self.tool}: '{text}' names {what} that the {which} knows")
        return Ask(self._look(image), [text, *rivals], denied)

    def _rivals(self, text: str) -> list[str]:
        """What a text of a model of one's own is held against: itself with one word exchanged for other words that the
        model was taught, or, if it reads any word in pieces, texts that say nothing and those with another colour or
        shape. None for a text that says nothing."""
        words = text.split()
        said = [word for word in words if re.search(r"\w", word) and word not in FILLERS | VAGUE]
        others = [w for w in sorted(words_of(self.folder) or ()) if w.isalnum() and w not in FILLERS | VAGUE]
        if not said:
            return []
        if len(others) < 2:
            return [*CONTRASTS, *near_misses(text)]
        others = others[:: math.ceil(len(others) / MOST_RIVALS)]  # of many, some from all over the alphabet
        rivals = [
            [other if w == word else w for w in words]
            for word in said
            for other in others
            if other not in words
        ]
        return [re.sub(r"\ban? (?=(\w))", _article, " ".join(rival)) for rival in rivals]


class EmbeddedClassifier(_OnClip):
    """The option whose text lies nearest to the picture."""

    tool = "classify"
    parameter = "options"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, options: list[str]) -> tuple[Ask, list[str]]:
        if not options:
            raise ToolError("classify was given no options to choose from")
        return Ask(self._look(image), [self._read(o) for o in options]), list(options)

    def _answer(self, asked: list[tuple[Ask, list[str]]]) -> list[str]:
        rows = self._cosines([ask for ask, _ in asked])
        return [options[int(row.argmax())] for (_, options), row in zip(asked, rows, strict=True)]


class EmbeddedMatcher(_OnClip):
    """The probability of a text among its near misses: those with another colour, texture or shape."""

    tool = "match"
    parameter = "text"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, text: str) -> Ask:
        return self._against(image, text)

    def _answer(self, asked: list[Ask]) -> list[float]:
        scale = float(self.zero_shot.model.logit_scale.detach().exp())  # type: ignore[attr-defined]
        return [float((scale * row).softmax(0)[0]) for row in self._cosines(asked)]


class EmbeddedVerifier(_OnClip):
    """True where a statement fits better than each of its near misses."""

    tool = "verify"
    parameter = "statement"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    def _prepare(self, image: Image | Region, statement: str) -> Ask:
        denied = len(DENIALS.findall(statement.lower())) % 2 == 1
        bare = DENIALS.sub(" ", statement.lower())
        if self._on_scenes and isinstance(image, Region) and image.label and not _shapes(bare):
            bare = f"{bare} {' '.join(_shapes(image.label)[:1])}"
        return self._against(image, bare, denied)

    def _answer(self, asked: list[Ask]) -> list[bool]:
        rows = self._cosines(asked)
        return [(int(row.argmax()) == 0) != ask.denied for ask, row in zip(asked, rows, strict=True)]


@read_once("CLIP")
def load(folder: Path) -> ZeroShot:
    """A model that `visprog train` saved, CLIP or SigLIP."""
    from ...models.base import load_model
    from ...models.clip.model import Clip
    from ...models.preprocess.image_processor import ImageProcessor
    from ...models.preprocess.tokenizer import Tokenizer
    from ...models.siglip import Siglip
    from ...models.zero_shot import ZeroShot

    model = load_model(folder)
    if not isinstance(model, Clip | Siglip):
        raise ValueError(f"it holds a {type(model).__name__}, neither CLIP nor SigLIP")
    length = model.config.text_encoder.length if isinstance(model, Siglip) else None
    tokenizer = Tokenizer.from_pretrained(folder, length=length, full=length is not None)
    return ZeroShot(model.eval(), tokenizer, ImageProcessor.from_pretrained(folder))


@cache
def kinds() -> tuple[tuple[str, ...], ...]:
    """Words of one kind, of which a thing has one: colours, textures and shapes."""
    from ...scenes import COLORS, SHAPES, TEXTURES

    return COLORS, TEXTURES[1:], SHAPES


def near_misses(text: str) -> list[str]:
    """The text with each of its colours, textures and shapes exchanged for all others of its kind."""
    words = text.split()
    found = []
    for i, word in enumerate(words):
        for kind in kinds():
            if word in kind:
                found += [[*words[:i], other, *words[i + 1 :]] for other in kind if other != word]
    return [re.sub(r"\ban? (?=(\w))", _article, " ".join(miss)) for miss in found]


def _phrase(text: str) -> str:
    """What a text says of one thing, as it was said in training: "the circle is red" → "a red circle".

    A text that names several shapes, or has words that are not of a kind, is left as it is.
    """
    colors, textures, shapes = kinds()
    words = [w for w in text.split() if w not in FILLERS]
    said = [[w for w in words if w in kind] for kind in (textures, colors, shapes)]
    if max(map(len, said)) > 1 or len(words) > sum(map(len, said)) + words.count("thing"):
        return text
    noun = said[2] or ["thing"]
    return re.sub(r"\ban? (?=(\w))", _article, f"a {' '.join(said[0] + said[1] + noun)}")


def _shapes(text: str) -> list[str]:
    return [w for w in re.findall(r"[a-z]+", text.lower()) if w in kinds()[2]]


def _article(match: re.Match[str]) -> str:
    return "an " if match[1] in "aeiou" else "a "

"""`detect` with the bundled OWLv2, or with a detector of one's own from `visprog train owl`."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Near, Parsed, Sees
from visprog.values import Box, Region
from visprog.values.image import Image

from ..words.meaning import near
from ..words.phrase import Phrase, read_phrase, read_yaml
from ._batching import answer_together
from ._bundled import in_words, model_folder, read_once, words_of
from ._gate import to_view
from ._overlap import suppress

if TYPE_CHECKING:
    from torch import Tensor

    from ...models.owlvit import OwlVit
    from ...models.preprocess.image_processor import ImageProcessor
    from ...models.preprocess.tokenizer import Tokenizer

NOUN = "thing"
"""What the bundled model was taught to call whatever it sees."""


class Detector(NamedTuple):
    """What `visprog train` saved of a detector."""

    model: OwlVit
    tokenizer: Tokenizer
    pixels: ImageProcessor


class Ask(NamedTuple):
    """One call: the picture, and the phrase in the words of the training."""

    image: Image
    phrase: str


class EmbeddedDetector:
    """A small OWLv2 (Minderer et al. 2023): finds what a phrase names, in the words that it was trained on.

    Args:
        model: folder of a model trained with `visprog train owl`; the bundled one where not given.
        threshold: least score of what is found.
        overlap: of two boxes whose intersection over union is larger, the surer one is kept.
    """

    def __init__(self, model: str | None = None, *, threshold: float = 0.28, overlap: float = 0.5) -> None:
        self.folder = model_folder(model, "owl")
        self.threshold, self.overlap = threshold, overlap

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_together(calls, self._prepare, self._answer)

    @property
    def detector(self) -> Detector:
        """The model, loaded at the first use.

        Raises:
            ToolError: the folder holds no such model.
        """
        return load(self.folder)

    @property
    def sees(self) -> Sees:
        """The words that the model was taught."""
        phrases = Parsed(self._read, self._near)
        return Sees(in_words(self.folder), {"what": phrases} if words_of(self.folder) else {})

    def _prepare(self, image: Image, what: str) -> Ask:
        phrase = self._read(what)
        return Ask(to_view(image, self.folder, "detect"), phrase)

    def _read(self, what: str) -> str:
        """The phrase in the words of the training. Raises `Refused` where it has words that the model does not know."""
        text, known = spelt(read_phrase(what)), words_of(self.folder)
        unknown = [w for w in re.findall(r"\w+|[^\w\s]", text) if known is not None and w not in known]
        if unknown:
            raise Refused(
                f"the detector in {self.folder.name} has not been taught what "
                f'{", ".join(map(repr, unknown))} is: set another backend, such as "owlv2" after '
                "pip install 'visprog[hf]', under [tools.detect] in visprog.toml"
            )
        return text

    def _near(self, what: str) -> Near | None:
        try:
            return near(read_phrase(what).noun, words_of(self.folder) or ())
        except ToolError:
            return None

    def _answer(self, asked: list[Ask]) -> list[list[Region]]:
        import torch

        model, tokenizer, pixels = self.detector
        phrases = list(dict.fromkeys(ask.phrase for ask in asked))
        pictures = {ask.image.digest: pixels.fit(ask.image.pixels) for ask in asked}
        alike: dict[tuple[int, ...], list[str]] = {}
        for digest, picture in pictures.items():
            alike.setdefault(picture.shape, []).append(digest)
        found: dict[str, tuple[Tensor, Tensor]] = {}
        with torch.inference_mode():
            _, queries = model.encode_texts(tokenizer(phrases).ids)
            for (height, width, _), digests in alike.items():
                _, features = model.encode_images(pixels([pictures[digest] for digest in digests]))
                scores = model.class_head(features, queries[None])[0].sigmoid()
                patch = model.config.image_encoder.patch
                boxes = model.predict_boxes(features, (height // patch, width // patch))
                found |= {digest: (scores[i], boxes[i]) for i, digest in enumerate(digests)}
        regions = []
        for ask in asked:
            scores, boxes = found[ask.image.digest]
            regions.append(self._regions(ask, scores[:, phrases.index(ask.phrase)], boxes))
        return regions

    def _regions(self, ask: Ask, scores: Tensor, boxes: Tensor) -> list[Region]:
        """What was found, surest first: scores (tokens,), boxes (tokens, 4) as centre and size in shares."""
        kept = (scores >= self.threshold).nonzero()[:, 0]
        sure = [float(s) for s in scores[kept]]
        found = []
        for x, y, w, h in boxes[kept].tolist():
            width, height = ask.image.width, ask.image.height
            box = Box((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
            found.append(ask.image.to_root(box.clip(Box(0, 0, width, height))))
        order = suppress(found, sure, [ask.phrase] * len(found), same=self.overlap)
        return [Region(found[i], ask.phrase, sure[i], ask.image.root) for i in order if found[i].area > 0]


@read_once("detector")
def load(folder: Path) -> Detector:
    """A detector that `visprog train` saved.

    Raises:
        ToolError: the folder holds none.
    """
    from ...models.owlvit import OwlVit
    from ...models.preprocess.image_processor import ImageProcessor
    from ...models.preprocess.tokenizer import Tokenizer

    model, tokenizer = OwlVit.from_pretrained(folder).eval(), Tokenizer.from_pretrained(folder)
    return Detector(model, tokenizer, ImageProcessor.from_pretrained(folder))


def spelt(phrase: Phrase) -> str:
    """The phrase as it was said in training: "striped red objects" → "red striped thing"."""
    *words, noun = phrase.whole.replace("gray", "grey").split()
    kinds, drawn = adjectives(), read_yaml("drawn")
    if noun in read_yaml("words")["everything"] or drawn["nouns"].get(noun) == "thing":
        noun = NOUN
    words = [drawn["sizes"].get(word, word) for word in words]
    if all(word in kinds for word in words):
        words.sort(key=kinds.__getitem__)
    return " ".join((*words, noun))


@cache
def adjectives() -> dict[str, int]:
    """The words that the bundled model takes before a noun, and in which order."""
    from ...scenes import COLORS, SIZES, TEXTURES

    return {word: place for place, kind in enumerate((SIZES, COLORS, TEXTURES)) for word in kind}

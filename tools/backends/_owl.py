"""Search for phrases with OWL-ViT (Minderer et al., 2022) and OWLv2 (2023), in any image.

The backend of `detect` is in `owl.py`; `_gate.py` uses this too."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused, ToolError
from visprog.registry.sees import Near, Parsed, Sees
from visprog.values import Region
from visprog.values.image import Image

from ..words.meaning import near
from ..words.phrase import Phrase, read_phrase, read_yaml
from ._backend_file import TaughtWords, folder_of, is_trained_here, known_words, words_summary
from ._batching import in_batches
from ._checkpoint import Checkpoint
from ._features import FEATURES
from ._loading import load
from ._phrase_detector import PhraseDetector, Search, corners_of

if TYPE_CHECKING:
    from torch import Tensor

Found = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Scores (tokens, phrases), and boxes (tokens, 4) as centre and size in shares of what the network saw."""


class OwlSearch(PhraseDetector):
    """Any phrase, with one score per phrase, independent of the others. A model that was trained here takes the words
    that it was taught."""

    default_model = "google/owlv2-base-patch16-ensemble"
    model_types = ("owlv2", "owlvit")

    def __init__(self, model: str | None = None, **options: Any) -> None:
        if is_trained_here(folder_of(model or self.default_model)):
            self.default_threshold = 0.28
        super().__init__(model, **options)

    @property
    def sees(self) -> Sees:
        """The words that the model was taught; any phrase if it reads any word."""
        if known_words(self.folder) is None:
            return super().sees
        return Sees(words_summary(self.folder), {"what": Parsed(self._read, self._near)})

    @property
    def checkpoint(self) -> Checkpoint:
        """The model, loaded when it is first used.

        Raises:
            ToolError: There is no such model.
        """
        return load(self._find(), self.device, self.dtype)

    def _prepare(self, image: Image, what: str) -> Search:
        return Search(image, self._read(what))

    def _read(self, what: str) -> str:
        """A phrase in the words of the training. Raises `Refused` if it has words that the model does not know."""
        phrase, known = read_phrase(what), known_words(self.folder)
        vocabulary = self.settings.vocabulary
        text = as_trained(phrase, vocabulary) if vocabulary else phrase.whole
        unknown = [w for w in re.findall(r"\w+|[^\w\s]", text) if known is not None and w not in known]
        if unknown:
            raise Refused(
                f"the detector '{self.model}' has not been taught what "
                f'{", ".join(map(repr, unknown))} is: set another backend, such as "owlv2" after '
                "pip install 'visprog[hf]', under [tools.detect] in visprog.toml"
            )
        return text

    def _near(self, what: str) -> Near | None:
        try:
            return near(read_phrase(what).noun, known_words(self.folder) or ())
        except ToolError:
            return None

    def _answer(self, asked: list[Search]) -> list[list[Region]]:
        checkpoint = self.checkpoint
        phrases = list(dict.fromkeys(search.what for search in asked))
        found = self._detect(checkpoint, {search.image.digest: search.image for search in asked}, phrases)
        processor = checkpoint.processor.image_processor
        regions = []
        for search in asked:
            scores, boxes = found[search.image.digest]
            # Boxes are relative to what the network saw: of OWLv2, the image filled up to a square.
            side = max(search.image.size)
            corners = corners_of(boxes, *((side, side) if processor.square else search.image.size))
            if processor.square and not processor.corner:
                corners -= [(side - edge) // 2 for edge in search.image.size] * 2
            regions.append(self._regions(search, corners, scores[:, phrases.index(search.what)]))
        return regions

    def _detect(
        self, checkpoint: Checkpoint, images: dict[str, Image], phrases: list[str]
    ) -> dict[str, Found]:
        """What the network sees of all phrases in each image."""
        import torch

        network, tokenizer = checkpoint.network, checkpoint.processor.tokenizer
        template = "{}" if checkpoint.source.trained_here else "a photo of a {}"

        def encode(lines: list[str]) -> list[Tensor]:
            _, queries = network.encode_texts(checkpoint.send(tokenizer(lines).ids))
            return [query.clone() for query in queries]

        found: dict[str, Found] = {}
        with checkpoint.running():
            lines = [template.format(phrase) for phrase in phrases]
            queries = torch.stack(FEATURES.get(checkpoint, "text", lines, encode))  # (phrases, project)
            for digest, tokens in self.encode_images(checkpoint, images).items():
                features = tokens.flatten(0, 1)[None]  # (1, rows * columns, dim)
                boxes = network.predict_boxes(features, tokens.shape[:2])[0]
                scores = network.class_head(features, queries[None])[0][0].float().sigmoid()
                found[digest] = scores.cpu().numpy(), boxes.float().cpu().numpy()
        return found

    def encode_images(self, checkpoint: Checkpoint, images: Mapping[str, Image]) -> dict[str, Tensor]:
        """For each image, the input of the network's heads (rows, columns, dim).

        Args:
            images: Images by their digests.
        """
        network, processor = checkpoint.network, checkpoint.processor.image_processor

        def compute(digests: list[str]) -> list[Tensor]:
            arrays, groups = {digest: images[digest].pixels for digest in digests}, dict[Any, list[str]]()
            if not processor.fixed:
                arrays = {digest: processor.fit(array) for digest, array in arrays.items()}
            for digest, array in arrays.items():
                groups.setdefault(None if processor.fixed else array.shape, []).append(digest)
            found: dict[str, Tensor] = {}
            for group in groups.values():
                arrays_of_group = [arrays[digest] for digest in group]
                found |= zip(
                    group, in_batches(checkpoint, arrays_of_group, self.batch_size, encode), strict=True
                )
            return [found[digest] for digest in digests]

        def encode(part: Sequence[Any]) -> list[Tensor]:
            with checkpoint.running():
                inputs = checkpoint.send(processor(part))
                _, features = network.encode_images(inputs)  # (batch, rows * columns, dim)
                rows = inputs.shape[-2] // network.config.image_encoder.patch
                return [each.unflatten(0, (rows, -1)).clone() for each in features]

        return dict(zip(images, FEATURES.get(checkpoint, "image", list(images), compute), strict=True))


def as_trained(phrase: Phrase, vocabulary: TaughtWords) -> str:
    """A phrase as it is worded in training: "striped red objects" → "red striped thing"."""
    *words, noun = phrase.whole.replace("gray", "grey").split()
    drawn = read_yaml("drawn")
    if noun in read_yaml("words")["everything"] or drawn["nouns"].get(noun) == "thing":
        noun = vocabulary.noun
    words = [drawn["sizes"].get(word, word) for word in words]
    order = {word: place for place, kind in enumerate(vocabulary.kinds.values()) for word in kind}
    if all(word in order for word in words):
        words.sort(key=order.__getitem__)
    return " ".join((*words, noun))

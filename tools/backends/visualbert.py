"""`verify` with VisualBERT (Li et al., 2019), trained by `visprog train visualbert`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from visprog.errors import Refused
from visprog.values import Region
from visprog.values.image import Image

from ._regions import Look, RegionBackend
from ._vocabulary import DENIALS, as_caption, nouns_in


class Statement(NamedTuple):
    """One call: what is looked at and read, and whether the statement denies that."""

    look: Look
    denied: bool
    statement: str


class VisualBertVerifier(RegionBackend):
    """True if a statement and the regions of an image belong together. It can tell how objects lie: "the red ring is
    left of the star". A statement with "not" is true if the one without is false. Of a region, only that region counts.

    Args:
        certainty: Minimum probability of true or of false, from 0.5; below it the model is not sure, and refuses.
    """

    tool = "verify"
    model_type = "visual_bert"
    recipe = "visualbert"
    parameter = "statement"

    def __init__(self, model: str | None = None, *, certainty: float = 0.75, **options: Any) -> None:
        super().__init__(model, **options)
        self.certainty = certainty

    def _prepare(self, image: Image | Region, statement: str) -> Statement:
        bare, denials = DENIALS.subn(" ", statement.lower())
        vocabulary = self.settings.vocabulary
        if vocabulary and not nouns_in(bare, vocabulary):
            label = image.label if isinstance(image, Region) else ""
            bare = " ".join([bare, *nouns_in(label, vocabulary)[:1]])
        if vocabulary and bare.strip():
            bare = as_caption(bare, vocabulary)
        return Statement(self._look(image, self._read(bare)), denials % 2 == 1, statement)

    def _answer(self, asked: Sequence[Statement]) -> list[bool | Refused]:
        network = self.checkpoint.network
        results: list[bool | Refused] = []
        for each, (output, row) in zip(asked, self._outputs([each.look for each in asked]), strict=True):
            if output.match_logits is None:
                true = float(output.class_logits[row].float().softmax(-1)[1])  # NLVR2: class 1 is true
            else:
                true = float(network.match_probability(output.match_logits[row].float()))
            if max(true, 1 - true) < self.certainty:
                results.append(
                    Refused(
                        f"the model '{self.model}' of verify is not sure whether '{each.statement}' is true: "
                        f"it holds it for true with a probability of {true:.2f}"
                    )
                )
            else:
                results.append((true > 0.5) != each.denied)
        return results

"""POPE: is an object in the image, or does the model hallucinate it? (Li et al., 2023)"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...errors import VisprogError
from ..answers import yes_no_of
from ..benchmark import Item
from ..metrics import Row, yes_no
from .published import Published

SPLITS = ("random", "popular", "adversarial")


class POPE(Published):
    """Reads `coco_pope_SPLIT.json`, lines of JSON with question_id, image, text and label (all three splits by
    default), and the images `COCO_val2014_….jpg`.

    Metrics: accuracy, precision, recall and F1 of the answer yes, and the share of yes. Kinds are the splits.
    """

    name = "pope"

    def entries(self) -> Iterable[tuple[str, Any]]:
        if self.split not in (None, *SPLITS):
            raise VisprogError(f"pope has no split '{self.split}': choose {', '.join(SPLITS)}")
        return self._all((self.split,) if self.split else SPLITS)

    def items(self, entry: Any) -> Iterable[Item]:
        split, question = entry
        truth = yes_no_of(question["label"])
        if truth is None:
            raise ValueError(f"the label {question['label']!r} is neither yes nor no")
        yield Item(
            f"{split}-{question['question_id']}",
            question["text"],
            (self.files.image(question["image"]),),
            truth,
            bool,
            details={"kind": split},
        )

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        answer = yes_no_of(value)
        scores = {"correct": float(answer is item.answer)}
        return scores if answer is None else {**scores, "yes": float(answer)}

    def summary(self, rows: Sequence[Row]) -> Mapping[str, float]:
        answers = [None if "yes" not in r["scores"] else r["scores"]["yes"] == 1 for r in rows]
        return yes_no([r["truth"] for r in rows], answers)

    def _all(self, splits: Sequence[str | None]) -> Iterator[tuple[str, Any]]:
        for split in splits:
            for where, entry in self.files.lines(self.files.find(f"coco_pope_{split}.json")):
                yield where, (split, entry)

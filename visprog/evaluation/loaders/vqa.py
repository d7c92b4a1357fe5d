"""VQAv2 and OK-VQA: questions about photographs, each answered by ten people.

(Goyal et al., 2017; Marino et al., 2019)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from ...errors import VisprogError
from ..answers import consensus, text_of
from ..benchmark import Item
from .published import Published, id_text, need, numbered


class VQAv2(Published):
    """Reads `v2_OpenEnded_mscoco_SPLIT_questions.json`, `v2_mscoco_SPLIT_annotations.json` (val2014, train2014) and
    the images `COCO_SPLIT_….jpg`.

    Metric: accuracy by consensus after the official normalisation of answers. Kinds are the types of answer
    (yes/no, number, other).
    """

    name = "vqav2"
    prefix = "v2_"

    def entries(self) -> Iterable[tuple[str, Any]]:
        name = self.files.find(f"{self.prefix}OpenEnded_mscoco_{self._part}_questions.json")
        return numbered(name, need(self.files.json(name), "questions", name))

    def items(self, entry: Any) -> Iterable[Item]:
        key = id_text(entry["question_id"])
        if key not in self._answers:
            raise VisprogError(f"no answers are given for the question {key} of {self.name}")
        found = self._answers[key]
        file = f"COCO_{self._part}_{int(entry['image_id']):012d}.jpg"
        people = [str(person["answer"]) for person in found["answers"]]
        details = {"kind": found.get("answer_type", "")}
        yield Item(key, entry["question"], (self.files.image(file),), people, details=details)

    def score(self, item: Item, value: Any) -> Mapping[str, float]:
        return {"accuracy": consensus(text_of(value), item.answer)}

    @property
    def _part(self) -> str:
        return self.split or "val2014"

    @cached_property
    def _answers(self) -> dict[str, Any]:
        name = self.files.find(f"{self.prefix}mscoco_{self._part}_annotations.json")
        return {id_text(a["question_id"]): a for a in need(self.files.json(name), "annotations", name)}


class OKVQA(VQAv2):
    """Reads `OpenEnded_mscoco_SPLIT_questions.json` and `mscoco_SPLIT_annotations.json` of OK-VQA; otherwise as
    `VQAv2`. All questions have the kind "other"."""

    name = "okvqa"
    prefix = ""

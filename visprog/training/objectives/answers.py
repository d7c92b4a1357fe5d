"""Questions about images whose answers are classes, as LXMERT and VisualBERT answer VQA; on any source of conversations
about one image each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor

from visprog.models.bert import IGNORED
from visprog.models.regions import Targets, answer_loss

from ..data.conversations import IMAGE
from ..data.samples import BadSample, Conversation, DataError
from ..data.source import ConversationSource
from ..distributed.collectives import share
from ..metrics.groups import group_means, membership
from ..regions import RegionKeys, RegionObjective
from .masked_regions import total


@dataclass(frozen=True)
class AnswersConfig(RegionKeys):
    """Keys of the objective `answers`.

    Attributes:
        answers: greatest number of classes of answers, the most frequent ones of the data.
        pretraining: whether the tasks of pre-training are learned from the questions, too, as LXMERT does: half of the
            questions are then of another image, and have no answer.
    """

    answers: int = 3129
    pretraining: bool = False


class Asked(NamedTuple):
    """A prepared question.

    Attributes:
        image: the image or its regions.
        answer: number of the class; `IGNORED` if it is none.
        belongs: whether the question is read with its own image.
        groups: titles of the scores that it counts for.
    """

    image: Any
    question: str
    answer: int
    belongs: bool
    groups: tuple[str, ...]


class Answers(RegionObjective):
    """Questions with answers. A batch holds "seen", images or their regions, "texts", the questions, "answers" (n,),
    and bool "matched" (n,), whether a question is of its image.

    Scores are shares of right answers, in each group of the source, or "accuracy" if it has none.

    Attributes:
        classes: the answers.
    """

    Config: ClassVar[Any] = AnswersConfig
    sample_type = Conversation
    needs = ("answer_logits",)
    source: ConversationSource

    def __init__(self, config: AnswersConfig, model: Any, source: ConversationSource) -> None:
        super().__init__(config, model, source)
        counts = Counter(source.answers())
        if not counts:
            raise DataError("data: there are no answers to learn")
        self.classes = tuple(sorted(answer for answer, _ in counts.most_common(config.answers)))
        self.numbers = {answer: i for i, answer in enumerate(self.classes)}
        count = len(self.classes)
        self.make("answers", model, answers=count, head="answers", classes=count)
        self.groups = source.groups or ("accuracy",)
        self.metric = self.groups[0]

    def prepare(self, sample: Conversation, rng: np.random.Generator, train: bool) -> Asked:
        pairs = [pair for pair in answered(sample, self.source) if not train or pair[1] in self.numbers]
        if not pairs or len(sample.images) != 1:
            raise BadSample(sample.name, "it has no question about one image whose answer is a class")
        question, answer = pairs[int(rng.integers(len(pairs)))] if train else pairs[-1]
        belongs = not (train and self.config.pretraining) or bool(rng.random() < 0.5)
        image = self.seen.prepare(sample.images[0], sample.name)
        groups = sample.groups if self.source.groups else self.groups
        return Asked(image, question, self.numbers.get(answer, IGNORED), belongs, groups)

    def collate(self, samples: list[Asked], train: bool) -> dict[str, Any]:
        questions, matched = [], []
        for i, sample in enumerate(samples):
            rest = [samples[(i + k) % len(samples)].question for k in range(1, len(samples))]
            other = next((text for text in rest if text != sample.question), sample.question)
            questions.append(sample.question if sample.belongs else other)
            matched.append(sample.belongs or other == sample.question)
        batch = {
            "seen": self.seen.collate([sample.image for sample in samples]),
            "texts": self.read(questions),
            "answers": torch.tensor([sample.answer for sample in samples]),
            "matched": torch.tensor(matched),
        }
        if not train:
            batch["groups"] = membership([sample.groups for sample in samples], self.groups)
        return batch

    def loss(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        regions, answers, texts = self.seen.regions(batch["seen"]), batch["answers"], batch["texts"]
        if not self.config.pretraining:
            logits = self.model.answer_logits(self.run(texts, regions))
            return {"loss": answer_loss(logits, answers) * share((answers != IGNORED).sum())}
        changed, hidden = self.model.hide_regions(regions)
        texts, words = self.hide_words(texts)
        targets = Targets(words, batch["matched"], regions, hidden, answers)
        return total(self.model.pretraining_losses(self.run(texts, changed), targets), words)

    def predict(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        logits = self.model.answer_logits(self.run(batch["texts"], self.seen.regions(batch["seen"])))
        return {"right": logits.argmax(-1) == batch["answers"], "groups": batch["groups"]}

    def score(self, predictions: Mapping[str, Tensor]) -> Mapping[str, float]:
        return group_means(predictions["right"], predictions["groups"], self.groups)

    def backend_file(self) -> dict[str, Any]:
        return {**super().backend_file(), "answers": self.classes}


def answered(sample: Conversation, source: ConversationSource) -> list[tuple[str, str]]:
    """Questions of a conversation with their final answers, without what is asked about every image."""
    texts = [turn.text.replace(IMAGE, " ").strip() for turn in sample.turns]
    pairs = zip(texts[::2], texts[1::2], strict=True)
    return [(question, source.final_answer(text)) for question, text in pairs if question != source.first]

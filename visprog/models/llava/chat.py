"""The conversation template of LLaVA-1.5, "USER: <image> question ASSISTANT: answer</s>USER: …"."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from visprog.files.plain_text import read_json

from ..checkpoint.hub import locate
from ..nn.generate import Beams, Sampling
from ..preprocess.tokenizer import Tokenizer

IMAGE = "<image>"
"""Special token that stands for an image in a question."""

STARTS, ENDS = ("<start>", "<s>", "<|begin_of_text|>"), ("<end>", "</s>", "<|eot_id|>", "<|end_of_text|>")
"""Tokens that begin and end a text, in the tokenizers made here and in those of LLaMA."""


class AnsweringModel(Protocol):
    """What answers: a LLaVA, or a BLIP-2 of stage 2."""

    def encode_images(self, images: Tensor) -> Tensor:
        """Features of images (n, 3, height, width), that `generate` takes."""

    def generate(
        self,
        tokens: Tensor,
        images: Tensor | None = None,
        max_new: int = 128,
        *,
        mask: Tensor | None = None,
        image_features: Tensor | None = None,
        stop: Sequence[int] = (),
        pad: int | None = None,
        search: Sampling | Beams | None = None,
    ) -> Tensor:
        """As `visprog.models.llava.model.Llava.generate`."""


class EncodedChat(NamedTuple):
    """A conversation as token ids.

    Attributes:
        ids: token ids; an image takes as many placeholders as the model has features of it.
        assistant_mask: whether each token belongs to an answer of the assistant, so that it is learned.
    """

    ids: list[int]
    assistant_mask: list[bool]


QuestionAnswer = tuple[str, str | None]
"""A question and its answer, None if the model is to give it."""


class Chat:
    """Encodes conversations for a model, and decodes its answers.

    Args:
        tokenizer: tokenizer of the language model, with the token "<image>".
        tokens_per_image: number of placeholders per image.
        first_question: question about every image that comes before all others, such as to list its objects with
            their positions; the model's own answer to it then stands before the user's question.
        answer_mark: text between the reasons that the model gives, such as the positions of the objects in question,
            and the answer itself. Both together are a grounded chain of thought (Chen et al. 2023, Shikra,
            arXiv:2306.15195).

    Raises:
        ValueError: the tokenizer lacks a token that conversations need.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        tokens_per_image: int,
        first_question: str | None = None,
        answer_mark: str | None = None,
    ) -> None:
        self.tokenizer, self.tokens_per_image = tokenizer, tokens_per_image
        self.first_question, self.answer_mark = first_question, answer_mark
        self.image = tokenizer.id(IMAGE)
        tokenizer.backend.no_truncation()  # a conversation is encoded whole; the caller refuses one that is too long
        self.start, self.end = _first_known(tokenizer, STARTS), _first_known(tokenizer, ENDS)

    def encode(self, turns: Iterable[QuestionAnswer]) -> EncodedChat:
        """Questions with their answers as token ids; an answer of None is left to the model."""
        ids, assistant_mask = [self.start], [False]
        for question, answer in turns:
            asked = self._ids(f"USER: {question} ASSISTANT:")
            ids += asked
            assistant_mask += [False] * len(asked)
            if answer is not None:
                answered = [*self._ids(answer), self.end]
                ids += answered
                assistant_mask += [True] * len(answered)
        return EncodedChat(ids, assistant_mask)

    def encode_batch(self, conversations: Iterable[Iterable[QuestionAnswer]]) -> tuple[Tensor, Tensor]:
        """Conversations to continue: ids (n, length) padded on the left, and the mask of real tokens."""
        encoded = [self.encode(turns).ids for turns in conversations]
        length = max(map(len, encoded))
        ids = torch.full((len(encoded), length), self.end)
        mask = torch.zeros(len(encoded), length, dtype=torch.bool)
        for row, found in enumerate(encoded):
            ids[row, length - len(found) :] = torch.tensor(found)
            mask[row, length - len(found) :] = True
        return ids, mask

    @torch.no_grad()
    def answer(
        self, model: AnsweringModel, images: Tensor, questions: Sequence[str], max_new: int
    ) -> list[str]:
        """Answers to one question per image, after the first question.

        Args:
            model: the LLaVA, or a BLIP-2 of stage 2.
            images: (n, 3, height, width).
            questions: n texts.
            max_new: greatest number of tokens of an answer.
        """
        features = model.encode_images(images)
        first = self.first_answers(model, features, max_new)
        answers: list[str] = self.answer_about(model, features, first, questions, max_new)
        return answers

    @torch.no_grad()
    def first_answers(self, model: AnsweringModel, image_features: Tensor, max_new: int) -> list[str]:
        """The model's answers to the first question about n images; empty texts if there is no such question.

        Args:
            image_features: from the model's `encode_images`, (n, …).
            model, max_new: as `answer`.
        """
        if not self.first_question:
            return [""] * len(image_features)
        turns = [[(self._first(), None)] for _ in image_features]
        return self._decode(self._generate(model, image_features, turns, max_new))

    @torch.no_grad()
    def answer_about(
        self,
        model: AnsweringModel,
        image_features: Tensor,
        first_answers: Sequence[str],
        questions: Sequence[str],
        max_new: int,
    ) -> list[str]:
        """As `answer`, about images that were encoded, and asked the first question, before.

        Args:
            image_features: from the model's `encode_images`, (n, …).
            first_answers: from `first_answers`, n texts.
            model, questions, max_new: as `answer`.
        """
        turns: list[list[QuestionAnswer]] = [
            [(self._first(), first), (question, None)]
            if self.first_question
            else [(f"{IMAGE}\n{question}", None)]
            for first, question in zip(first_answers, questions, strict=True)
        ]
        return self.final_answers(self._generate(model, image_features, turns, max_new))

    def _first(self) -> str:
        """The first question, with the image."""
        return f"{IMAGE}\n{self.first_question}"

    def final_answers(self, ids: Tensor) -> list[str]:
        """The answers in generated ids (n, length): the whole text, or the part after `answer_mark`."""
        texts = self._decode(ids)
        return [text.rpartition(self.answer_mark)[2].strip() for text in texts] if self.answer_mark else texts

    def _generate(
        self,
        model: AnsweringModel,
        image_features: Tensor,
        turns: Sequence[Sequence[QuestionAnswer]],
        max_new: int,
    ) -> Tensor:
        tokens, mask = (x.to(image_features.device) for x in self.encode_batch(turns))
        return model.generate(
            tokens, mask=mask, image_features=image_features, max_new=max_new, stop=[self.end]
        )

    def _decode(self, ids: Tensor) -> list[str]:
        return [self.tokenizer.decode(row[row != self.end]) for row in ids]

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `chat.json` and the files of the tokenizer."""
        settings = {"first_question": self.first_question, "answer_mark": self.answer_mark}
        (Path(folder) / "chat.json").write_text(json.dumps(settings))
        self.tokenizer.save_pretrained(folder)

    @classmethod
    def from_pretrained(cls, source: str | Path, tokens_per_image: int) -> Chat:
        """Load what `save_pretrained` wrote, or the tokenizer of a public checkpoint, which has no first question.

        Args:
            source: a folder, the name of a bundled model, or a hub id.
            tokens_per_image: number of placeholders per image.
        """
        path = locate(source) / "chat.json"
        settings = read_json(path) if path.is_file() else {}
        return cls(Tokenizer.from_pretrained(source), tokens_per_image, **settings)

    def _ids(self, text: str) -> list[int]:
        found = self.tokenizer.backend.encode(text, add_special_tokens=False).ids
        return [
            i for token in found for i in ([token] * (self.tokens_per_image if token == self.image else 1))
        ]


def _first_known(tokenizer: Tokenizer, names: tuple[str, ...]) -> int:
    found = [tokenizer.backend.token_to_id(name) for name in names]
    known = [i for i in found if i is not None]
    if not known:
        raise ValueError(f"the tokenizer has none of the tokens {', '.join(names)}")
    return int(known[0])

"""How LLaVA-1.5 writes a conversation down: "USER: <image> question ASSISTANT: answer</s>USER: …"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from .text import Tokenizer

IMAGE = "<image>"
"""Stands in a question where a picture goes; a special token of the tokenizer."""

STARTS, ENDS = ("<start>", "<s>", "<|begin_of_text|>"), ("<end>", "</s>", "<|eot_id|>", "<|end_of_text|>")
"""The tokens that begin and end a text, in our tokenizers and in those of LLaMA."""


class Written(NamedTuple):
    """A conversation as token ids.

    Attributes:
        ids: one for each token; a picture takes as many placeholders as the model has features of it.
        spoken: whether the assistant speaks the token, so that it is learned.
    """

    ids: list[int]
    spoken: list[bool]


class Chat:
    """Writes conversations for a model.

    Args:
        tokenizer: of the language model, with the token "<image>".
        per_image: placeholders that a picture takes.

    Raises:
        ValueError: the tokenizer lacks a token that conversations need.
    """

    def __init__(self, tokenizer: Tokenizer, per_image: int) -> None:
        self.tokenizer, self.per_image = tokenizer, per_image
        self.image = tokenizer.id(IMAGE)
        self.start, self.end = _first(tokenizer, STARTS), _first(tokenizer, ENDS)

    def write(self, turns: Iterable[tuple[str, str | None]]) -> Written:
        """Questions with their answers; an answer of None is left for the model to give."""
        ids, spoken = [self.start], [False]
        for question, answer in turns:
            asked = self._ids(f"USER: {question} ASSISTANT:")
            ids += asked
            spoken += [False] * len(asked)
            if answer is not None:
                said = [*self._ids(answer), self.end]
                ids += said
                spoken += [True] * len(said)
        return Written(ids, spoken)

    def prompts(self, questions: Iterable[str]) -> tuple[Tensor, Tensor]:
        """Questions about one picture each, to be answered: ids (n, length) padded on the left, and the mask of
        real tokens."""
        written = [self.write([(f"{IMAGE}\n{question}", None)]).ids for question in questions]
        length = max(map(len, written))
        ids = torch.full((len(written), length), self.end)
        mask = torch.zeros(len(written), length, dtype=torch.bool)
        for row, found in enumerate(written):
            ids[row, length - len(found) :] = torch.tensor(found)
            mask[row, length - len(found) :] = True
        return ids, mask

    def _ids(self, text: str) -> list[int]:
        found = self.tokenizer.backend.encode(text, add_special_tokens=False).ids
        return [i for token in found for i in ([token] * (self.per_image if token == self.image else 1))]


def _first(tokenizer: Tokenizer, names: tuple[str, ...]) -> int:
    found = [tokenizer.backend.token_to_id(name) for name in names]
    known = [i for i in found if i is not None]
    if not known:
        raise ValueError(f"the tokenizer has none of the tokens {', '.join(names)}")
    return int(known[0])

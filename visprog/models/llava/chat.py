"""How LLaVA-1.5 writes a conversation down, "USER: <image> question ASSISTANT: answer</s>USER: …", and goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ..preprocess.tokenizer import Tokenizer

if TYPE_CHECKING:
    from .model import Llava

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


Turn = tuple[str, str | None]
"""A question, and the answer to it where there is one already."""


class Chat:
    """Writes conversations for a model.

    Args:
        tokenizer: of the language model, with the token "<image>".
        per_image: placeholders that a picture takes.
        first: what is asked about every picture before anything else, such as to list what it shows with places; the
            model's own answer then stands before the question.
        mark: what stands between the reasons that the model gives, such as the places of what it looked at, and
            the answer itself. Both together are a grounded chain of thought (Chen et al. 2023, Shikra,
            arXiv:2306.15195).

    Raises:
        ValueError: the tokenizer lacks a token that conversations need.
    """

    def __init__(
        self, tokenizer: Tokenizer, per_image: int, first: str | None = None, mark: str | None = None
    ) -> None:
        self.tokenizer, self.per_image, self.first, self.mark = tokenizer, per_image, first, mark
        self.image = tokenizer.id(IMAGE)
        tokenizer.backend.no_truncation()  # a conversation is written whole, or refused by who has no room for it
        self.start, self.end = _first(tokenizer, STARTS), _first(tokenizer, ENDS)

    def write(self, turns: Iterable[Turn]) -> Written:
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

    def prompts(self, conversations: Iterable[Iterable[Turn]]) -> tuple[Tensor, Tensor]:
        """Conversations to go on with: ids (n, length) padded on the left, and the mask of real tokens."""
        written = [self.write(turns).ids for turns in conversations]
        length = max(map(len, written))
        ids = torch.full((len(written), length), self.end)
        mask = torch.zeros(len(written), length, dtype=torch.bool)
        for row, found in enumerate(written):
            ids[row, length - len(found) :] = torch.tensor(found)
            mask[row, length - len(found) :] = True
        return ids, mask

    @torch.no_grad()
    def answer(self, model: Llava, images: Tensor, questions: Sequence[str], longest: int) -> list[str]:
        """Answers to one question about each of some images, after what is asked first.

        Args:
            images: (n, 3, height, width).
            questions: n.
            longest: tokens of an answer at most.
        """
        seen = model.see(images)
        turns: list[list[Turn]] = [[] for _ in questions]
        if self.first:
            said = self._say(model, seen, [[(f"{IMAGE}\n{self.first}", None)] for _ in questions], longest)
            texts = [self.tokenizer.decode(ids[ids != self.end]) for ids in said]
            turns = [[(f"{IMAGE}\n{self.first}", text)] for text in texts]
        for before, question in zip(turns, questions, strict=True):
            before.append((question if before else f"{IMAGE}\n{question}", None))
        return self.finals(self._say(model, seen, turns, longest))

    def finals(self, said: Tensor) -> list[str]:
        """The answers in what was said (n, length): all of it, or what follows the mark."""
        texts = [self.tokenizer.decode(ids[ids != self.end]) for ids in said]
        return [text.rpartition(self.mark)[2].strip() for text in texts] if self.mark else texts

    def _say(self, model: Llava, seen: Tensor, turns: Sequence[Sequence[Turn]], longest: int) -> Tensor:
        tokens, mask = (x.to(seen.device) for x in self.prompts(turns))
        return model.generate(tokens, mask=mask, seen=seen, max_new=longest, stop=[self.end])

    def save(self, folder: str | Path) -> None:
        """Write `chat.json` and what the tokenizer writes."""
        (Path(folder) / "chat.json").write_text(json.dumps({"first": self.first, "mark": self.mark}))
        self.tokenizer.save(folder)

    @classmethod
    def load(cls, folder: str | Path, per_image: int) -> Chat:
        """What `save` wrote; a folder without `chat.json` asks nothing first."""
        path = Path(folder) / "chat.json"
        settings = json.loads(path.read_text()) if path.is_file() else {}
        return cls(Tokenizer.load(folder), per_image, **settings)

    def _ids(self, text: str) -> list[int]:
        found = self.tokenizer.backend.encode(text, add_special_tokens=False).ids
        return [i for token in found for i in ([token] * (self.per_image if token == self.image else 1))]


def _first(tokenizer: Tokenizer, names: tuple[str, ...]) -> int:
    found = [tokenizer.backend.token_to_id(name) for name in names]
    known = [i for i in found if i is not None]
    if not known:
        raise ValueError(f"the tokenizer has none of the tokens {', '.join(names)}")
    return int(known[0])

"""What visprog needs of a chat model. Each adapter (`openai_chat.py`, …) provides it for one kind."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

Message: TypeAlias = dict[str, str]
"""{"role": "system" | "user" | "assistant", "content": text}"""


@dataclass(frozen=True)
class Tokens:
    """What a language model read and wrote."""

    prompt: int
    completion: int

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.prompt + other.prompt, self.completion + other.completion)


@dataclass(frozen=True)
class Reply:
    """One reply of a chat model.

    Attributes:
        text: what it wrote.
        tokens: spent on it; where one request brought several replies, the first carries them all, so that
            the sum over replies is what was spent. None where the model does not say.
        truncated: it was cut off: by the limit of tokens, a filter or an error.
    """

    text: str
    tokens: Tokens | None = None
    truncated: bool = False


@runtime_checkable
class ChatModel(Protocol):
    """A chat model."""

    @property
    def name(self) -> str:
        """As a user would write it: "openai:MODEL"."""
        ...

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
    ) -> list[Reply]:
        """`n` replies to a conversation.

        Raises:
            PlannerError: no reply came; the message says why and what to do.
            MissingExtra: the package behind this model is not installed.
        """
        ...


_CHARACTERS_PER_TOKEN = 3.75
_TOKENS_PER_MESSAGE = 4


def estimate_tokens(messages: Iterable[Mapping[str, str]]) -> int:
    """Estimate of the tokens of a conversation, somewhat above the real number: English and programs have 3.8 to 4
    characters per token of o200k, and other scripts more than one character per token. No tokenizer is asked, so that
    nothing depends on what is installed."""
    total = 0.0
    for message in messages:
        text = message["content"]
        plain = sum(map(str.isascii, text))
        total += _TOKENS_PER_MESSAGE + plain / _CHARACTERS_PER_TOKEN + len(text) - plain
    return math.ceil(total)


_AT_LIMIT = ("length", "max_tokens", "max_output_tokens", "max_length", "model_length", "incomplete")
_ON_THE_WAY = ("content_filter", "safety", "recitation", "error", "abort")


def is_at_limit(finish: object) -> bool:
    """Whether a finish reason, as any vendor or gateway calls it, says that the limit of tokens was reached."""
    return str(finish).lower() in _AT_LIMIT


def is_cut(finish: object) -> bool:
    """Whether a finish reason says that a reply is not whole: by the limit, a filter or an error."""
    return is_at_limit(finish) or str(finish).lower() in _ON_THE_WAY

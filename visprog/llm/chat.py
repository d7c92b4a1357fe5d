"""What visprog needs of a chat model. Each adapter (`openai_chat.py`, …) provides it for one kind."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol, TypeAlias, runtime_checkable

Message: TypeAlias = dict[str, Any]
"""{"role": "system" | "user" | "assistant" | "tool", "content": text, or a list of texts and of `ImagePart`}.

A message of the assistant may hold "calls", its `ToolCall`s; one of the role "tool" holds "call", the id of the call
that it answers.
"""

ToolSchema: TypeAlias = Mapping[str, Any]
"""A tool as OpenAI's chat completions describe it: {"type": "function", "function": {…}}."""


@dataclass(frozen=True)
class ImagePart:
    """An image in a message.

    Attributes:
        data: It, encoded.
        media_type: "image/png" or "image/jpeg".
        description: In words, for a model that takes no images, and in place of the image when it is no longer sent.
        digest: What it shows, whatever its encoding: a recording knows it by this.
    """

    data: bytes = field(repr=False)
    media_type: str
    description: str
    digest: str

    @cached_property
    def url(self) -> str:
        """The image as a data URL."""
        return f"data:{self.media_type};base64,{base64.b64encode(self.data).decode()}"


@dataclass(frozen=True)
class ToolCall:
    """A tool that a model wants called.

    Attributes:
        id: By which the message with the result names the call.
        name: Of the tool.
        arguments: JSON of an object, as the model wrote it: it may be broken.
    """

    id: str
    name: str
    arguments: str


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
        calls: tools that it wants called, if it was offered any.
        without_images: the model was given descriptions in place of the images of the conversation.
    """

    text: str
    tokens: Tokens | None = None
    truncated: bool = False
    calls: tuple[ToolCall, ...] = ()
    without_images: bool = False


@runtime_checkable
class ChatModel(Protocol):
    """A chat model.

    One that takes messages with an `ImagePart` says so by an attribute `takes_images = True`; to others, images are
    described. One whose `complete` has a parameter `tools` says so by `takes_tools = True`. See `complete`.
    """

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


def complete(
    chat: ChatModel, messages: list[Message], *, tools: Sequence[ToolSchema] = (), **options: Any
) -> list[Reply]:
    """Replies of any chat model to a conversation with images. Raises as `ChatModel.complete` does.

    Args:
        tools: that the model may call; only for a model that takes them.
        options: of `ChatModel.complete`.
    """
    if tools:
        options["tools"] = tools
    if not has_images(messages) or getattr(chat, "takes_images", False):  # a local model is loaded to know it
        return chat.complete(messages, **options)
    replies = chat.complete(describe_images(messages), **options)
    return [replace(reply, without_images=True) for reply in replies]


def has_images(messages: Sequence[Message]) -> bool:
    """Whether a conversation holds an image."""
    return any(isinstance(part, ImagePart) for message in messages for part in parts_of(message))


def parts_of(message: Message) -> Sequence[str | ImagePart]:
    """The texts and images of a message."""
    content: str | Sequence[str | ImagePart] = message["content"]
    return [content] if isinstance(content, str) else content


def text_of(message: Message) -> str:
    """A message as text; images are described in square brackets."""
    return "\n\n".join(p if isinstance(p, str) else f"[{p.description}]" for p in parts_of(message))


def describe_images(messages: Sequence[Message]) -> list[Message]:
    """A conversation with descriptions in place of its images."""
    return [{**message, "content": text_of(message)} for message in messages]


def without_system(messages: list[Message]) -> list[Message]:
    """The conversation with what the system message says at the beginning of the first turn of the user."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    system, first, *rest = messages
    rules, content = system["content"], first["content"]
    merged = f"{rules}\n\n{content}" if isinstance(content, str) else [rules, *parts_of(first)]
    return [{**first, "content": merged}, *rest]


_CHARACTERS_PER_TOKEN = 3.75
_TOKENS_PER_MESSAGE = 4
_TOKENS_PER_IMAGE = 1_000


def estimate_tokens(messages: Iterable[Message]) -> int:
    """Estimate of the tokens of a conversation, somewhat above the real number: English and programs have 3.8 to 4
    characters per token of o200k, and other scripts more than one character per token. No tokenizer is asked, so that
    nothing depends on what is installed."""
    total = 0.0
    for message in messages:
        text = "".join(part for part in parts_of(message) if isinstance(part, str))
        text += "".join(call.name + call.arguments for call in message.get("calls", ()))
        plain = sum(map(str.isascii, text))
        total += _TOKENS_PER_IMAGE * sum(isinstance(part, ImagePart) for part in parts_of(message))
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

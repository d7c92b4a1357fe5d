"""Conversations about images, as LLaVA's JSON has them, and captions as conversations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from visprog.files.plain_text import numbered_lines, parse_json, read_text

from .captions import MAX_CAPTIONS, CaptionedConfig, CaptionedImages
from .files import Files
from .samples import BadSample, Conversation, DataError, Turn, decode
from .source import ConversationSource, Items, ItemStream, SplitName

IMAGE = "<image>"
"""Stands in the text where an image goes."""

_ROLES: Mapping[str, Literal["user", "assistant"]] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


class Conversations:
    """A sequence of `Conversation`; one that cannot be used raises `BadSample` when it is asked for."""

    def __init__(self, files: Files, records: Sequence[Any]) -> None:
        self.files, self.records = files, list(records)

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> Conversation:
        record = self.records[index]
        if not isinstance(record, Mapping):
            raise BadSample(f"conversation {index}", "it is no mapping")
        name = str(record.get("id", f"conversation {index}"))
        turns = _turns(record.get("conversations"), name)
        images = record.get("image", [])
        names = [images] if isinstance(images, str) else images or []
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise BadSample(name, "its images are neither the name of a file nor a list of such names")
        places = sum(t.text.count(IMAGE) for t in turns)
        if places != len(names):
            raise BadSample(name, f"it has {len(names)} images and {places} places for them")
        pixels = tuple(decode(self.files.read(n), n) for n in names)
        return Conversation(pixels, turns, name)


def read_conversations(path: str | Path, images: str | Path | None = None) -> Conversations:
    """Conversations in LLaVA's format: a list of {"id", "image", "conversations": [{"from", "value"}, …]}.

    Args:
        path: the JSON file, or one with a record a line (`.jsonl`).
        images: folder or zip that the names of images are relative to; that of the file, if not given.

    Raises:
        DataError: the file is missing, not JSON, or holds no list.
    """
    path = Path(path)
    try:
        text = read_text(path)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path} {error}") from None
    where = str(path)
    try:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            records: Any = []
            for number, line in numbered_lines(text):
                where = f"{path}, line {number}"
                records.append(parse_json(line))
        else:
            records = parse_json(text)
    except ValueError as error:
        raise DataError(f"{where} {error}") from None
    if not isinstance(records, list) or not records:
        raise DataError(f"{path} must hold a list of conversations")
    return Conversations(Files(images or path.parent), records)


@dataclass(frozen=True)
class ConversationConfig:
    """Keys of the source `conversations`.

    Attributes:
        path: JSON or JSON Lines file in LLaVA's format.
        images: folder or zip that the names of images are relative to; null for that of the file.
        held: share of conversations, from the first, that are kept to validate by.
    """

    path: Path
    images: Path | None = None
    held: float = 0.02


class FileConversations(ConversationSource):
    """Conversations of a file.

    Raises:
        DataError: the file cannot be read.
    """

    Config: ClassVar[Any] = ConversationConfig

    def __init__(self, config: ConversationConfig) -> None:
        super().__init__(config)
        self.found = read_conversations(config.path, config.images)

    def split(self, name: SplitName, size: int) -> ConversationSplit | None:
        held = round(self.config.held * len(self.found))
        if name == "val":
            return ConversationSplit(self.found, range(held)) if held else None
        return ConversationSplit(self.found, range(held, len(self.found)))

    def texts(self) -> Iterator[str]:
        """What is said in the conversations."""
        for record in islice(self.found.records, MAX_CAPTIONS):
            try:
                yield from (turn.text for turn in _turns(record["conversations"], ""))
            except (BadSample, KeyError, TypeError):  # met again, and named, in training
                continue

    def answers(self) -> Iterator[str]:
        """What the assistant says."""
        for record in islice(self.found.records, MAX_CAPTIONS):
            try:
                yield from (turn.text for turn in _turns(record["conversations"], "")[1::2])
            except (BadSample, KeyError, TypeError):
                continue


class ConversationSplit:
    """Some of the conversations."""

    def __init__(self, found: Conversations, places: Sequence[int]) -> None:
        self.found, self.places = found, places

    def __len__(self) -> int:
        return len(self.places)

    def sample(self, key: int, rng: np.random.Generator) -> Conversation:
        """One conversation."""
        return self.found[self.places[key]]


@dataclass(frozen=True)
class CaptionConversationConfig(CaptionedConfig):
    """Keys of the source `captions` for conversations.

    Attributes:
        request: question whose answer is the caption.
    """

    request: str = "Describe the image."


class CaptionConversations(ConversationSource):
    """Captioned images, each as the answer to one request."""

    Config: ClassVar[Any] = CaptionConversationConfig

    def __init__(self, config: CaptionConversationConfig) -> None:
        super().__init__(config)
        self.captions = CaptionedImages(config)

    def split(self, name: SplitName, size: int) -> Items | ItemStream | None:
        found = self.captions.split(name, size)
        if found is None:
            return None
        return (AnswerItems if isinstance(found, Items) else AnswerStream)(found, self.config.request)

    def texts(self) -> Iterable[str]:
        """The captions, and the request."""
        yield self.config.request
        yield from self.captions.texts()

    def answers(self) -> Iterable[str]:
        """The captions."""
        return self.captions.texts()


class AnswerStream:
    """Captioned images of shards as conversations."""

    def __init__(self, found: Any, request: str) -> None:
        self.found, self.request = found, request

    def keys(self, rng: np.random.Generator, part: int, parts: int) -> Iterator[Any]:
        """As the stream of images."""
        return iter(self.found.keys(rng, part, parts))

    def sample(self, key: Any, rng: np.random.Generator) -> Conversation:
        """One request and its answer."""
        pair = self.found.sample(key, rng)
        turns = (Turn("user", f"{IMAGE}\n{self.request}"), Turn("assistant", pair.captions[0]))
        return Conversation((pair.image,), turns, pair.name)


class AnswerItems:
    """Captioned images of known number as conversations."""

    def __init__(self, found: Any, request: str) -> None:
        self.found, self.answers = found, AnswerStream(found, request)

    def __len__(self) -> int:
        return len(self.found)

    def sample(self, key: int, rng: np.random.Generator) -> Conversation:
        """One request and its answer."""
        return self.answers.sample(key, rng)


def _turns(raw: Any, name: str) -> tuple[Turn, ...]:
    try:
        turns = tuple(Turn(_ROLES[t["from"]], t["value"].strip()) for t in raw)
    except (KeyError, TypeError, AttributeError):
        raise BadSample(
            name, 'its conversation is not a list of {"from": "human" or "gpt", "value": text}'
        ) from None
    if len(turns) < 2 or [t.role for t in turns] != ["user", "assistant"] * (len(turns) // 2):
        raise BadSample(name, "user and assistant do not speak in turn, or there is no answer")
    if not all(t.text for t in turns):
        raise BadSample(name, "a turn is empty")
    return turns

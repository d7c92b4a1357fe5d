"""Conversations about images, as LLaVA's JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from visprog.files.plain_text import numbered_lines, parse_json, read_text

from .files import Files
from .samples import BadSample, Conversation, DataError, Turn, decode

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

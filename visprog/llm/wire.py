"""Conversations in the form of OpenAI's chat completions, which most endpoints and LangChain read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from .chat import ImagePart, Message, ToolCall, parts_of
from .endpoint_errors import field


def to_wire(message: Message) -> dict[str, Any]:
    """A message as an endpoint reads it. Half of a surrogate pair, which no encoding has, becomes a question mark."""
    content = message["content"]
    wired: dict[str, Any] = {
        "role": message["role"],
        "content": _encodable(content) if isinstance(content, str) else [_part(p) for p in parts_of(message)],
    }
    if calls := message.get("calls"):
        wired["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": _encodable(call.arguments)},
            }
            for call in calls
        ]
    if "call" in message:
        wired["tool_call_id"] = message["call"]
    return wired


def calls_in(found: Any) -> tuple[ToolCall, ...]:
    """The calls in the field `tool_calls` of a reply; what is none is left out."""
    calls = []
    for number, call in enumerate(found if isinstance(found, Iterable) else (), 1):
        function = field(call, "function")
        name, arguments = field(function, "name"), field(function, "arguments")
        if isinstance(name, str) and name:
            text = json.dumps(arguments) if isinstance(arguments, Mapping) else str(arguments or "{}")
            calls.append(ToolCall(str(field(call, "id") or f"call{number}"), name, text))
    return tuple(calls)


def _part(part: str | ImagePart) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {"type": "image_url", "image_url": {"url": part.url}}
    return {"type": "text", "text": _encodable(part)}


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()

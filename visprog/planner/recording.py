"""Planners whose words are recorded, or come from a recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

from visprog.errors import ConfigError, NotRecorded, PlannerError, Refused, VisprogError
from visprog.llm.chat import (
    ChatModel,
    ImagePart,
    Message,
    Reply,
    Tokens,
    ToolCall,
    ToolSchema,
    complete,
    text_of,
)
from visprog.planner.base import NoProgram, Plan, Planner, PlanRequest, mends_refusals
from visprog.planner.llm import LLMPlanner
from visprog.registry.types import render
from visprog.runtime.steps import Step

from ..runtime.recording.recording import Recording, revive

_OPTIONS = ("max_examples", "temperature", "max_tokens", "seed", "prompt_tokens")


def recorded(recording: Recording, make: Callable[[], Planner], *, chosen: bool) -> Planner:
    """A planner whose words go through a recording: a language model's replies, or another planner's programs.

    Args:
        make: gives the planner.
        chosen: the user named it; else a replay takes the one that was recorded, and needs no model.

    Raises:
        ConfigError: several planners were recorded, and none is named.
    """
    if recording.replay and not chosen:
        found = recording.entries("planner")
        if len(found) > 1:
            names = ", ".join(sorted({e["name"] for e in found}))
            raise ConfigError(f"the recording {recording.path} holds several planners: choose one of {names}")
        if found:
            (entry,) = found
            if entry["options"] is None:
                return RecordedPlanner(None, entry["name"], recording)
            chat = RecordedChat(None, entry["name"], recording)
            with _readable(recording):
                return LLMPlanner(chat, **entry["options"])
    planner = make()
    if isinstance(planner, LLMPlanner):
        options = {name: getattr(planner, name) for name in _OPTIONS}
        recording.note({"kind": "planner", "name": planner.name, "options": options})
        planner = copy(planner)
        planner.chat = RecordedChat(planner.chat, planner.name, recording)
        return planner
    recording.note({"kind": "planner", "name": planner.name, "options": None})
    return RecordedPlanner(planner, planner.name, recording)


class RecordedChat:
    """A chat model whose replies are recorded, or come from a recording; then there need be no model."""

    takes_images = True  # it passes them on to the model as `complete` does

    def __init__(self, chat: ChatModel | None, name: str, recording: Recording) -> None:
        self.chat = chat
        self.name = name
        self.recording = recording
        self.takes_tools = chat is None or getattr(chat, "takes_tools", False)

    def complete(
        self,
        messages: list[Message],
        *,
        n: int = 1,
        temperature: float = 0.0,
        max_tokens: int | None = None,
        seed: int | None = None,
        tools: Sequence[ToolSchema] = (),
    ) -> list[Reply]:
        """The replies. Raises `NotRecorded`, or as the model does."""
        options: dict[str, Any] = {
            "n": n,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        asked = text_of(messages[-1]) if messages else ""

        def call() -> Mapping[str, Any]:
            if self.chat is None:
                raise NotRecorded(f"there is no model behind {self.name}")
            return {"replies": [_reply(r) for r in complete(self.chat, messages, tools=tools, **options)]}

        given = {"kind": "chat", "model": self.name, "asked": asked, "options": options}

        def missing() -> str:
            text = f"reply of {self.name} to {_question(asked)!r}"
            if any(e["asked"] == asked for e in self.recording.entries("chat")):
                text += "; it holds one to another prompt: tools, examples or options have changed"
            return text

        key = [self.name, [_message(m) for m in messages], options, *([list(tools)] if tools else [])]
        entry = self.recording.answer(given, key, call, missing)
        with _readable(self.recording):
            return [_read_reply(r) for r in entry["replies"]]


class RecordedPlanner:
    """A planner whose programs are recorded, or come from a recording; then there need be no planner."""

    def __init__(self, planner: Planner | None, name: str, recording: Recording) -> None:
        self.planner = planner
        self.name = name
        self.recording = recording
        self.mends_refusals = planner is None or mends_refusals(planner)

    def plan(self, request: PlanRequest, *, failed: Step | None = None, n: int = 1) -> list[Plan]:
        """The programs. Raises `NotRecorded`, or as the planner does."""
        given = {
            "kind": "plan",
            "planner": self.name,
            "question": request.question,
            "images": request.images,
            **({"video": True} if request.video else {}),
            "returns": None if request.returns is None else render(request.returns),
            "n": n,
            "failed": None if failed is None else _failed(failed),
        }

        def call() -> Mapping[str, Any]:
            if self.planner is None:
                raise NotRecorded(f"there is no planner behind {self.name}")
            try:
                plans = self.planner.plan(request, failed=failed, n=n)
            except NoProgram:  # a slip of the moment
                raise
            except (PlannerError, Refused) as error:  # raised again below, now and in a replay
                kind = Refused if isinstance(error, Refused) else PlannerError
                return {"error": {"type": kind.__name__, "message": str(error)}}
            return {"plans": [_plan(p) for p in plans]}

        entry = self.recording.answer(
            given, given, call, lambda: f"program of {self.name} for {request.question!r}"
        )
        if "error" in entry:
            raise revive(entry["error"])
        with _readable(self.recording):
            return [_read_plan(p) for p in entry["plans"]]


@contextmanager
def _readable(recording: Recording) -> Iterator[None]:
    """Raises `VisprogError` if what is read from an entry is not what was written."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        raise VisprogError(
            f"the recording {recording.path} is damaged ({type(error).__name__}: {error})"
        ) from None


def _message(message: Message) -> Mapping[str, Any]:
    """A message by what identifies it: an image by what it shows, since encoders differ."""
    plain = dict(message)
    if not isinstance(message["content"], str):
        plain["content"] = [
            {"image": p.digest, "description": p.description} if isinstance(p, ImagePart) else p
            for p in message["content"]
        ]
    if "calls" in message:
        plain["calls"] = [_call(c) for c in message["calls"]]
    return plain


def _reply(reply: Reply) -> Mapping[str, Any]:
    plain: dict[str, Any] = {
        "text": reply.text,
        "tokens": _tokens(reply.tokens),
        "truncated": reply.truncated,
    }
    if reply.calls:
        plain["calls"] = [_call(c) for c in reply.calls]
    if reply.without_images:
        plain["without_images"] = True
    return plain


def _read_reply(data: Mapping[str, Any]) -> Reply:
    calls = tuple(ToolCall(*map(_text, call)) for call in data.get("calls", ()))
    unseen = data.get("without_images", False) is True
    return Reply(_text(data["text"]), _read_tokens(data["tokens"]), data["truncated"], calls, unseen)


def _call(call: ToolCall) -> list[str]:
    return [call.id, call.name, call.arguments]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a {type(value).__name__} stands in the place of a text")
    return value


def _question(asked: str) -> str:
    line = " ".join(asked.split())
    return line if len(line) <= 80 else f"{line[:79]}…"


def _failed(step: Step) -> dict[str, Any]:
    codes = [] if step.feedback else [f"{d.code} in line {d.line}" for d in step.diagnostics]
    return {"program": step.program, "diagnostics": codes, "error": step.feedback}


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "program": plan.program,
        "planner": plan.planner,
        "probability": plan.probability,
        "tokens": _tokens(plan.tokens),
        "note": plan.note,
    }


def _read_plan(data: Mapping[str, Any]) -> Plan:
    return Plan(
        _text(data["program"]),
        data["planner"],
        data["probability"],
        _read_tokens(data["tokens"]),
        note=data["note"],
    )


def _tokens(tokens: Tokens | None) -> list[int] | None:
    return None if tokens is None else [tokens.prompt, tokens.completion]


def _read_tokens(data: list[int] | None) -> Tokens | None:
    return None if data is None else Tokens(*data)

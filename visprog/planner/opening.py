"""What a chat model is sent for a question before its first reply, in each form in which it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..llm.chat import ImagePart, Message, ToolSchema, parts_of, text_of
from ..values.video import MAX_KEY_FRAMES
from .base import PlanRequest
from .llm import LLMPlanner
from .memory import MAX_EXCHANGES, ChatMemory
from .observations import MAX_IMAGES, QUESTION_SIDE, picture
from .turn_forms import ProgramForm, ToolCallForm, TurnForm, add_to_last


@dataclass(frozen=True)
class Opening:
    """The first messages of a conversation with a chat model.

    Attributes:
        messages: In their order; the question is in the last one.
        tools: Tools that the model may call by its own means.
    """

    messages: list[Message]
    tools: Sequence[ToolSchema] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data: the messages with their images described in square brackets, and the tools if there are any."""
        messages = [{"role": m["role"], "content": text_of(m)} for m in self.messages]
        return {"messages": messages, **({"tools": list(self.tools)} if self.tools else {})}


def opening(
    planner: LLMPlanner, request: PlanRequest, turns: int, tool_calls: bool, memory: ChatMemory | None = None
) -> Opening:
    """What the chat model of a planner is sent for a question.

    Args:
        turns: Number of its replies; with 1 it writes one program, and sees no image.
        tool_calls: Whether it calls tools instead of writing programs.
        memory: What is given, and what was asked before; by default images of unknown size.

    Raises:
        ConfigError: The prompt does not fit into the tokens that the planner may use.
    """
    if turns == 1:
        return Opening(planner.prompt(request))
    form = turn_form(planner, request, tool_calls, memory)
    return Opening(first_messages(form, request, memory), form.tools)


def turn_form(
    planner: LLMPlanner, request: PlanRequest, tool_calls: bool, memory: ChatMemory | None = None
) -> TurnForm:
    """The form in which a chat model takes turns."""
    if tool_calls:
        return ToolCallForm(request.registry)
    past = memory.past[-MAX_EXCHANGES:] if memory is not None else ()
    return ProgramForm(planner, [exchange.step.program for exchange in past])


def first_messages(form: TurnForm, request: PlanRequest, memory: ChatMemory | None = None) -> list[Message]:
    """The messages up to the question, which has the images or frames of the video and what was asked before."""
    *before, question = form.opening(request)
    if memory is None:
        number = min(MAX_KEY_FRAMES if request.video else request.images, MAX_IMAGES)
        images = [ImagePart(b"", "", "image WIDTH × HEIGHT", "") for _ in range(number)]
        times = ["TIME"] * number
    else:
        side = QUESTION_SIDE if len(memory.images) == 1 else QUESTION_SIDE // 2
        images = [picture(image, side) for image in memory.images[:MAX_IMAGES]]
        times = [f"{image.time:.2f}" for image in memory.images[:MAX_IMAGES]]
    names = [f"image{n}" for n in range(1, len(images) + 1)] if request.images > 1 else ["image"]
    if request.video:
        names = [f"video.at({time})" for time in times]
    shown = [
        replace(image, description=f"{name}, {image.description}")
        for name, image in zip(names, images, strict=True)
    ]
    asked_before = "" if memory is None else memory.describe()
    messages = [*before, {**question, "content": ""}]
    add_to_last(messages, [*parts_of(question), asked_before, *seen(shown, "You see")])
    return messages


def seen(images: Sequence[ImagePart], what: str = "It shows") -> list[str | ImagePart]:
    """Images with what they are, since a model sees neither their size nor their place."""
    described = "; ".join(image.description for image in images)
    return [f"{what}: {described}.", *images] if images else []

"""The two forms in which a chat model takes turns: programs in its replies, or native calls of tools.

Either way a turn comes to programs for the sandbox: a call of a tool becomes a program of one line, so that check,
budgets and evidence are the same.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import Template
from typing import Any, Protocol, get_args, get_origin

from ..errors import ToolError
from ..files.plain_text import parse_json
from ..llm.chat import ImagePart, Message, Reply, ToolCall, ToolSchema, parts_of
from ..llm.thoughts import without_thoughts
from ..registry import Registry, Tool
from ..registry.types import Type, annotation_of, render
from ..runtime.steps import Step
from ..runtime.workspace import Workspace
from ..values.codec import is_kind, is_value
from .base import PlanRequest
from .embedded.values_text import describe_values
from .extract import find_program, says_done
from .llm import LLMPlanner, describe_failure, describe_question
from .observations import MAX_ITEMS, in_words, quoted

MAX_CALLS = 8
"""Number of tools that one reply may call."""

ANSWER = "answer"
"""Name of the tool that gives the answer."""

_MAX_RESULT = 10_000
"""Characters of a result as JSON; a longer one is described in fewer words."""

_MAX_PRINTED = 1_000
"""Characters that a model is shown of what a program printed."""

_MAX_ID = 64
"""Characters of the id and of the name of a call."""

_MAX_REPLY = 10_000
"""Characters of a reply that stay in the conversation."""


@dataclass(frozen=True)
class Move:
    """What a reply of a chat model comes to.

    Attributes:
        program: To run; empty for none.
        is_final: Whether its value is the answer; without a program, whether that of the one before is.
        problem: Why nothing can be made of the reply, in one sentence.
    """

    program: str = ""
    is_final: bool = False
    problem: str = ""


class TurnForm(Protocol):
    """How a chat model says what it wants run, and how it is shown what came of it."""

    tools: Sequence[ToolSchema]

    def opening(self, request: PlanRequest) -> list[Message]:
        """The conversation up to the question, without what was asked before."""

    def moves(self, reply: Reply, workspace: Workspace) -> Iterator[Move]:
        """What a reply comes to, one move or several; each is read when the one before is done."""

    def shown(self, step: Step, workspace: Workspace) -> str:
        """The outcome of a program in words; what the model may name in it is added to the workspace."""

    def messages(self, reply: Reply, moves: Sequence[Move], shown: Sequence[str]) -> list[Message]:
        """A reply, and what came of its moves."""


class ProgramForm:
    """Each reply holds one program.

    Args:
        planner: Makes the prompt.
        earlier: Programs of the questions before.
    """

    tools: Sequence[ToolSchema] = ()

    def __init__(self, planner: LLMPlanner, earlier: Sequence[str] = ()) -> None:
        self._planner = planner
        self._earlier = earlier

    def opening(self, request: PlanRequest) -> list[Message]:
        from visprog import prompts

        system, *rest = self._planner.prompt(request, earlier=self._earlier)
        return [{**system, "content": f"{system['content']}\n\n{prompts.text('turns.txt').strip()}"}, *rest]

    def moves(self, reply: Reply, workspace: Workspace) -> Iterator[Move]:
        program = find_program(reply.text, truncated=reply.truncated)
        done = says_done(reply.text)
        if program is not None or done:
            yield Move(program or "", is_final=done)
        elif reply.truncated:
            yield Move(problem="the reply was cut off before its program was complete")
        else:
            yield Move(problem="the reply holds neither a program in a ```python block nor the one word DONE")

    def shown(self, step: Step, workspace: Workspace) -> str:
        from visprog import prompts

        if step.status != "answered":
            return describe_failure(step)
        more = [f"It printed:\n{quoted(step.stdout[:_MAX_PRINTED].rstrip())}"] if step.stdout.strip() else []
        if step.cautions:
            more.append("What to know of it:\n" + quoted("\n".join(step.cautions)))
        more += [f"The check warns: {found}" for found in step.diagnostics]
        return (
            Template(prompts.text("turn.txt"))
            .substitute(
                type=render(annotation_of(step.value)),
                name=step.kept_as,
                value=quoted(in_words(step.value)),
                more="\n".join(more),
            )
            .strip()
        )

    def messages(self, reply: Reply, moves: Sequence[Move], shown: Sequence[str]) -> list[Message]:
        return [
            {"role": "assistant", "content": _said(reply)},
            {"role": "user", "content": "\n\n".join(shown)},
        ]


class ToolCallForm:
    """Each reply calls tools by the chat model's own means; `answer` gives the answer as an expression."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._called = {name: t for name, t in registry.offered.called.items() if name != ANSWER}
        self.tools: Sequence[ToolSchema] = [*(t.openai() for t in self._called.values()), _ANSWER_SCHEMA]

    def opening(self, request: PlanRequest) -> list[Message]:
        from visprog import prompts

        functions = "\n".join(
            f"{t.signature}  # {t.summary}" for t in self._registry.offered.values() if t.pure
        )
        system = Template(prompts.text("tool_calls.txt")).substitute(
            values=describe_values(self._registry.offered), functions=functions
        )
        question = describe_question(request, "tool_calls_question.txt")
        return [
            {"role": "system", "content": system.strip()},
            {"role": "user", "content": question},
        ]

    def moves(self, reply: Reply, workspace: Workspace) -> Iterator[Move]:
        if not reply.calls:
            yield Move(problem=f"the reply calls no tool: call one, or '{ANSWER}' with the answer")
        for call in reply.calls[:MAX_CALLS]:
            yield self._move(call, workspace)

    def _move(self, call: ToolCall, workspace: Workspace) -> Move:
        name = call.name.rpartition(".")[2][:_MAX_ID]  # some models write "functions.detect"
        try:
            arguments = parse_json(call.arguments.strip() or "{}")
        except ValueError as error:
            return Move(problem=f"the arguments of {name} are no JSON: it {error}")
        try:
            if not isinstance(arguments, dict):
                raise ToolError(f"{name} takes an object of its arguments")
            if name == ANSWER:
                return Move(_answer_program(arguments, workspace), is_final=True)
            tool = self._called.get(name) or self._registry.find(name)
            if tool.pure:
                raise ToolError(f"{tool.name} is a function of expressions: use it in '{ANSWER}'")
            return Move(_call_program(tool, arguments, workspace))
        except ToolError as error:
            return Move(problem=str(error))

    def shown(self, step: Step, workspace: Workspace) -> str:
        if step.status != "answered":
            return json.dumps({"error": step.message or str(step.diagnostics[0])}, ensure_ascii=False)
        value: Any = step.value
        result: dict[str, Any] = {"id": step.kept_as}
        if step.cautions:
            result["cautions"] = step.cautions
        if isinstance(value, list):
            result["length"] = len(value)
            result["items"] = [workspace.to_json(item) for item in value[:MAX_ITEMS]]
        elif is_value(value):
            result["what"] = in_words(value)
        else:
            result["value"] = workspace.to_json(value)
        text = json.dumps(result, ensure_ascii=False, default=str)
        if len(text) > _MAX_RESULT:
            text = json.dumps({"id": step.kept_as, "what": in_words(value)}, ensure_ascii=False)
        return text

    def messages(self, reply: Reply, moves: Sequence[Move], shown: Sequence[str]) -> list[Message]:
        said: Message = {"role": "assistant", "content": without_thoughts(reply.text).strip()[:_MAX_REPLY]}
        if not reply.calls:
            return [{**said, "content": _said(reply)}, {"role": "user", "content": "\n\n".join(shown)}]
        calls = _repeatable(reply.calls[: len(moves)])
        answered: list[Message] = [
            {"role": "tool", "call": call.id, "content": text}
            for call, text in zip(calls, shown, strict=True)
        ]
        left_out = len(reply.calls) - len(calls)
        if left_out:
            note = f"Only {MAX_CALLS} calls of a reply are made: {left_out} more were not."
            answered.append({"role": "user", "content": note})
        return [{**said, "calls": calls}, *answered]


_ANSWER_SCHEMA: ToolSchema = {
    "type": "function",
    "function": {
        "name": ANSWER,
        "description": "Give the answer, made from what the tools returned.",
        "parameters": {
            "type": "object",
            "properties": {
                "expression": {
                    "type": "string",
                    "description": "A Python expression of ids: 'int1', 'len(regions1) > 2', 'region2.label'.",
                }
            },
            "required": ["expression"],
        },
    },
}


def add_to_last(messages: list[Message], parts: Sequence[str | ImagePart]) -> None:
    """Add texts and images for the chat model at the end of a conversation: results of tools hold no images."""
    if messages[-1]["role"] == "tool":
        messages.append({"role": "user", "content": ""})
    given = (*parts_of(messages[-1]), *parts)
    text = "\n\n".join(p for p in given if isinstance(p, str) and p)
    images = [p for p in given if isinstance(p, ImagePart)]
    messages[-1] = {**messages[-1], "content": [text, *images] if images else text}


def _repeatable(calls: Sequence[ToolCall]) -> tuple[ToolCall, ...]:
    """Calls as an endpoint takes them again, whatever a model made of them: each with an id of its own, a name that
    can be one, and arguments that are an object."""
    ids: set[str] = set()
    made = []
    for number, call in enumerate(calls, 1):
        own = call.id if 0 < len(call.id) <= _MAX_ID and call.id not in ids else f"call{number}"
        ids.add(own)
        name = re.sub(r"[^\w-]", "_", call.name, flags=re.ASCII)[:_MAX_ID]
        made.append(ToolCall(own, name or "unknown", call.arguments if _is_object(call.arguments) else "{}"))
    return tuple(made)


def _is_object(arguments: str) -> bool:
    """Whether the arguments of a call are a JSON object, and not too long to be sent again."""
    try:
        return len(arguments) <= _MAX_RESULT and isinstance(parse_json(arguments), dict)
    except ValueError:
        return False


def _said(reply: Reply) -> str:
    return without_thoughts(reply.text).strip()[:_MAX_REPLY] or "(nothing)"


def _call_program(tool: Tool, arguments: dict[str, Any], workspace: Workspace) -> str:
    """The program that makes a call. Raises `ToolError` if an argument is not what the tool takes."""
    types = {p.name: p.type for p in tool.parameters}
    used: dict[str, None] = {}
    written = []
    for name, given in arguments.items():
        if name not in types:
            raise ToolError(f"{tool.name} has no argument '{name[:40]}': {tool.signature}")
        try:
            workspace.resolve(types[name], given)
        except ToolError as error:
            raise ToolError(f"{tool.name}: '{name}': {error}") from None
        written.append(f"{name}={_source(types[name], given, workspace, used)}")
    return f"def answer({', '.join(used)}):\n    return {tool.name}({', '.join(written)})\n"


def _source(annotation: Type, given: Any, workspace: Workspace, used: dict[str, None]) -> str:
    """An argument as Python; the ids in it are added to `used`."""
    if isinstance(given, str) and given in workspace and _holds_values(annotation):
        used[given] = None
        return given
    origin: Any = get_origin(annotation)
    if isinstance(given, list):
        args = get_args(annotation) if origin in (list, tuple, Sequence) else ()
        types = args if origin is tuple and len(args) == len(given) else [*args[:1]] * len(given)
        return f"[{', '.join(_source(t, g, workspace, used) for t, g in zip(types, given, strict=True))}]"
    return repr(given)


def _holds_values(annotation: Type) -> bool:
    return is_kind(annotation) or any(map(_holds_values, get_args(annotation)))


def _answer_program(arguments: dict[str, Any], workspace: Workspace) -> str:
    """The program of an answer: an expression of ids, or a plain value that equals one that is kept.

    Raises:
        ToolError: It is neither.
    """
    given = arguments.get("expression")
    if not isinstance(given, str):
        text = repr(given)
    else:
        text = given.strip()
    try:
        tree = ast.parse(text, mode="eval")
        used = [
            n for n in workspace.ids if any(isinstance(x, ast.Name) and x.id == n for x in ast.walk(tree))
        ]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        used = []
    if not used:
        literals = [given, *([_literal(given)] if isinstance(given, str) else [])]
        used = [
            name
            for name in reversed(workspace.ids)
            if any(
                type(workspace[name]) is type(each) and workspace[name] == each
                for each in literals
                if isinstance(each, bool | int | float | str)
            )
        ][:1]
        text = "".join(used)
    if not used:
        raise ToolError(
            f"'{ANSWER}' takes a Python expression of ids, such as len(regions1) > 2; there are "
            f"{', '.join(workspace.ids[-20:])}"
        )
    return f"def answer({', '.join(used)}):\n    return {text}\n"


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None

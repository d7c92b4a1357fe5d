"""visprog's tools for LangChain agents.

A chat model cannot hand over an image or a region, so it names them: values live in a `Workspace` under short ids
("image1", "region3"), arguments are ids, and results come back as text that names new ids. Nothing else is opened:
a path in the place of an id is an unknown id. Whatever goes wrong, the model is given `{"error": …}`.

    workspace = Workspace()
    workspace.add(Image.open("street.jpg"))             # "image1"
    agent = create_agent(model, langchain_tools(workspace))
"""

from __future__ import annotations

import difflib
import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args, get_origin

from ..agent import Agent
from ..errors import MissingExtra, ToolError, VisprogError
from ..registry import Tool, default_registry, describe_function
from ..registry.types import Type, accepts, describe, is_union, render
from ..runtime.host import Host, RunEnded
from ..values.codec import is_kind, is_value, show
from ..values.image import Image

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool


MAX_IMAGES = 16
"""Bound of the images of one question."""

_MAX_IDS = 20
"""Bound of the ids that an error message lists."""


class Workspace:
    """Values by id, for one conversation. Safe to use from many threads."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, value: Any) -> str:
        """Keep a value; its id."""
        kind = type(value).__name__.lower()
        with self._lock:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            name = f"{kind}{self._counts[kind]}"
            self.values[name] = value
        return name

    def resolve(self, annotation: Type, given: Any) -> Any:
        """A JSON argument as the value that the tool wants: ids become what they name.

        Raises:
            ToolError: it is not of the type, or names no value of it.
        """
        failures = []
        options = get_args(annotation) if is_union(annotation) else (annotation,)
        for option in sorted(options, key=lambda o: o is str):  # text that is an id means what it names
            try:
                return self._resolve(option, given)
            except ToolError as error:
                failures.append(error)
        unknown = next((e for e in failures if isinstance(e, _UnknownId)), None)
        if unknown is not None or len(failures) == 1:
            raise unknown or failures[0]
        raise _wrong(annotation, given)

    def _resolve(self, annotation: Type, given: Any) -> Any:
        origin: Any = get_origin(annotation)
        args = get_args(annotation)
        if is_kind(annotation):
            if not isinstance(given, str):
                raise ToolError(
                    f"must be the id of a value of type {render(annotation)}, not {describe(given)}"
                )
            if given not in self.values:
                raise _UnknownId(self._unknown(given))
            if not accepts(annotation, self.values[given]):
                raise ToolError(
                    f"must be {render(annotation)}, and '{given}' is {describe(self.values[given])}"
                )
            return self.values[given]
        if origin in (list, Sequence, tuple) and isinstance(given, list):
            if origin is tuple and args[-1] is not Ellipsis:
                if len(args) != len(given):
                    raise _wrong(annotation, given)
                return tuple(map(self.resolve, args, given))
            return [self.resolve(args[0], g) for g in given]
        if origin is dict and isinstance(given, Mapping):
            return {self.resolve(args[0], k): self.resolve(args[1], g) for k, g in given.items()}
        if origin in (list, Sequence, tuple, dict) or not accepts(annotation, given):
            raise _wrong(annotation, given)
        return given

    def _unknown(self, name: str) -> str:
        ids = list(self.values)
        close = difflib.get_close_matches(name, ids, 1)
        listed = ", ".join(ids[:_MAX_IDS]) + (" …" if len(ids) > _MAX_IDS else "")
        hint = f"did you mean '{close[0]}'?" if close else f"there are {listed or 'none yet'}"
        return f"there is no value {name[:100]!r}; {hint}"

    def describe(self, value: Any) -> Any:
        """A result as JSON: plain data as it is, other values by a new id and in words."""
        if is_value(value):
            return {"id": self.add(value), "what": show(value)}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.describe(v) for v in value]
        if isinstance(value, Mapping):
            return {k if isinstance(k, str) else show(k): self.describe(v) for k, v in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)  # JSON has no number for it
        return value


class _UnknownId(ToolError):
    """An id that names nothing."""


def langchain_tools(
    workspace: Workspace, host: Host | None = None, names: Iterable[str] | None = None
) -> list[StructuredTool]:
    """One `StructuredTool` per tool of the registry that is called out of programs.

    Args:
        workspace: where values live.
        host: calls the tools; one with the settings in force by default.
        names: only these tools.

    Raises:
        MissingExtra: LangChain is not installed.
        ToolError: an unknown name.
    """
    host = host or Host(default_registry())
    chosen = [host.registry.find(n) for n in names] if names is not None else host.registry.called.values()

    def caller(tool: Tool) -> Callable[..., Any]:
        # A session has the budget of one program: of a conversation, each call has its own.
        return lambda **arguments: host.session().call(tool, **arguments)

    return [_structured(tool, workspace, caller(tool)) for tool in chosen]


def ask_tool(workspace: Workspace, agent: Agent) -> StructuredTool:
    """The whole of visprog as one tool: a question about images of the workspace, answered by a program.

    Raises:
        MissingExtra: LangChain is not installed.
    """

    def ask_image(question: str, images: list[Image]) -> dict[str, str]:
        """Answer a question in plain language about one or more images."""
        if len(images) > MAX_IMAGES:
            raise ToolError(f"ask_image takes {MAX_IMAGES} images at most, not {len(images)}")
        answer = agent.ask(question, *images)
        value: Any = workspace.describe(answer.value)
        return {"status": answer.status, "value": value, "message": answer.message, "program": answer.program}

    tool = describe_function(ask_image)
    return _structured(tool, workspace, lambda **arguments: ask_image(**tool.bind(**arguments)))


def _structured(tool: Tool, workspace: Workspace, call: Callable[..., Any]) -> StructuredTool:
    try:
        from langchain_core.tools import StructuredTool
    except ImportError:
        raise MissingExtra("LangChain tools", "langchain") from None

    class AnyInput(StructuredTool):  # type: ignore[misc]  # of LangChain no types are read
        """A tool whose function is given the input as it is: LangChain raises for some, such as one named `self`."""

        def run(self, tool_input: Any, *args: Any, **options: Any) -> Any:
            return super().run({"arguments": tool_input}, *args, **options)

        async def arun(self, tool_input: Any, *args: Any, **options: Any) -> Any:
            return await super().arun({"arguments": tool_input}, *args, **options)

    types = {p.name: p.type for p in tool.parameters}

    def resolved(name: str, given: Any) -> Any:
        if name not in types:  # which the call complains of
            return given
        try:
            return workspace.resolve(types[name], given)
        except ToolError as error:
            raise ToolError(f"{tool.name}: '{name}': {error}") from None

    def run(arguments: Any) -> str:
        try:
            if not isinstance(arguments, Mapping):
                raise ToolError(f"{tool.name} takes an object of its arguments, not {describe(arguments)}")
            result = call(**{name: resolved(name, given) for name, given in arguments.items()})
            return json.dumps(workspace.describe(result), default=show)
        except (VisprogError, RunEnded) as error:  # the model is told, and may try something else
            return json.dumps({"error": str(error)})
        except Exception as error:  # a fault of a tool ends no conversation
            return json.dumps({"error": f"{tool.name} failed: {type(error).__name__}: {error}"})

    return AnyInput.from_function(
        func=run,
        name=tool.name,
        description=tool.description,
        args_schema={"title": tool.name, **tool.schema()},
    )


def _wrong(annotation: Type, given: Any) -> ToolError:
    return ToolError(f"must be {render(annotation)}, not {describe(given)}")

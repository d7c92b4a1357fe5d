"""visprog's tools for LangChain agents.

A chat model cannot hold a picture or a region in its hands, so it names them: values live in a `Workspace` under
short ids ("image1", "region3"), arguments are ids, and results come back as text that names new ids.

    workspace = Workspace()
    workspace.add(Image.open("street.jpg"))             # "image1"
    agent = create_agent(model, langchain_tools(workspace))
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin

from .agent import Agent
from .answer import show
from .errors import MissingExtra, ToolError, VisprogError
from .host import Host, RunEnded
from .registry import Tool, default_registry
from .types import VALUES, Type, is_union
from .values.image import Image

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool


class Workspace:
    """Values by id, for one conversation."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._counts: dict[str, int] = {}

    def add(self, value: Any) -> str:
        """Keep a value; its id."""
        kind = type(value).__name__.lower()
        self._counts[kind] = self._counts.get(kind, 0) + 1
        name = f"{kind}{self._counts[kind]}"
        self.values[name] = value
        return name

    def resolve(self, annotation: Type, given: Any) -> Any:
        """A JSON argument as the value that the tool wants: ids become what they name.

        Raises:
            ToolError: an id that names nothing.
        """
        if isinstance(given, list):
            origins: dict[Any, Type] = {get_origin(o): o for o in _options(annotation)}
            inner = get_args(origins[list])[0] if list in origins else Any
            return [self.resolve(inner, g) for g in given]
        if isinstance(given, str) and any(o in VALUES for o in _options(annotation)):
            if given not in self.values:
                raise ToolError(
                    f"there is no value '{given}'; there are {', '.join(self.values) or 'none yet'}"
                )
            return self.values[given]
        return given

    def describe(self, value: Any) -> Any:
        """A result as JSON: plain data as it is, other values by a new id and in words."""
        if isinstance(value, list | tuple):
            return [self.describe(v) for v in value]
        if isinstance(value, VALUES):
            return {"id": self.add(value), "what": show(value)}
        return value


def langchain_tools(
    workspace: Workspace, host: Host | None = None, names: Iterable[str] | None = None
) -> list[StructuredTool]:
    """One `StructuredTool` for each tool of the registry that is called out of programs.

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
    return [_structured(t.name, t.description, t.schema(), _caller(t, host, workspace)) for t in chosen]


def ask_tool(workspace: Workspace, agent: Agent) -> StructuredTool:
    """The whole of visprog as one tool: a question about pictures of the workspace, answered by a program.

    Raises:
        MissingExtra: LangChain is not installed.
    """
    schema = {
        "type": "object",
        "properties": {
            "question": {"type": "string", "description": "in plain language"},
            "images": {"type": "array", "items": {"type": "string"}, "description": "ids of the pictures"},
        },
        "required": ["question", "images"],
    }

    def ask(question: str, images: list[str]) -> dict[str, Any]:
        answer = agent.ask(question, *workspace.resolve(list[Image], images))
        value = workspace.describe(answer.value)
        return {"status": answer.status, "value": value, "message": answer.message, "program": answer.program}

    return _structured("ask_image", "Answer a question about one or more pictures.", schema, ask)


def _caller(tool: Tool, host: Host, workspace: Workspace) -> Any:
    session = host.session()

    def call(**arguments: Any) -> Any:
        types = {p.name: p.type for p in tool.parameters}
        resolved = {k: workspace.resolve(types.get(k, Any), v) for k, v in arguments.items()}
        return workspace.describe(session.call(tool, **resolved))

    return call


def _structured(name: str, description: str, schema: Mapping[str, Any], function: Any) -> StructuredTool:
    try:
        from langchain_core.tools import StructuredTool
    except ImportError:
        raise MissingExtra("LangChain tools", "langchain") from None

    def run(**arguments: Any) -> str:
        try:
            return json.dumps(function(**arguments), default=show)
        except (VisprogError, RunEnded) as error:  # the model is told, and may try something else
            return json.dumps({"error": str(error)})

    return StructuredTool.from_function(
        func=run, name=name, description=description, args_schema={"title": name, **schema}
    )


def _options(annotation: Type) -> tuple[Type, ...]:
    return get_args(annotation) if is_union(annotation) else (annotation,)

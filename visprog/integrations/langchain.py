"""visprog's tools for LangChain agents.

A chat model cannot hand over an image or a region, so it names them: values live in a `Workspace` under short ids
("image1", "region3"), arguments are ids, and results come back as text that names new ids. Nothing else is opened:
a path in the place of an id is an unknown id. Whatever goes wrong, the model is given `{"error": …}`.

    workspace = Workspace()
    workspace.add(Image.open("street.jpg"))             # "image1"
    agent = create_agent(model, langchain_tools(workspace))
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ..agent import Agent
from ..errors import MissingExtra, ToolError, VisprogError
from ..registry import Tool, default_registry, describe_function
from ..registry.types import describe
from ..runtime.host import Host, RunEnded
from ..runtime.workspace import Workspace
from ..values.codec import show
from ..values.image import Image

if TYPE_CHECKING:
    from langchain_core.tools import StructuredTool


MAX_IMAGES = 16
"""Bound of the images of one question."""


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
    images = host.registry.for_inputs(video=False)
    chosen = [host.registry.find(n) for n in names] if names is not None else images.called.values()

    def caller(tool: Tool) -> Callable[..., Any]:
        # A run has the budget of one program: of a conversation, each call has its own.
        return lambda **arguments: host.new_run().call(tool, **arguments)

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
        value: Any = workspace.to_json(answer.value)
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
            return json.dumps(workspace.to_json(result), default=show)
        except (VisprogError, RunEnded) as error:  # the model reads it, and may try something else
            return json.dumps({"error": str(error)})
        except Exception as error:  # a fault of a tool ends no conversation
            return json.dumps({"error": f"{tool.name} failed: {type(error).__name__}: {error}"})

    return AnyInput.from_function(
        func=run,
        name=tool.name,
        description=tool.description,
        args_schema={"title": tool.name, **tool.schema()},
    )

"""Methods of values that stay outside the sandbox, as tools: `depth.at(region)` is a call of `Depth.at`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from ..values.codec import KINDS, Kind
from .declaration import Parameter, Tool
from .function import read


@cache
def method_tools() -> Mapping[str, Tool]:
    """A tool for each method of each kind of values, by its name "KIND.METHOD". Its first parameter is the value."""
    made = (_method_tool(kind, name) for kind in KINDS.values() for name in kind.methods)
    return {tool.name: tool for tool in made}


def without_owner(tool: Tool, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call without the value that a method belongs to, as its trace holds them: the value is the
    result of an earlier call."""
    if tool.name not in method_tools():
        return arguments
    owner = tool.parameters[0].name
    return {name: value for name, value in arguments.items() if name not in (owner, "0")}


def _method_tool(kind: Kind, name: str) -> Tool:
    function: Callable[..., Any] = getattr(kind.cls, name)
    owner = kind.name.lower()
    declared = read(function)

    def call(**arguments: Any) -> Any:
        return function(arguments.pop(owner), **arguments)

    parameters = (Parameter(owner, kind.cls), *(Parameter(*each) for each in declared.parameters))
    return Tool(f"{kind.name}.{name}", call, declared.doc, parameters, declared.returns, cache=False)

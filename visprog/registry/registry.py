"""The registry: the tools that a program may call, and the one source of everything that is known of them.

The planner's prompt, the static check, the validation of arguments, the JSON schemas, the LangChain and
OpenAI descriptions and the `visprog tools` page are all made from what is declared here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from visprog.sandbox import Method

from ..errors import ToolDefinitionError, ToolError, close_match
from ..report import markup
from ..values.codec import handles
from ..values.depth import Depth
from .declaration import Tool, in_use
from .types import mentions

METHOD_TOOLS = frozenset(name.tool for _, names in handles() for name in names if isinstance(name, Method))
"""Tools that programs call as methods of a value."""

_RAISES = re.compile(r"^Raises:\n(?:[ \t]+.*(?:\n|\Z)|\n)*", re.MULTILINE)
"""The section of a docstring on errors."""


class Registry(Mapping[str, Tool]):
    """The tools that a program may call, by name.

    A tool made with `replace=True` takes the place of another of its name, whichever comes first.

    Raises:
        ToolDefinitionError: two different tools of one name.
    """

    def __init__(self, tools: Iterable[Tool] = ()) -> None:
        self._tools: dict[str, Tool] = {}
        for each in tools:
            self.add(each)

    def add(self, item: Tool) -> Registry:
        """Add one tool; returns the registry, so that calls chain."""
        if not isinstance(item, Tool):
            name = getattr(item, "__name__", repr(item))
            raise ToolDefinitionError(f"{name:.80} is not a tool: decorate the function with @tool")
        if item.method:
            raise ToolDefinitionError(f"'{item.name}' is a method: give it as an attribute of an object")
        present = self._tools.get(item.name)
        if present is None or item.replaces or not (present is item or present.replaces):
            if present is not None and not item.replaces:
                raise ToolDefinitionError(_twice(present, item))
            self._tools[item.name] = item
            in_use.add(item)
        return self

    def __getitem__(self, name: str) -> Tool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"<registry of {len(self)} tools>"

    def _repr_html_(self) -> str:
        tables: list[str] = []
        for name, pure in (("tool", False), ("helper", True)):  # helpers cost no call
            rows = [
                (markup.tag("code", t.name, style=markup.CODE), t.summary)
                for t in self.values()
                if t.pure == pure
            ]
            tables += [markup.table(rows, (name, "what it does"))] if rows else []
        return markup.card(*tables or ["no tools"])

    def __or__(self, others: Iterable[Tool] | Registry) -> Registry:
        """A new registry with more tools."""
        return Registry([*self.values(), *(others.values() if isinstance(others, Registry) else others)])

    @property
    def offered(self) -> Registry:
        """Without the tools that cannot answer, since no backend that could is in force, and without those that take a
        `Depth` where none can be had."""
        tools = [t for t in self.values() if not t.sees.nothing]
        if any(mentions(t.returns, Depth) for t in tools):
            return Registry(tools)
        return Registry(t for t in tools if not any(mentions(p.type, Depth) for p in t.parameters))

    def for_inputs(self, video: bool) -> Registry:
        """The tools for programs about a video, or for those about images, which have no use for tools of videos."""
        return self if video else Registry(t for t in self.values() if not t.about_video)

    @property
    def called(self) -> dict[str, Tool]:
        """The tools that are called out of the sandbox."""
        return {name: t for name, t in self.items() if not t.pure}

    def find(self, name: str) -> Tool:
        """The tool of that name.

        Raises:
            ToolError: there is none; the message names the nearest.
        """
        if name in self:
            return self[name]
        close = close_match(name, self)
        raise ToolError(f"there is no tool '{name}'" + (f"; did you mean '{close}'?" if close else ""))

    def prompt(self) -> str:
        """Every tool that can answer as a Python stub: what a planner is shown."""
        shown = self.offered
        return "\n\n".join(stub(shown[name], text) for name, text in descriptions(shown).items())

    def openai(self) -> list[dict[str, Any]]:
        """All called tools as OpenAI tool descriptions; those of videos are for programs alone."""
        return [t.openai() for t in self.for_inputs(video=False).called.values()]


def descriptions(tools: Registry, *, brief: bool = False) -> dict[str, str]:
    """What each tool does and sees, for a language model: without the errors that it raises, and what several tools see
    only once. Tools that are methods of a value are left out, since the value has them.

    Args:
        brief: Whether of each docstring only the first sentence is given.
    """
    found, seen = dict[str, str](), dict[str, str]()
    for name, tool in tools.items():
        if name in METHOD_TOOLS:
            continue
        text = tool.summary if brief and not tool.pure else _RAISES.sub("", tool.doc).strip()
        if tool.limits and not brief:
            text += f"\nLimits: {tool.limits}"
        if sees := tool.sees.summary:
            first = seen.setdefault(sees, name)
            text += f"\nSees: {sees if first == name else f'what {first} sees.'}"
        found[name] = text
    return found


def stub(tool: Tool, description: str) -> str:
    """A tool as a Python stub with a docstring."""
    first, *others = description.strip().splitlines()
    if not others:
        return f'def {tool.signature}:\n    """{first}"""'
    lines = [f'    """{first}', *(f"    {line}" if line else "" for line in others), '    """']
    return "\n".join([f"def {tool.signature}:", *lines])


def _twice(present: Tool, item: Tool) -> str:
    first, second = (getattr(t, "__module__", "") for t in (present, item))
    if (first, getattr(present, "__qualname__", "")) == (second, getattr(item, "__qualname__", "")):
        return f"the tool '{item.name}' of {first} was defined twice (a cell that was run again?): give only the newer"
    return (
        f"two tools are called '{item.name}' ({first} and {second}): rename one with @tool(name=…), or let one take "
        "the place of the other with @tool(replace=True)"
    )

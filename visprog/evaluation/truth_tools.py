"""Tools that answer from a benchmark's truth, in the place of those that look at pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..registry import Registry, Tool, describe_function
from ..registry.sees import NOT_SAID

Answers = Mapping[str, Callable[..., Any]]


class TruthTools:
    """A registry whose tools of some names answer from the truth of the item at hand.

    Name, signature and description of a tool stay as they are, so that the same programs pass and a planner reads
    the same; a tool that the registry does not have is described by its own function.

    Args:
        registry: the tools to start from; it is not changed.
        answers: of the first item.
    """

    def __init__(self, registry: Registry, answers: Answers) -> None:
        self._answers = answers
        instead = {name: self._instead(registry, name, answers[name]) for name in answers}
        others = [tool for name, tool in registry.items() if name not in instead]
        self.registry = Registry([*others, *instead.values()])

    def turn_to(self, answers: Answers) -> None:
        """Answer from the truth of another item from now on."""
        self._answers = answers

    def _instead(self, registry: Registry, name: str, function: Callable[..., Any]) -> Tool:
        tool = registry[name] if name in registry else describe_function(function, name=name)
        call = partial(self._call, name)
        return replace(tool, function=call, backends={}, default_backend="", pure=False, sees=NOT_SAID)

    def _call(self, name: str, **arguments: Any) -> Any:
        return self._answers[name](**arguments)

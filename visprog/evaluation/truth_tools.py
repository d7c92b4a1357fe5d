"""Tools that answer from the ground truth of a benchmark, in place of those that analyse images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..registry import Registry, Tool, describe_function
from ..registry.sees import NOT_SAID

Answers = Mapping[str, Callable[..., Any]]


class TruthTools:
    """A registry in which some tools answer from the ground truth of the current item.

    Name, signature and description of a tool stay the same, so that the same programs pass the check and the prompt
    does not change; a tool that the registry does not have is described by its function.

    Args:
        registry: Tools to start from; it is not changed.
        answers: Functions that answer about the first item, by the name of the tool.
    """

    def __init__(self, registry: Registry, answers: Answers) -> None:
        self._answers = answers
        instead = {name: self._replacement(registry, name, answers[name]) for name in answers}
        others = [tool for name, tool in registry.items() if name not in instead]
        self.registry = Registry([*others, *instead.values()])

    def switch_to(self, answers: Answers) -> None:
        """Answer from the ground truth of another item from now on."""
        self._answers = answers

    def _replacement(self, registry: Registry, name: str, function: Callable[..., Any]) -> Tool:
        tool = registry[name] if name in registry else describe_function(function, name=name)
        call = partial(self._call, name)
        return replace(tool, function=call, backends={}, default_backend="", pure=False, sees=NOT_SAID)

    def _call(self, name: str, **arguments: Any) -> Any:
        return self._answers[name](**arguments)

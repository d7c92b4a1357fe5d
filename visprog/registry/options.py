"""The options of a backend: the parameters of its constructor."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, get_type_hints

from .declaration import Parameter, Tool
from .types import Type, supported


def backend_options(tool: Tool, backend: str = "") -> Mapping[str, Parameter] | None:
    """The options that a backend takes, by name; None if it takes any.

    A constructor with `**options` takes, besides its own, those of the class that it derives from.

    Raises:
        ToolError: there is no such backend.
        ImportError: its module, or what that needs, is not installed.
    """
    made: Any = tool.backend_class(backend)
    makers = (
        [c.__dict__["__init__"] for c in made.__mro__ if "__init__" in c.__dict__]
        if inspect.isclass(made)
        else [made]
    )
    found: dict[str, Parameter] = {}
    for make in makers:
        if make is object.__init__:
            return None if found or len(makers) > 1 else {}
        try:
            own, open_ended = _parameters(make)
        except (TypeError, ValueError, NameError, AttributeError):
            return None
        found = {**own, **found}
        if not open_ended:
            return {name: each for name, each in found.items() if name != "self"}
    return None


def _parameters(make: Callable[..., Any]) -> tuple[dict[str, Parameter], bool]:
    """Named parameters of a function, and whether it takes any others by name."""
    parameters = inspect.signature(make).parameters.values()
    hints = get_type_hints(make)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    return {p.name: Parameter(p.name, _type(hints.get(p.name, Any)), p.default) for p in named}, open_ended


def _type(annotation: Type) -> Type:
    """A type that a settings file can hold; `Any` for the rest, which the constructor itself must judge."""
    return annotation if supported(annotation) else Any

"""The options of a backend: the parameters of its constructor, described under `Args:` of its class."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from .declaration import Parameter, Tool
from .types import Type, supported


@dataclass(frozen=True)
class Option(Parameter):
    """An option of a backend.

    Attributes:
        description: What the docstring of the class says of it, on one line; empty if it says nothing.
    """

    description: str = ""


@dataclass(frozen=True)
class BackendOptions:
    """The options that a backend takes.

    Attributes:
        known: Options by name.
        takes_others: Whether the constructor takes others too, which it checks itself.
    """

    known: Mapping[str, Option]
    takes_others: bool = False


def backend_options(tool: Tool, backend: str = "") -> BackendOptions:
    """The options that a backend takes.

    A constructor with `**options` takes, besides its own, those of the class that it derives from.

    Raises:
        ToolError: There is no such backend.
        ImportError: Its module, or what that needs, is not installed.
    """
    made: Any = tool.backend_class(backend)
    classes = made.__mro__ if inspect.isclass(made) else ()
    makers = [c.__dict__["__init__"] for c in classes if "__init__" in c.__dict__] if classes else [made]
    described: dict[str, str] = {}
    for documented in (*reversed(classes), *reversed(makers)):
        described |= described_arguments(documented.__doc__ or "")
    found: dict[str, Option] = {}
    for make in makers:
        if make is object.__init__:
            return BackendOptions(found, takes_others=len(makers) > 1)
        try:
            own, open_ended = _parameters(make, described)
        except (TypeError, ValueError, NameError, AttributeError):
            return BackendOptions(found, takes_others=True)
        found = {**own, **found}
        if not open_ended:
            return BackendOptions(found)
    return BackendOptions(found, takes_others=True)


def described_arguments(doc: str) -> dict[str, str]:
    """Descriptions under `Args:` of a Google-style docstring, by name, each on one line."""
    _, args, text = inspect.cleandoc(doc).partition("\nArgs:\n")
    if not args:
        return {}
    section = re.split(r"\n(?=\S)", f"\n{text}", maxsplit=1)[0]
    entries = re.findall(r"^ {4}(\w[\w, ]*)(?:\([^)]*\))?: *((?:.|\n(?! {4}\S))*)", section, re.MULTILINE)
    return {name.strip(): " ".join(text.split()) for names, text in entries for name in names.split(",")}


def _parameters(make: Callable[..., Any], described: Mapping[str, str]) -> tuple[dict[str, Option], bool]:
    """Named parameters of a function, and whether it takes any others by name."""
    parameters = inspect.signature(make).parameters.values()
    hints = get_type_hints(make)
    named = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    options = {
        p.name: Option(
            p.name, _type(hints.get(p.name, Any)), p.default, description=described.get(p.name, "")
        )
        for p in named
        if p.name != "self"
    }
    return options, any(p.kind is p.VAR_KEYWORD for p in parameters)


def _type(annotation: Type) -> Type:
    """A type that a settings file can hold; `Any` for the rest, which the constructor itself must judge."""
    return annotation if supported(annotation) else Any

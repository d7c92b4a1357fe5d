"""Values and functions that live inside the worker, next to the program.

A library is declared once, in a module that imports nothing but the standard library and this package, and is
named to the sandbox as "module:ATTRIBUTE". Both processes import it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class ValueType:
    """A class of pure values: it crosses between the processes by value.

    Args:
        cls: the class; `cls(*fields)` rebuilds a value and validates it.
        fields: the attributes that hold its data, in the order of the constructor's parameters.
        attributes: what a program may read and call on it, methods included.
    """

    cls: type
    fields: tuple[str, ...]
    attributes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.attributes:
            if name.startswith("_") or not name.isidentifier():
                raise ValueError(
                    f"{self.cls.__name__}.{name} cannot be open to programs: name it without '_'"
                )


@dataclass(frozen=True)
class Library:
    """What a program finds besides its tools: value types, pure functions, and the errors they raise."""

    types: tuple[ValueType, ...] = ()
    functions: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    errors: tuple[type[Exception], ...] = ()

    @property
    def names(self) -> dict[str, Any]:
        """The global names it gives to a program."""
        named = {kind.cls.__name__: kind.cls for kind in self.types}
        return {**named, **{error.__name__: error for error in self.errors}, **self.functions}

    @property
    def attributes(self) -> frozenset[str]:
        """Every attribute that some value type of it opens to programs."""
        return frozenset(name for kind in self.types for name in kind.attributes)


EMPTY = Library()


def load(path: str | None) -> Library:
    """The library at a path such as "module:ATTRIBUTE"; an empty one for None.

    Raises:
        ValueError: the path has no colon.
        ImportError: the module cannot be imported.
        TypeError: the attribute is no `Library`.
    """
    if path is None:
        return EMPTY
    module, colon, attribute = path.partition(":")
    if not colon:
        raise ValueError(f"library {path!r} must be written as 'module:ATTRIBUTE'")
    library = getattr(import_module(module), attribute, None)
    if not isinstance(library, Library):
        raise TypeError(f"{path} is no visprog.sandbox.Library")
    return library

"""Records as results: dataclasses, TypedDicts, NamedTuples and pydantic models, which programs see as plain values."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Union, get_args, get_origin, get_type_hints

from .types import VALUES, Type, keys_of, render


def as_plain(value: Any) -> Any:
    """A result with each record in it, at any depth, as a dict by field name; an iterator as a list."""
    if isinstance(value, VALUES):
        return value
    if isinstance(value, list | Iterator):
        return [as_plain(v) for v in value]
    if isinstance(value, tuple):
        return tuple(as_plain(v) for v in value)
    if isinstance(value, Mapping):
        return {k: as_plain(v) for k, v in value.items()}
    names = () if isinstance(value, type) else _names(type(value))
    return {name: as_plain(getattr(value, name)) for name in names} if names else value


def plain_type(annotation: Type, within: tuple[Type, ...] = ()) -> tuple[Type, str]:
    """The type of a result as programs see it, and a sentence for each record in it that names its keys.

    Args:
        within: records that the annotation is part of.

    Raises:
        NameError: the fields of a record cannot be read.
        TypeError: a record holds itself.
    """
    if annotation in within:
        raise TypeError(f"{annotation.__name__} holds itself")
    if isinstance(annotation, type) and annotation not in VALUES:
        within = (*within, annotation)
        if issubclass(annotation, tuple) and hasattr(annotation, "_fields"):
            hints = get_type_hints(annotation)
            parts = [plain_type(hints.get(name, Any), within) for name in annotation._fields]
            return types.GenericAlias(tuple, tuple(kind for kind, _ in parts)), _joined(parts)
        names = _names(annotation)
        if names:
            hints = get_type_hints(annotation)
            parts = [plain_type(hints[name], within) for name in names]
            kinds = {name: kind for name, (kind, _) in zip(names, parts, strict=True)}
            return typed_dict(annotation.__name__, kinds), told_keys("the result", kinds) + _joined(parts)
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if not args or origin is typing.Literal:
        return annotation, ""
    if origin in (Iterable, Iterator, Generator):
        origin, args = list, args[:1]
    elif origin is Mapping:
        origin = dict
    parts = [(a, "") if a is Ellipsis else plain_type(a, within) for a in args]
    return rebuilt(origin, tuple(kind for kind, _ in parts)), _joined(parts)


def told_keys(of: str, keys: Mapping[str, Type]) -> str:
    """A sentence for a docstring on the keys of a dict; empty if they are not known."""
    listed = ", ".join(f"{name} ({render(kind)})" for name, kind in keys.items())
    return f"\n\nKeys of {of}: {listed}." if listed else ""


def typed_dict(name: str, kinds: dict[str, Type]) -> Type:
    """A `TypedDict` with these keys."""
    make: Any = typing.TypedDict
    return make(name, kinds)


def rebuilt(origin: Any, args: tuple[Any, ...]) -> Type:
    """A generic type with other arguments."""
    if origin in (Union, types.UnionType):
        return Union[args]  # noqa: UP007  (of a tuple that is known when this runs)
    return types.GenericAlias(origin, args)


def _joined(parts: Iterable[tuple[Type, str]]) -> str:
    return "".join(dict.fromkeys(keys for _, keys in parts))


def _names(kind: type) -> tuple[str, ...]:
    """Names of the fields of a dataclass, a TypedDict or a pydantic model; none for another type."""
    if keys := keys_of(kind):  # also that of typing_extensions
        return tuple(keys)
    if dataclasses.is_dataclass(kind):
        return tuple(f.name for f in dataclasses.fields(kind))
    model = getattr(kind, "model_fields", None)
    return tuple(model) if isinstance(model, Mapping) else ()

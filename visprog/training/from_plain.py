"""Plain data, as YAML gives it, into typed dataclasses. Errors name the key, what it must be, and what it is."""

from __future__ import annotations

import math
import os
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from visprog.errors import VisprogError, close_match

MAX_SHOWN = 100
"""Greatest number of characters of a value that a message shows."""


class RecipeError(VisprogError):
    """A recipe, or an override of one of its keys, that cannot be used; the message names the key."""


@dataclass(frozen=True)
class Section:
    """A part of a recipe whose keys depend on what it names.

    Attributes:
        name: what is named.
        config: the other keys, as the dataclass of what is named.
    """

    name: str
    config: Any


def build(hint: Any, value: Any, key: str = "") -> Any:
    """`value` as a `hint`: a dataclass, bool, int, float, str, Path, Literal, union, tuple, list or dict[str, …].

    Args:
        key: dotted name of the value, for messages; empty at the top.

    Raises:
        RecipeError: an unknown or missing key, a wrong type or choice, or a dataclass that refuses its values.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or (is_dataclass(value) and not isinstance(value, type)):  # or built already
        return value
    if is_dataclass(hint):
        return _record(hint, value, key)
    if origin in (Union, types.UnionType):
        return _union(hint, value, key)
    if origin is Literal:
        if value in arguments and type(value) in {type(a) for a in arguments}:
            return value
        raise _wrong(hint, value, key)
    if origin is dict:
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            raise _wrong(hint, value, key)
        return {k: build(arguments[1], v, _join(key, k)) for k, v in value.items()}
    if origin in (tuple, list):
        return _sequence(hint, value, key)
    return _scalar(hint, value, key)


def describe(hint: Any) -> str:
    """What a type is called in a message: "a number", "one of 'fp32', 'bf16'"."""
    origin, arguments = get_origin(hint), get_args(hint)
    names = {
        bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "a path",
        type(None): "null",
    }  # fmt: skip
    if hint in names:
        return names[hint]
    if origin in (Union, types.UnionType):
        return " or ".join(describe(a) for a in arguments)
    if origin is Literal:
        return "one of " + ", ".join(repr(a) for a in arguments)
    if origin is dict:
        return f"a mapping to {describe(arguments[1])}"
    if origin in (tuple, list):
        return f"a list, each {describe(arguments[0])}"
    return "a mapping"


def plain(value: Any) -> Any:
    """The inverse of `build`: dataclasses as mappings, tuples as lists, paths as text."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def nearest(name: str, known: list[str]) -> str:
    """A half sentence that helps with a name that is not known."""
    close = close_match(name, known)
    return f"did you mean '{close}'?" if close else f"known are {', '.join(sorted(known)) or 'none'}"


def _record(hint: Any, value: Any, key: str) -> Any:
    if isinstance(value, hint):
        return value
    if not isinstance(value, Mapping):
        raise _wrong(hint, value, key)
    hints = get_type_hints(hint)
    known = {f.name: f for f in fields(hint) if f.init}
    for name in value:
        if name not in known:
            raise RecipeError(f"unknown key '{_join(key, str(name))}': {nearest(str(name), list(known))}")
    for name, field in known.items():
        if name not in value and field.default is MISSING and field.default_factory is MISSING:
            raise RecipeError(f"{_join(key, name)} is missing: it must be {describe(hints[name])}")
    arguments = {name: build(hints[name], v, _join(key, name)) for name, v in value.items()}
    try:
        return hint(**arguments)
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{key}: {error}" if key else str(error)) from None


def _union(hint: Any, value: Any, key: str) -> Any:
    members = [m for m in get_args(hint) if m is not type(None)]
    if value is None and len(members) < len(get_args(hint)):
        return None
    fitting = [m for m in members if _shape(m) is _shape_of(value)]
    if len(fitting) == 1:  # so that the message is about the part that is wrong
        return build(fitting[0], value, key)
    for member in fitting:
        try:
            return build(member, value, key)
        except RecipeError:
            continue
    raise _wrong(hint, value, key)


def _shape(hint: Any) -> type:
    if is_dataclass(hint) or get_origin(hint) is dict:
        return dict
    return list if get_origin(hint) in (tuple, list) else str


def _shape_of(value: Any) -> type:
    return dict if isinstance(value, Mapping) else list if isinstance(value, list | tuple) else str


def _sequence(hint: Any, value: Any, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if not isinstance(value, list | tuple):
        raise _wrong(hint, value, key)
    if origin is list or arguments[-1] is Ellipsis:
        hints = [arguments[0]] * len(value)
    elif len(value) != len(arguments):
        raise RecipeError(f"{key} must have {len(arguments)} entries, not {len(value)}")
    else:
        hints = list(arguments)
    made = [build(k, v, f"{key}[{i}]") for i, (k, v) in enumerate(zip(hints, value, strict=True))]
    return tuple(made) if origin is tuple else made


def _scalar(hint: Any, value: Any, key: str) -> Any:
    if hint is bool and isinstance(value, bool):
        return value
    if hint in (int, float):
        return _number(hint, value, key)
    if hint is str and isinstance(value, str) and _encodable(value):
        return value
    if hint is Path and isinstance(value, str | Path) and _is_path(str(value)):
        return Path(value)
    raise _wrong(hint, value, key)


def _number(hint: Any, value: Any, key: str) -> Any:
    if isinstance(value, bool):
        raise _wrong(hint, value, key)
    if hint is int and isinstance(value, int):
        return value
    try:
        number = float(value)  # YAML takes 1e-3, without a point, for text
    except (TypeError, ValueError, OverflowError):
        raise _wrong(hint, value, key) from None
    if not math.isfinite(number) or (hint is int and not number.is_integer()):
        raise _wrong(hint, value, key)
    return hint(number)


def _encodable(text: str) -> bool:
    """Whether a text is without halves of characters, which no file and no tokenizer can hold."""
    return not any("\ud800" <= c <= "\udfff" for c in text)


def _is_path(text: str) -> bool:
    """Whether a file can have this name."""
    try:
        return b"\0" not in os.fsencode(text) and bool(text)
    except UnicodeEncodeError:
        return False


def _wrong(hint: Any, value: Any, key: str) -> RecipeError:
    shown = ascii(value) if isinstance(value, str) and not _encodable(value) else repr(value)
    if len(shown) > MAX_SHOWN:
        shown = f"{shown[:MAX_SHOWN]}…"
    members = get_args(hint) or (hint,)
    scalar = not isinstance(value, str | Mapping | list | tuple) and value is not None
    quoted = ": put it in quotes, if it is text" if scalar and {str, Path} & set(members) else ""
    return RecipeError(f"{key or 'it'} must be {describe(hint)}, not {shown}{quoted}")


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name

"""The attributes that a program may read on a value, and their types."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from visprog.sandbox import BUILTIN_ATTRIBUTES, MATH_NAMES, TYPE_ATTRIBUTES

from ...errors import close_match
from ...values.codec import KINDS
from ...values.helpers import Found
from .. import aliases
from .signatures import CLASSES, Class, Closure, Signature, math_member, method, value_member
from .types import (
    UNKNOWN,
    Const,
    Fixed,
    Function,
    Instance,
    StaticType,
    class_of,
    could_be,
    from_annotation,
    join,
    widen,
)

FOUND = from_annotation(Found)
"""What `best` chooses among."""


def opened(cls: type | None) -> tuple[str, ...]:
    """The attributes of a class of values that programs may use; none of another class."""
    kind = KINDS.get(cls.__name__) if cls is not None else None
    return kind.attributes if kind is not None and kind.cls is cls else ()


def open_names() -> frozenset[str]:
    """The attributes that programs may use of any value."""
    return frozenset(name for kind in KINDS.values() for name in kind.attributes)


def attribute(type_: StaticType, name: str) -> StaticType | None:
    """The type of `type_.name` for one alternative of a union; None if there is no such attribute."""
    if isinstance(type_, Signature | Closure):
        return None
    if isinstance(type_, Class):
        return None if opened(type_.cls) else UNKNOWN
    if not isinstance(type_, Instance | Const | Fixed):
        return UNKNOWN
    whole = widen(type_)
    if not isinstance(whole, Instance):
        return UNKNOWN
    cls = whole.cls
    if cls is ModuleType:
        return math_member(name) if name in MATH_NAMES else None
    if names := opened(cls):
        return value_member(cls, name) if name in names else None
    found = method(cls, name)
    if found is not None:
        return bound(found, whole)
    return UNKNOWN if cls in CLASSES.values() or hasattr(cls, name) else None


def bound(found: Signature, receiver: Instance) -> Signature:
    """A method of a container, whose type variables are what the container holds."""
    known: dict[str, StaticType] = {"T": receiver.args[0]} if len(receiver.args) == 1 else {}
    if len(receiver.args) == 2:
        known = {"K": receiver.args[0], "V": receiver.args[1]}
    return replace(found, known=known)


def suggest(type_: StaticType, name: str) -> str | None:
    """What may have been meant by an attribute that `type_` does not have."""
    if isinstance(type_, Signature):
        return f"call it first: {type_.text}"
    cls = class_of(type_)
    if cls is ModuleType:
        close = close_match(name, MATH_NAMES)
        return f"did you mean 'math.{close}'?" if close else None
    if cls in (list, tuple) and isinstance(type_, Instance) and type_.args:
        inner = join(*type_.args)
        if attribute(inner, name) is not None and inner not in (UNKNOWN, join()):
            one = "best(…) or nth(…)" if could_be(inner, FOUND, strict=True) else "nth(…)"
            return f"loop over it, or choose one of it with {one}, and read '.{name}' of that"
        if name in ("length", "size", "count", "len"):
            return "write len(…)"
    if isinstance(type_, Function):
        return None
    if cls is str and name in ("contains", "includes", "has"):
        return "write 'part in text'"
    names = opened(cls) or (TYPE_ATTRIBUTES.get(cls, frozenset()) if cls is not None else ())
    for alias in aliases.ATTRIBUTES.get(name, ()):
        if alias.split(".")[0].split("(")[0] in names:
            return f"write \x27.{alias}\x27"
    close = close_match(name, names)
    if close:
        return f"did you mean '{close}'?"
    return f"it has {', '.join(sorted(names))}" if opened(cls) else None


def suggest_for_any(name: str) -> str | None:
    """What may have been meant by an attribute that no value has."""
    if name in aliases.ATTRIBUTES:
        return f"write \x27.{aliases.ATTRIBUTES[name][0]}\x27"
    close = close_match(name, open_names() | BUILTIN_ATTRIBUTES)
    return f"did you mean '{close}'?" if close else None

"""The attributes that a program may read on a value, and their types."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

from visprog.sandbox import policy

from ...values.library import ATTRIBUTES
from .. import aliases as habits
from .signatures import CLASSES, Class, Closure, Signature, math_member, method, nearest, value_member
from .types import UNKNOWN, Const, Fixed, Function, Instance, Kind, class_of, join, widen

OPEN: dict[type, tuple[str, ...]] = {
    (CLASSES[key] if isinstance(key, str) else key): tuple(names) for key, names in ATTRIBUTES.items()
}
"""The attributes of each value class that programs may use."""

ALL_NAMES = frozenset(name for names in OPEN.values() for name in names)


def attribute(kind: Kind, name: str) -> Kind | None:
    """The type of `kind.name` for one alternative of a union; None where there is no such attribute."""
    if isinstance(kind, Signature | Closure):
        return None
    if isinstance(kind, Class):
        return None if kind.cls in OPEN else UNKNOWN
    if not isinstance(kind, Instance | Const | Fixed):
        return UNKNOWN
    whole = widen(kind)
    if not isinstance(whole, Instance):
        return UNKNOWN
    cls = whole.cls
    if cls is ModuleType:
        return math_member(name) if name in policy.MATH else None
    if cls in OPEN:
        return value_member(cls, name) if name in OPEN[cls] else None
    found = method(cls, name)
    if found is not None:
        return bound(found, whole)
    return UNKNOWN if cls in CLASSES.values() or hasattr(cls, name) else None


def bound(found: Signature, receiver: Instance) -> Signature:
    """A method of a container, whose type variables are what the container holds."""
    known: dict[str, Kind] = {"T": receiver.args[0]} if len(receiver.args) == 1 else {}
    if len(receiver.args) == 2:
        known = {"K": receiver.args[0], "V": receiver.args[1]}
    return replace(found, known=known)


def suggest(kind: Kind, name: str) -> str | None:
    """What may have been meant by an attribute that `kind` does not have."""
    if isinstance(kind, Signature):
        return f"call it first: {kind.text}"
    cls = class_of(kind)
    if cls is ModuleType:
        close = nearest(name, policy.MATH)
        return f"did you mean 'math.{close}'?" if close else None
    if cls in (list, tuple) and isinstance(kind, Instance) and kind.args:
        inner = join(*kind.args)
        if attribute(inner, name) is not None and inner not in (UNKNOWN, join()):
            return f"loop over it, or choose one of it with best(…) or [0], and read '.{name}' of that"
        if name in ("length", "size", "count", "len"):
            return "write len(…)"
    if isinstance(kind, Function):
        return None
    if cls is str and name in ("contains", "includes", "has"):
        return "write 'part in text'"
    names = OPEN[cls] if cls in OPEN else policy.ATTRIBUTES.get(cls, frozenset()) if cls is not None else ()
    for habit in habits.ATTRIBUTES.get(name, ()):
        if habit.split(".")[0].split("(")[0] in names:
            return f"write '.{habit}'"
    close = nearest(name, names)
    if close:
        return f"did you mean '{close}'?"
    return f"it has {', '.join(sorted(names))}" if names and cls in OPEN else None


def suggest_for_any(name: str) -> str | None:
    """What may have been meant by an attribute that no value has."""
    if name in habits.ATTRIBUTES:
        return f"write '.{habits.ATTRIBUTES[name][0]}'"
    close = nearest(name, ALL_NAMES | policy.BUILTIN_ATTRIBUTES)
    return f"did you mean '{close}'?" if close else None

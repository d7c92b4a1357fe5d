"""What the check knows about a value: a small lattice above the annotations that tools are declared with.

`UNKNOWN` is the top: anything can be done with it and nothing is ever reported about it. `NEVER` is the
bottom: no value at all (the elements of an empty list, what an error gives). Everything here is immutable;
a list that grows gets a new type.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar, get_args, get_origin

from ...registry.types import SHAPES, Type, as_dict, is_union, keys_of
from ...values import Region

MAX_MEMBERS = 16
"""A union of more constants of one class than this becomes the class."""

MAX_NESTING = 5
"""Containers nested deeper than this are not followed."""


@dataclass(frozen=True)
class Unknown:
    """Nothing is known, so everything is allowed."""


@dataclass(frozen=True)
class Instance:
    """A value of a class; `args` are the types of its elements (of keys and values, for a dict)."""

    cls: type
    args: tuple[StaticType, ...] = ()
    note: str = field(default="", compare=False)
    """Why it is what it is, for the suggestion: what a list method gave None for."""


@dataclass(frozen=True)
class Const:
    """One known str, int or bool."""

    value: str | int | bool
    told: bool = False
    """Whether a declaration names all the values that there are, and this is one of them."""

    # True == 1 in Python, and they are different constants here.
    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Const) and type(self.value) is type(other.value) and self.value == other.value
        )

    def __hash__(self) -> int:
        return hash((type(self.value), self.value))


@dataclass(frozen=True)
class Fixed:
    """A tuple of known length."""

    items: tuple[StaticType, ...]


@dataclass(frozen=True)
class Either:
    """One of several; of none at all: `NEVER`."""

    members: tuple[StaticType, ...]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Either) and set(self.members) == set(other.members)

    def __hash__(self) -> int:
        return hash(frozenset(self.members))


@dataclass(frozen=True)
class Variable:
    """A type variable of a signature."""

    name: str
    bound: StaticType


@dataclass(frozen=True)
class Callback:
    """A function that a parameter expects: `Callable[[T], K]`."""

    arguments: tuple[StaticType, ...]
    result: StaticType


class Function:
    """Base of everything that can be called; its subclasses are in `signatures`."""

    name: str


StaticType: TypeAlias = Unknown | Instance | Const | Fixed | Either | Variable | Callback | Function

UNKNOWN = Unknown()
NEVER = Either(())
NONE = Instance(type(None))
BOOL, INT, FLOAT, STR = Instance(bool), Instance(int), Instance(float), Instance(str)
ITERATOR: type = Iterator
VIEW: type = Collection
SEQUENCES = (list, tuple, range)
ITERABLES = (list, tuple, set, frozenset, dict, range, ITERATOR, VIEW)
"""Classes whose first type argument is what a loop over them gives."""


def list_of(element: StaticType) -> Instance:
    return Instance(list, (element,))


def members(type_: StaticType) -> tuple[StaticType, ...]:
    """The alternatives of a union; any other type is its own only alternative."""
    return type_.members if isinstance(type_, Either) else (type_,)


def widen(type_: StaticType) -> StaticType:
    """Constants and fixed tuples as their classes."""
    if isinstance(type_, Const):
        return Instance(type(type_.value))
    if isinstance(type_, Fixed):
        return Instance(tuple, (join(*type_.items),))
    if isinstance(type_, Either):
        return join(*map(widen, type_.members))
    return type_


def class_of(type_: StaticType) -> type | None:
    """The class of one alternative, where it has one."""
    if isinstance(type_, Instance):
        return type_.cls
    if isinstance(type_, Const):
        return type(type_.value)
    return tuple if isinstance(type_, Fixed) else None


def is_none(type_: StaticType) -> bool:
    return isinstance(type_, Instance) and type_.cls is type(None)


def is_number(type_: StaticType) -> bool:
    return class_of(type_) in (bool, int, float)


def join(*types_: StaticType) -> StaticType:
    """The least type above all of them; containers of one class are merged, element by element."""
    flat: list[StaticType] = []
    for type_ in types_:
        for member in members(type_):
            if isinstance(member, Unknown):
                return UNKNOWN
            _merge(flat, member)
    for cls in (str, int, bool):
        same = [k for k in flat if isinstance(k, Const) and type(k.value) is cls]
        if len(same) > MAX_MEMBERS:
            flat = [k for k in flat if k not in same]
            _merge(flat, Instance(cls))
    return flat[0] if len(flat) == 1 else Either(tuple(flat))


def _merge(flat: list[StaticType], type_: StaticType) -> None:
    for i, present in enumerate(flat):
        if present == type_ or (
            isinstance(present, Instance) and present.cls is class_of(type_) and not present.args
        ):
            return
        if isinstance(type_, Instance) and not type_.args and isinstance(present, Const):
            if type(present.value) is type_.cls:
                flat[:] = [k for k in flat if not (isinstance(k, Const) and type(k.value) is type_.cls)]
                break
            continue
        if isinstance(present, Fixed) and isinstance(type_, Fixed) and len(present.items) == len(type_.items):
            flat[i] = Fixed(tuple(join(a, b) for a, b in zip(present.items, type_.items, strict=True)))
            return
        if class_of(present) is tuple and class_of(type_) is tuple:
            flat[i] = Instance(tuple, (join(element(present), element(type_)),))
            return
        if isinstance(present, Instance) and isinstance(type_, Instance) and present.cls is type_.cls:
            args = zip(present.args, type_.args, strict=True)
            flat[i] = Instance(type_.cls, tuple(join(a, b) for a, b in args))
            return
    flat.append(type_)


def element(type_: StaticType) -> StaticType:
    """What a loop over it gives; UNKNOWN if that is not known. Ask `iterable` first."""
    results: list[StaticType] = []
    for member in members(type_):
        if isinstance(member, Fixed):
            results.append(join(*member.items))
        elif isinstance(member, Instance) and member.cls in ITERABLES and member.args:
            results.append(member.args[0])
        elif class_of(member) is str:
            results.append(STR)
        elif not iterable(member):
            continue
        else:
            return UNKNOWN
    return join(*results) if results else UNKNOWN


def iterable(type_: StaticType) -> bool:
    """False only if a loop over it is sure to fail."""
    if isinstance(type_, Either):
        return not type_.members or any(map(iterable, type_.members))
    if isinstance(type_, Function):
        return False
    cls = class_of(type_)
    return cls is None or cls is str or cls in ITERABLES or hasattr(cls, "__iter__")


def depth(type_: StaticType) -> int:
    if isinstance(type_, Instance):
        return 1 + max(map(depth, type_.args), default=0)
    if isinstance(type_, Fixed):
        return 1 + max(map(depth, type_.items), default=0)
    return max(map(depth, type_.members), default=0) if isinstance(type_, Either) else 0


def shallow(type_: StaticType) -> StaticType:
    """The type, or UNKNOWN if it is nested so deeply that it might grow for ever."""
    return UNKNOWN if depth(type_) > MAX_NESTING else type_


def from_annotation(annotation: Type) -> StaticType:
    """The type that an annotation of a tool, a method or a stub stands for."""
    origin: Any = get_origin(annotation)
    args = get_args(annotation)
    if annotation is Any or annotation is object or isinstance(annotation, str):
        return UNKNOWN
    if annotation is None or annotation is type(None):
        return NONE
    if isinstance(annotation, TypeVar):
        bound = annotation.__bound__
        return Variable(annotation.__name__, UNKNOWN if bound is None else from_annotation(bound))
    if origin is Literal:
        return join(*(NONE if a is None else Const(a, told=True) for a in args))
    if is_union(annotation):
        return join(*map(from_annotation, args))
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return Instance(tuple, (from_annotation(args[0]),))
        return Fixed(tuple(map(from_annotation, args)))
    if origin is Callable:
        arguments = args[0] if isinstance(args[0], list) else []
        return Callback(tuple(map(from_annotation, arguments)), from_annotation(args[1]))
    if isinstance(origin, type):
        return Instance(origin, tuple(map(from_annotation, args)))
    if keys := keys_of(annotation):
        return from_annotation(as_dict(keys))
    if annotation in (dict, Mapping):
        return Instance(dict, (UNKNOWN, UNKNOWN))
    if annotation in ITERABLES and annotation is not range:
        return Instance(annotation, (UNKNOWN,))
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        return Instance(annotation)
    return UNKNOWN


def could_be(type_: StaticType, wanted: StaticType, *, strict: bool) -> bool:
    """False only if no value of `type_` is accepted as `wanted`.

    `strict`: as tools check their arguments (a bool is no number, an iterator no list); else as Python does.
    """
    if isinstance(type_, Unknown | Variable) or isinstance(wanted, Unknown) or type_ == NEVER:
        return True
    if isinstance(type_, Either):
        return any(could_be(k, wanted, strict=strict) for k in type_.members)
    if isinstance(wanted, Either):
        return any(could_be(type_, w, strict=strict) for w in wanted.members)
    if isinstance(wanted, Variable):
        return could_be(type_, wanted.bound, strict=strict)
    if isinstance(wanted, Callback | Function):
        return isinstance(type_, Function)
    if isinstance(type_, Function | Callback):
        return False
    if isinstance(wanted, Const):
        return type_ == wanted if isinstance(type_, Const) else class_of(type_) is type(wanted.value)
    have = class_of(type_)
    want = class_of(wanted)
    if have is None or want is None:
        return True
    if want in (int, float) and have in (bool, int, float):
        return not (strict and have is bool) and not (want is int and have is float)
    if isinstance(wanted, Fixed):
        if isinstance(type_, Fixed):
            pairs = list(zip(type_.items, wanted.items, strict=False))
            return len(type_.items) == len(wanted.items) and all(
                could_be(a, b, strict=strict) for a, b in pairs
            )
        return have in (tuple, list)
    if want in (list, Sequence, tuple):
        lists = (list, tuple) if strict else (list, tuple, range, ITERATOR, VIEW, set, frozenset)
        return have in lists and could_be(element(type_), element_wanted(wanted), strict=strict)
    if want is Iterable:
        return iterable(type_) and could_be(element(type_), element_wanted(wanted), strict=strict)
    if want is dict and have is dict and isinstance(type_, Instance) and isinstance(wanted, Instance):
        return all(could_be(a, b, strict=strict) for a, b in zip(type_.args, wanted.args, strict=False))
    return issubclass(have, want) or (strict and want is Region and have in SHAPES)


def element_wanted(wanted: StaticType) -> StaticType:
    """The element type that an annotation such as `Sequence[T]` asks for."""
    return wanted.args[0] if isinstance(wanted, Instance) and wanted.args else UNKNOWN


def show(type_: StaticType) -> str:
    """The type in the words of Python, for messages."""
    if isinstance(type_, Either):
        return " | ".join(dict.fromkeys(map(show, type_.members))) or "nothing"
    if isinstance(type_, Const):
        return type(type_.value).__name__
    if isinstance(type_, Fixed):
        return f"tuple[{', '.join(map(show, type_.items))}]"
    if isinstance(type_, Function):
        return f"the function {type_.name}" if type_.name else "a function"
    if isinstance(type_, Instance):
        if is_none(type_):
            return "None"
        if type_.cls is types.ModuleType:
            return "math"
        name = {ITERATOR: "iterator", VIEW: "collection", Sequence: "list", Iterable: "iterable"}.get(
            type_.cls, type_.cls.__name__
        )
        if type_.cls is tuple and type_.args:
            return f"tuple[{show(type_.args[0])}, ...]"
        known = [a for a in type_.args if a not in (UNKNOWN, NEVER)]
        return (
            f"{name}[{', '.join(map(show, type_.args))}]" if known and len(known) == len(type_.args) else name
        )
    return "any value"

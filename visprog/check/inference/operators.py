"""Arithmetic, comparison and subscripts: the type of the result, or None if Python is sure to raise."""

from __future__ import annotations

import ast
from itertools import product

from ...values import Located
from .types import (
    BOOL,
    FLOAT,
    INT,
    ITERATOR,
    NEVER,
    STR,
    UNKNOWN,
    VIEW,
    Const,
    Fixed,
    Function,
    Instance,
    StaticType,
    Variable,
    class_of,
    element,
    is_none,
    is_number,
    iterable,
    join,
    members,
    widen,
)

SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%", ast.Pow: "**",
    ast.BitOr: "|", ast.BitAnd: "&", ast.BitXor: "^", ast.LShift: "<<", ast.RShift: ">>",
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
    ast.UAdd: "+", ast.USub: "-", ast.Invert: "~", ast.Not: "not",
}  # fmt: skip

_BITWISE = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.LShift, ast.RShift)
_SETS = (set, frozenset, VIEW)


def vague(type_: StaticType) -> bool:
    """True if nothing is known: unknown, a type variable, or a value that cannot come about."""
    return type_ in (UNKNOWN, NEVER) or isinstance(type_, Variable)


def binary(operator: ast.operator, left: StaticType, right: StaticType) -> StaticType | None:
    """`left operator right`, over all alternatives of both; None only if each pair of them fails."""
    if vague(left) or vague(right):
        return UNKNOWN
    results = [_binary(operator, a, b) for a, b in product(members(left), members(right))]
    possible = [r for r in results if r is not None]
    return join(*possible) if possible else None


def _binary(operator: ast.operator, left: StaticType, right: StaticType) -> StaticType | None:
    if vague(left) or vague(right):
        return UNKNOWN
    a, b = class_of(left), class_of(right)
    if is_number(left) and is_number(right):
        if isinstance(operator, _BITWISE):
            if FLOAT.cls in (a, b):
                return None
            return BOOL if a is b is bool and not isinstance(operator, ast.LShift | ast.RShift) else INT
        # A negative exponent gives a float: the sign is seldom known.
        real = isinstance(operator, ast.Div) or float in (a, b)
        return join(INT, FLOAT) if isinstance(operator, ast.Pow) and not real else FLOAT if real else INT
    if a is str and isinstance(operator, ast.Mod):
        return STR
    if isinstance(operator, ast.Mult):
        for sequence, number in ((left, b), (right, a)):
            if class_of(sequence) in (str, list, tuple) and number in (int, bool):
                return widen(sequence)
        return None
    if isinstance(operator, ast.Add):
        if a is b is str:
            return STR
        if isinstance(left, Fixed) and isinstance(right, Fixed):
            return Fixed(left.items + right.items)
        return join(widen(left), widen(right)) if a is b and a in (list, tuple) else None
    if isinstance(operator, ast.BitOr) and a is b is dict:
        return join(left, right)
    if a in _SETS and b in _SETS and isinstance(operator, ast.BitOr | ast.BitAnd | ast.BitXor | ast.Sub):
        held = (
            element(left)
            if isinstance(operator, ast.BitAnd | ast.Sub)
            else join(element(left), element(right))
        )
        return Instance(set, (held,))
    return None if _closed(left) and _closed(right) else UNKNOWN


def _closed(type_: StaticType) -> bool:
    """True for types all of whose operators are known here."""
    cls = class_of(type_)
    known = (bool, int, float, str, list, tuple, dict, set, range, type(None), ITERATOR, VIEW)
    return (
        isinstance(type_, Function)
        or cls in known
        or (cls is not None and cls.__module__.startswith("visprog."))
    )


def comparable(operator: ast.cmpop, left: StaticType, right: StaticType) -> bool:
    """False if the comparison is sure to raise."""
    if vague(left) or vague(right):
        return True
    return any(_comparable(operator, a, b) for a, b in product(members(left), members(right)))


def _comparable(operator: ast.cmpop, left: StaticType, right: StaticType) -> bool:
    if vague(left) or vague(right) or isinstance(operator, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
        return True
    a, b = class_of(left), class_of(right)
    if isinstance(operator, ast.In | ast.NotIn):
        if b is str:
            return a is str or not _closed(left)
        return iterable(right)
    if (is_number(left) and is_number(right)) or a is b is str:
        return True
    if a is b and a in (list, tuple):
        return comparable(operator, element(left), element(right))
    return (a in _SETS and b in _SETS) or not (_closed(left) and _closed(right))


def never_equal(left: StaticType, right: StaticType) -> bool:
    """True if `==` of the two is sure to be False, whatever their values."""
    return all(_never_equal(a, b) for a, b in product(members(left), members(right)))


def _never_equal(left: StaticType, right: StaticType) -> bool:
    groups = [_group(left), _group(right)]
    return None not in groups and groups[0] != groups[1]


def never_told(left: StaticType, right: StaticType) -> tuple[list[str], str] | None:
    """The texts that a declaration names for one side, and one that the other side is instead; None if they may be
    equal."""
    for told, other in ((left, right), (right, left)):
        named = [
            m.value for m in members(told) if isinstance(m, Const) and m.told and isinstance(m.value, str)
        ]
        given = [m.value for m in members(other) if isinstance(m, Const) and isinstance(m.value, str)]
        whole = len(named) == len(members(told)) and len(given) == len(members(other))
        if whole and named and given and not set(named) & set(given):
            return named, given[0]
    return None


def _group(type_: StaticType) -> object:
    """What a value can be equal to; None if that is not known, and for None, which all is compared to."""
    if isinstance(type_, Function):
        return "function"
    cls = class_of(type_)
    if is_none(type_) or cls is None:
        return None
    if is_number(type_):
        return "number"
    if (
        cls in (str, list, tuple, dict, set, range)
        or issubclass(cls, Located)
        or cls.__module__.startswith("visprog.")
    ):
        return cls
    return None


def subscript(type_: StaticType, index: StaticType, *, is_slice: bool) -> StaticType | None:
    """`type_[index]`; None if it is sure to raise."""
    if vague(type_):
        return UNKNOWN
    results = [_subscript(k, index, is_slice) for k in members(type_)]
    possible = [r for r in results if r is not None]
    return join(*possible) if possible else None


def _subscript(type_: StaticType, index: StaticType, is_slice: bool) -> StaticType | None:
    cls = class_of(type_)
    if isinstance(type_, Function):
        return None
    if vague(type_) or cls is None:
        return UNKNOWN
    if is_slice:
        if isinstance(type_, Fixed):
            return widen(type_)
        return widen(type_) if cls in (str, list, tuple, range) else None if _closed(type_) else UNKNOWN
    if cls is dict and isinstance(type_, Instance):
        return type_.args[1] if type_.args and type_.args[1] != NEVER else UNKNOWN
    if cls in (str, list, tuple, range):
        if (
            not any(vague(i) or class_of(i) in (int, bool) or not _closed(i) for i in members(index))
            and index != NEVER
        ):
            return None
        if isinstance(type_, Fixed) and isinstance(index, Const) and isinstance(index.value, int):
            inside = -len(type_.items) <= index.value < len(type_.items)
            return type_.items[index.value] if inside else None
        return element(type_) if element(type_) != NEVER else UNKNOWN
    return None if _closed(type_) else UNKNOWN

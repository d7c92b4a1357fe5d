"""What a condition says about the variables in it: types after `if x`, `x is None`, `isinstance(x, str)`."""

from __future__ import annotations

import ast
from collections.abc import Callable

from .signatures import Builtin, Class
from .types import (
    NONE,
    UNKNOWN,
    Const,
    Fixed,
    Function,
    Instance,
    StaticType,
    Unknown,
    class_of,
    from_annotation,
    is_none,
    join,
    members,
)

Lookup = Callable[[str], StaticType | None]

BUILTIN_TYPES: dict[str, type] = {
    t.__name__: t for t in (bool, int, float, str, list, tuple, dict, set, frozenset, range)
}


def narrow(test: ast.expr, truth: bool, find: Lookup) -> dict[str, StaticType]:
    """The types of the variables in `test`, where it came out as `truth`."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return narrow(test.operand, not truth, find)
    if isinstance(test, ast.BoolOp):
        if isinstance(test.op, ast.And) is not truth:
            return {}
        known: dict[str, StaticType] = {}

        def find_next(name: str) -> StaticType | None:
            return known[name] if name in known else find(name)

        for part in test.values:
            known.update(narrow(part, truth, find_next))
        return known
    name = _name(test)
    if name is not None:
        return _keep(name, find, lambda k: may_be(k, truth))
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return _comparison(test, truth, find)
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Name) and len(test.args) == 2:
        subject = _name(test.args[0])
        if test.func.id == "isinstance" and subject is not None:
            return _isinstance(subject, test.args[1], truth, find)
    return {}


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.NamedExpr):
        node = node.target
    return node.id if isinstance(node, ast.Name) else None


def _keep(name: str, find: Lookup, wanted: Callable[[StaticType], bool]) -> dict[str, StaticType]:
    type_ = find(name)
    if type_ is None or type_ == UNKNOWN:
        return {}
    return {name: join(*(k for k in members(type_) if wanted(k)))}


def may_be(type_: StaticType, truth: bool) -> bool:
    """Whether a value of one alternative can be true (or false) in a condition."""
    if isinstance(type_, Const):
        return bool(type_.value) is truth
    if is_none(type_):
        return not truth
    if isinstance(type_, Fixed):
        return bool(type_.items) is truth
    if isinstance(type_, Instance) and type_.cls.__module__.startswith("visprog."):
        return truth
    return truth or not isinstance(type_, Function)


def _comparison(test: ast.Compare, truth: bool, find: Lookup) -> dict[str, StaticType]:
    left, right, operator = test.left, test.comparators[0], test.ops[0]
    if isinstance(left, ast.Constant) and left.value is None:
        left, right = right, left
    name = _name(left)
    if name is None or not (isinstance(right, ast.Constant) and right.value is None):
        return {}
    if isinstance(operator, ast.Is | ast.Eq):
        wants_none = truth
    elif isinstance(operator, ast.IsNot | ast.NotEq):
        wants_none = not truth
    else:
        return {}
    if wants_none and find(name) == UNKNOWN:
        return {name: NONE}
    return _keep(name, find, lambda k: is_none(k) is wants_none or isinstance(k, Unknown))


def _isinstance(name: str, wanted: ast.expr, truth: bool, find: Lookup) -> dict[str, StaticType]:
    classes = []
    for part in wanted.elts if isinstance(wanted, ast.Tuple) else [wanted]:
        named = find(part.id) if isinstance(part, ast.Name) else None
        if isinstance(named, Builtin) and named.name in BUILTIN_TYPES:
            classes.append(BUILTIN_TYPES[named.name])
        elif isinstance(named, Class):
            classes.append(named.cls)
        else:
            return {}
    if find(name) == UNKNOWN:
        return {name: join(*map(from_annotation, classes))} if truth else {}

    def fits(type_: StaticType) -> bool:
        cls = class_of(type_)
        return cls is None or issubclass(cls, tuple(classes)) is truth

    return _keep(name, find, fits)


_OUTCOMES = {
    ast.Lt: {"<"}, ast.LtE: {"<", "="}, ast.Gt: {">"}, ast.GtE: {">", "="},
    ast.Eq: {"="}, ast.NotEq: {"<", ">"},
}  # fmt: skip
_MIRRORED = {"<": ">", ">": "<", "=": "="}


def exhaustive(tests: list[ast.expr], *, whole_numbers: bool) -> bool:
    """True if one of the tests is sure to hold: `x` and `not x`; `a < b`, `a == b` and `a > b`; `n == 0`
    and `n > 0` of a count (`whole_numbers`: what they compare is a whole number, taken to be one)."""
    texts = {ast.dump(t) for t in tests}
    if any(
        isinstance(t, ast.UnaryOp) and isinstance(t.op, ast.Not) and ast.dump(t.operand) in texts
        for t in tests
    ):
        return True
    outcomes: dict[tuple[str, str], set[str]] = {}
    numbers: dict[str, list[tuple[set[str], float]]] = {}
    for test in tests:
        if not isinstance(test, ast.Compare) or len(test.ops) != 1 or type(test.ops[0]) not in _OUTCOMES:
            continue
        found = _OUTCOMES[type(test.ops[0])]
        left, right = ast.dump(test.left), ast.dump(test.comparators[0])
        outcomes.setdefault((left, right), set()).update(found)
        outcomes.setdefault((right, left), set()).update(_MIRRORED[f] for f in found)
        value = getattr(test.comparators[0], "value", None)
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers.setdefault(left, []).append((found, value))
    return any(len(found) == 3 for found in outcomes.values()) or any(
        _covers(bounds, whole_numbers) for bounds in numbers.values()
    )


def _covers(bounds: list[tuple[set[str], float]], whole: bool) -> bool:
    step = 1.0 if whole else 1e-6
    points = {value + d for _, value in bounds for d in (-step, 0.0, step)}
    if whole:
        points = {p for p in points if p >= 0}
    return all(
        any(("<" if p < value else ">" if p > value else "=") in found for found, value in bounds)
        for p in points
    )

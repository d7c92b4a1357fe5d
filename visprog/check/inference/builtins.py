"""Built-in functions whose result depends on how they are called, beyond what a signature can say."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ..hints import brief, conversion
from .calls import Argument, Arguments, call
from .operators import binary, comparable
from .signatures import builtin
from .types import (
    BOOL,
    FLOAT,
    INT,
    ITERATOR,
    NEVER,
    NONE,
    STR,
    UNKNOWN,
    Const,
    Fixed,
    Function,
    Instance,
    Kind,
    could_be,
    element,
    is_none,
    is_number,
    iterable,
    join,
    members,
    show,
    widen,
)

if TYPE_CHECKING:
    from .infer import Inference

Special = Callable[["Inference", Arguments, ast.Call], Kind]


def call_builtin(engine: Inference, name: str, arguments: Arguments, node: ast.Call) -> Kind:
    """The type of `name(…)`; what is wrong with the arguments is reported."""
    special = SPECIAL.get(name)
    if special is not None:
        return special(engine, arguments, node)
    signature = builtin(name)
    if signature is None:
        return UNKNOWN
    result = call(signature, arguments, node, engine.findings, engine.invoke)
    if name == "sorted" and arguments.by_position and arguments.named("key") in (None, NONE):
        need_order(engine, "sorted", element(arguments.kinds[0]), arguments.by_position[0].node)
    return result


def need_order(engine: Inference, name: str, kind: Kind, node: ast.expr) -> None:
    """Report things that have no order of their own, such as regions."""
    if not comparable(ast.Lt(), kind, kind):
        engine.findings.add(
            "operand-types", node, f"{name} cannot order values of type {show(kind)}",
            "say by what: key=lambda x: x.area, x.score, x.left, …",
        )  # fmt: skip


def _need_iterable(engine: Inference, name: str, argument: Argument) -> bool:
    if iterable(argument.kind):
        return True
    engine.findings.add(
        "argument-type", argument.node, f"{name} needs something to loop over, not {show(argument.kind)}",
        conversion(argument.kind, Instance(list, (UNKNOWN,)), argument.node),
    )  # fmt: skip
    return False


def _extreme(name: str) -> Special:
    def special(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
        if not arguments.by_position:
            if arguments.plain:
                engine.findings.add("missing-argument", node, f"{name} needs at least one value", None)
            return UNKNOWN
        if arguments.more_by_position:
            return UNKNOWN
        if len(arguments.by_position) == 1:
            if not _need_iterable(engine, name, arguments.by_position[0]):
                return UNKNOWN
            item = element(arguments.kinds[0])
        else:
            item = join(*arguments.kinds)
        key = arguments.named("key")
        if isinstance(key, Function):
            need_order(engine, name, engine.invoke(key, [item], node), arguments.by_name["key"].node)
        elif key in (None, NONE):
            need_order(engine, name, item, node)
        return join(item, arguments.named("default") or NEVER)

    return special


def _sum(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    if not arguments.by_position or not _need_iterable(engine, "sum", arguments.by_position[0]):
        return UNKNOWN
    start = arguments.kinds[1] if len(arguments.by_position) > 1 else arguments.named("start") or INT
    item = element(arguments.kinds[0])
    total = binary(ast.Add(), start, item)
    if total is None:
        engine.findings.add(
            "argument-type", arguments.by_position[0].node,
            f"sum adds numbers, not values of type {show(item)}",
            f"write len({brief(arguments.by_position[0].node)}) to count them, or sum a number of each",
        )  # fmt: skip
        return UNKNOWN
    return join(widen(start), total) if item != NEVER else widen(start)


def _round(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    signature = builtin("round")
    if signature is not None:
        call(signature, arguments, node, engine.findings, engine.invoke)
    digits = arguments.kinds[1] if len(arguments.by_position) > 1 else arguments.named("digits")
    return INT if digits is None or is_none(digits) else FLOAT


def _power(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    if len(arguments.by_position) != 2:
        return UNKNOWN
    return binary(ast.Pow(), *arguments.kinds) or UNKNOWN


def _divmod(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    if len(arguments.by_position) != 2:
        return UNKNOWN
    quotient, rest = (binary(op, *arguments.kinds) for op in (ast.FloorDiv(), ast.Mod()))
    return Fixed((quotient, rest)) if quotient and rest else UNKNOWN


def _zip(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    fine = [_need_iterable(engine, "zip", a) for a in arguments.by_position]
    if not all(fine) or not arguments.plain:
        return UNKNOWN
    return Instance(ITERATOR, (Fixed(tuple(map(element, arguments.kinds))),))


def _map(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    fine = [_need_iterable(engine, "map", a) for a in arguments.by_position[1:]]
    if len(arguments.by_position) < 2 or not all(fine) or not arguments.plain:
        return Instance(ITERATOR, (UNKNOWN,))
    made = engine.invoke(arguments.kinds[0], [element(k) for k in arguments.kinds[1:]], node.args[0])
    return Instance(ITERATOR, (made,))


def _range(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    for argument in arguments.by_position:
        if not could_be(argument.kind, INT, strict=False):
            whole = "use // for a whole number" if is_number(argument.kind) else None
            engine.findings.add(
                "argument-type", argument.node, f"range counts in whole numbers, not {show(argument.kind)}",
                whole or conversion(argument.kind, INT, argument.node),
            )  # fmt: skip
    return Instance(range, (INT,))


def _dict(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    keys: list[Kind] = [STR] if arguments.by_name else []
    values = [a.kind for a in arguments.by_name.values()]
    if not arguments.plain:
        return Instance(dict, (UNKNOWN, UNKNOWN))
    for kind in arguments.kinds[:1]:
        for member in members(kind):
            pair = element(member)
            if isinstance(member, Instance) and member.cls is dict:
                keys.append(member.args[0])
                values.append(member.args[1])
            elif isinstance(pair, Fixed) and len(pair.items) == 2:
                keys.append(pair.items[0])
                values.append(pair.items[1])
            else:
                return Instance(dict, (UNKNOWN, UNKNOWN))
    return Instance(dict, (join(*keys), join(*values)))


def _constant(kind: Kind) -> Special:
    def special(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
        return kind

    return special


def _bool(engine: Inference, arguments: Arguments, node: ast.Call) -> Kind:
    value = arguments.kinds[0] if arguments.by_position else UNKNOWN
    return value if isinstance(value, Const) and isinstance(value.value, bool) else BOOL


SPECIAL: Mapping[str, Special] = {
    "bool": _bool,
    "dict": _dict,
    "divmod": _divmod,
    "getattr": _constant(UNKNOWN),
    "hasattr": _constant(BOOL),
    "isinstance": _constant(BOOL),
    "map": _map,
    "max": _extreme("max"),
    "min": _extreme("min"),
    "pow": _power,
    "print": _constant(NONE),
    "range": _range,
    "round": _round,
    "sum": _sum,
    "zip": _zip,
}

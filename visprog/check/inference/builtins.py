"""Built-in functions whose result depends on how they are called, beyond what a signature can say."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from ..hints import brief, conversion
from .calls import Argument, Arguments, Caller
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
    StaticType,
    class_of,
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

Special = Callable[[Caller, Arguments, ast.Call], StaticType]


def call_builtin(caller: Caller, name: str, arguments: Arguments, node: ast.Call) -> StaticType:
    """The type of `name(…)`; what is wrong with the arguments is reported."""
    special = SPECIAL.get(name)
    if special is not None:
        return special(caller, arguments, node)
    signature = builtin(name)
    if signature is None:
        return UNKNOWN
    result = caller.call(signature, arguments, node)
    if name == "sorted" and arguments.by_position and arguments.named("key") in (None, NONE):
        need_order(caller, "sorted", element(arguments.types[0]), arguments.by_position[0].node)
    return result


def need_order(caller: Caller, name: str, type_: StaticType, node: ast.expr) -> None:
    """Report values that have no order of their own, such as regions."""
    if not comparable(ast.Lt(), type_, type_):
        caller.diagnostics.add(
            "operand-types", node, f"{name} cannot order values of type {show(type_)}",
            "say by what: key=lambda x: x.area, x.score, x.left, …", name=name,
        )  # fmt: skip


def _need_iterable(caller: Caller, name: str, argument: Argument) -> bool:
    if iterable(argument.type):
        return True
    caller.diagnostics.add(
        "argument-type", argument.node, f"{name} needs something to loop over, not {show(argument.type)}",
        conversion(argument.type, Instance(list, (UNKNOWN,)), argument.node), name=name,
    )  # fmt: skip
    return False


def _extreme(name: str) -> Special:
    def special(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
        if not arguments.by_position:
            if arguments.plain:
                caller.diagnostics.add("missing-argument", node, f"{name} needs at least one value", None)
            return UNKNOWN
        if arguments.more_by_position:
            return UNKNOWN
        if len(arguments.by_position) == 1:
            if not _need_iterable(caller, name, arguments.by_position[0]):
                return UNKNOWN
            item = element(arguments.types[0])
        else:
            item = join(*arguments.types)
        key = arguments.named("key")
        if isinstance(key, Function):
            need_order(caller, name, caller.invoke(key, [item], node), arguments.by_name["key"].node)
        elif key in (None, NONE):
            need_order(caller, name, item, node)
        return join(item, arguments.named("default") or NEVER)

    return special


def _sum(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    if not arguments.by_position or not _need_iterable(caller, "sum", arguments.by_position[0]):
        return UNKNOWN
    start = arguments.types[1] if len(arguments.by_position) > 1 else arguments.named("start") or INT
    item = element(arguments.types[0])
    total = binary(ast.Add(), start, item)
    if total is None:
        caller.diagnostics.add(
            "argument-type", arguments.by_position[0].node,
            f"sum adds numbers, not values of type {show(item)}",
            f"write len({brief(arguments.by_position[0].node)}) to count them, or sum a number of each", name="sum",
        )  # fmt: skip
        return UNKNOWN
    return join(widen(start), total) if item != NEVER else widen(start)


def _round(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    signature = builtin("round")
    if signature is not None:
        caller.call(signature, arguments, node)
    digits = arguments.types[1] if len(arguments.by_position) > 1 else arguments.named("digits")
    return INT if digits is None or is_none(digits) else FLOAT


def _power(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    if len(arguments.by_position) != 2:
        return UNKNOWN
    return binary(ast.Pow(), *arguments.types) or UNKNOWN


def _divmod(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    if len(arguments.by_position) != 2:
        return UNKNOWN
    quotient, rest = (binary(op, *arguments.types) for op in (ast.FloorDiv(), ast.Mod()))
    return Fixed((quotient, rest)) if quotient and rest else UNKNOWN


def _zip(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    fine = [_need_iterable(caller, "zip", a) for a in arguments.by_position]
    if not all(fine) or not arguments.plain:
        return UNKNOWN
    return Instance(ITERATOR, (Fixed(tuple(map(element, arguments.types))),))


def _map(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    fine = [_need_iterable(caller, "map", a) for a in arguments.by_position[1:]]
    if len(arguments.by_position) < 2 or not all(fine) or not arguments.plain:
        return Instance(ITERATOR, (UNKNOWN,))
    made = caller.invoke(arguments.types[0], [element(k) for k in arguments.types[1:]], node.args[0])
    return Instance(ITERATOR, (made,))


def _reversed(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    given = arguments.types[0] if len(arguments.by_position) == 1 else UNKNOWN
    if any(class_of(k) in (str, dict) for k in members(given)):
        return Instance(ITERATOR, (element(given),))
    signature = builtin("reversed")
    return caller.call(signature, arguments, node) if signature is not None else UNKNOWN


def _range(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    for argument in arguments.by_position:
        if not could_be(argument.type, INT, strict=False):
            whole = "use // for a whole number" if is_number(argument.type) else None
            caller.diagnostics.add(
                "argument-type", argument.node, f"range counts in whole numbers, not {show(argument.type)}",
                whole or conversion(argument.type, INT, argument.node), name="range",
            )  # fmt: skip
    return Instance(range, (INT,))


def _dict(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    keys: list[StaticType] = [STR] if arguments.by_name else []
    values = [a.type for a in arguments.by_name.values()]
    if not arguments.plain:
        return Instance(dict, (UNKNOWN, UNKNOWN))
    for type_ in arguments.types[:1]:
        for member in members(type_):
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


def _constant(type_: StaticType) -> Special:
    def special(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
        return type_

    return special


def _bool(caller: Caller, arguments: Arguments, node: ast.Call) -> StaticType:
    value = arguments.types[0] if arguments.by_position else UNKNOWN
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
    "print": _constant(Instance(type(None), note="print gives None: return the value itself")),
    "range": _range,
    "reversed": _reversed,
    "round": _round,
    "sum": _sum,
    "zip": _zip,
}

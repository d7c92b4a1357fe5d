"""What changes a variable: assignment to names, tuples and items, and the methods that change a container."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from . import operators
from .context import Context
from .reports import report_loop
from .types import (
    NEVER,
    UNKNOWN,
    Fixed,
    Function,
    Instance,
    StaticType,
    class_of,
    element,
    iterable,
    join,
    list_of,
    members,
    show,
)

_ORDERED = "it changes the list in place and gives None: use {} instead"
IN_PLACE: Mapping[str, str] = {
    "sort": _ORDERED.format("sorted(…)"),
    "reverse": _ORDERED.format("list(reversed(…))"),
    **{
        name: f"{name}() changes its container in place and gives None: call it on a line of its own"
        for name in ("append", "extend", "insert", "remove", "clear", "add", "discard", "update")
    },
}
"""Methods that give None, and what to do about it."""


class Assignments:
    """Assignment to names, tuples and items, and growth of containers.

    Args:
        context: of the program.
        infer: gives the type of an expression.
    """

    def __init__(self, context: Context, infer: Callable[[ast.expr], StaticType]) -> None:
        self.context = context
        self.diagnostics = context.diagnostics
        self.infer = infer

    def store(self, target: ast.expr, type_: StaticType, value: ast.expr) -> None:
        """Assign a value of type `type_`, which `value` gives, to a target."""
        if isinstance(target, ast.Name):
            self.context.scope.bind(target.id, type_)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, type_, value)
        elif isinstance(target, ast.Starred):
            self.store(target.value, list_of(element(type_)), value)
        elif isinstance(target, ast.Subscript):
            container, index = self.infer(target.value), self.infer(target.slice)
            self._store_item(target, container, index, type_)
        elif isinstance(target, ast.Attribute):
            self.infer(target.value)

    def _unpack(self, target: ast.Tuple | ast.List, type_: StaticType, value: ast.expr) -> None:
        if not iterable(type_):
            report_loop(self.diagnostics, value, type_)
            type_ = NEVER
        stars = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
        wanted = len(target.elts)
        fixed = [m for m in members(type_) if isinstance(m, Fixed)]
        if type_ == NEVER or len(fixed) != len(members(type_)):
            for t in target.elts:
                self.store(
                    t, list_of(element(type_)) if isinstance(t, ast.Starred) else element(type_), value
                )
            return
        fitting = [m for m in fixed if len(m.items) == wanted or (stars and len(m.items) >= wanted - 1)]
        if not fitting:
            have = len(fixed[0].items)
            self.diagnostics.add(
                "bad-unpack",
                target,
                f"{wanted} names are given, for {have} values",
                f"unpack into {have} names",
            )
        for i, t in enumerate(target.elts):
            if stars and i == stars[0]:
                tail = wanted - 1 - i
                middle = [join(*m.items[i : len(m.items) - tail]) for m in fitting]
                self.store(t.value if isinstance(t, ast.Starred) else t, list_of(join(*middle)), value)
            else:
                at = i - wanted if stars and i > stars[0] else i
                self.store(t, join(*(m.items[at] for m in fitting)) if fitting else NEVER, value)

    def _store_item(
        self, target: ast.Subscript, container: StaticType, index: StaticType, type_: StaticType
    ) -> None:
        grown: list[StaticType] = []
        for member in members(container):
            if isinstance(member, Instance) and member.cls is list and member.args:
                item = element(type_) if isinstance(target.slice, ast.Slice) else type_
                grown.append(list_of(join(member.args[0], item)))
            elif isinstance(member, Instance) and member.cls is dict and member.args:
                grown.append(Instance(dict, (join(member.args[0], index), join(member.args[1], type_))))
            elif operators.vague(member) or (class_of(member) is None and not isinstance(member, Function)):
                return
        if grown:
            self.mutate(target.value, join(*grown))
        elif container != NEVER:
            self.diagnostics.add(
                "bad-subscript", target, f"{show(container)} cannot be changed by [ ]",
                "make a new value, or keep the parts in a list or dict",
            )  # fmt: skip

    def mutate(self, receiver: ast.expr, type_: StaticType) -> None:
        """The container that `receiver` names now holds more: it is of type `type_`."""
        if isinstance(receiver, ast.Name):
            owner = self.context.scope.owner(receiver.id)
            if owner is not None:
                owner.bind(receiver.id, type_)
                # What a condition narrowed, further in, stands on the variable itself too.
                outer = owner.parent.owner(receiver.id) if owner.passing and owner.parent else None
                if outer is not None:
                    outer.bind(receiver.id, type_)
            return
        key: ast.expr | None = None
        if isinstance(receiver, ast.Subscript):
            holder, key = receiver.value, receiver.slice
        elif isinstance(receiver, ast.Call) and isinstance(receiver.func, ast.Attribute) and receiver.args:
            if receiver.func.attr != "setdefault":
                return
            holder, key = receiver.func.value, receiver.args[0]
        else:
            return
        with self.diagnostics.mute():
            item = ast.copy_location(ast.Subscript(holder, key, ast.Store()), receiver)
            self._store_item(item, self.infer(holder), self.infer(key), type_)

    def mutate_by_method(self, receiver: ast.expr, method: str, given: list[StaticType]) -> None:
        """A method of a container was called: what it now holds."""
        if not given or method not in ("append", "insert", "extend", "add", "update", "setdefault"):
            return
        with self.diagnostics.mute():
            held = self.infer(receiver)
        grown: list[StaticType] = []
        for member in members(held):
            if not isinstance(member, Instance) or not member.args:
                return
            if member.cls is dict:
                grown.append(self._more_pairs(member, method, given))
            elif method in ("extend", "update"):
                grown.append(Instance(member.cls, (join(member.args[0], *map(element, given)),)))
            else:
                grown.append(Instance(member.cls, (join(member.args[0], given[-1]),)))
        self.mutate(receiver, join(*grown))

    def _more_pairs(self, held: Instance, method: str, given: list[StaticType]) -> StaticType:
        key, value = held.args
        if method == "setdefault" and len(given) == 2:
            return Instance(dict, (join(key, given[0]), join(value, given[1])))
        other = given[0]
        if method == "update" and isinstance(other, Instance) and other.cls is dict:
            return join(held, other)
        return Instance(dict, (UNKNOWN, UNKNOWN))

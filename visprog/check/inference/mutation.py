"""What changes a variable: assignment to names, tuples and items, and the methods that change a container."""

from __future__ import annotations

import ast
from abc import ABC, abstractmethod
from collections.abc import Mapping

from ...values import Located, Point
from .. import hints
from ..diagnostics import Findings
from . import operators
from .scope import Scope
from .types import (
    INT,
    NEVER,
    STR,
    UNKNOWN,
    Either,
    Fixed,
    Function,
    Instance,
    Kind,
    class_of,
    element,
    is_none,
    is_number,
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


class Mutation(ABC):
    """Assignment, and the reports that loops and subscripts share with it."""

    findings: Findings
    scope: Scope

    @abstractmethod
    def infer(self, node: ast.expr | None) -> Kind: ...

    def store(self, target: ast.expr, kind: Kind, value: ast.expr) -> None:
        """Assign a value of type `kind`, which `value` gives, to a target."""
        if isinstance(target, ast.Name):
            self.scope.bind(target.id, kind)
        elif isinstance(target, ast.Tuple | ast.List):
            self._unpack(target, kind, value)
        elif isinstance(target, ast.Starred):
            self.store(target.value, list_of(element(kind)), value)
        elif isinstance(target, ast.Subscript):
            container, index = self.infer(target.value), self.infer(target.slice)
            self._store_item(target, container, index, kind)
        elif isinstance(target, ast.Attribute):
            self.infer(target.value)

    def _unpack(self, target: ast.Tuple | ast.List, kind: Kind, value: ast.expr) -> None:
        if not iterable(kind):
            self.report_loop(value, kind)
            kind = NEVER
        stars = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
        wanted = len(target.elts)
        fixed = [m for m in members(kind) if isinstance(m, Fixed)]
        if kind == NEVER or len(fixed) != len(members(kind)):
            for t in target.elts:
                self.store(t, list_of(element(kind)) if isinstance(t, ast.Starred) else element(kind), value)
            return
        fitting = [m for m in fixed if len(m.items) == wanted or (stars and len(m.items) >= wanted - 1)]
        if not fitting:
            have = len(fixed[0].items)
            self.findings.add(
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

    def _store_item(self, target: ast.Subscript, container: Kind, index: Kind, kind: Kind) -> None:
        grown: list[Kind] = []
        for member in members(container):
            if isinstance(member, Instance) and member.cls is list and member.args:
                item = element(kind) if isinstance(target.slice, ast.Slice) else kind
                grown.append(list_of(join(member.args[0], item)))
            elif isinstance(member, Instance) and member.cls is dict and member.args:
                grown.append(Instance(dict, (join(member.args[0], index), join(member.args[1], kind))))
            elif operators.vague(member) or (class_of(member) is None and not isinstance(member, Function)):
                return
        if grown:
            self.mutate(target.value, join(*grown))
        elif container != NEVER:
            self.findings.add(
                "bad-subscript", target, f"{show(container)} cannot be changed by [ ]",
                "make a new value, or keep the parts in a list or dict",
            )  # fmt: skip

    def mutate(self, receiver: ast.expr, kind: Kind) -> None:
        """The container that `receiver` names now holds more: it is of type `kind`."""
        if isinstance(receiver, ast.Name):
            owner = self.scope.owner(receiver.id)
            if owner is not None:
                owner.bind(receiver.id, kind)
                # What a condition said of it, further in, stands on the variable itself too.
                outer = owner.parent.owner(receiver.id) if owner.passing and owner.parent else None
                if outer is not None:
                    outer.bind(receiver.id, kind)
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
        with self.findings.mute():
            item = ast.copy_location(ast.Subscript(holder, key, ast.Store()), receiver)
            self._store_item(item, self.infer(holder), self.infer(key), kind)

    def mutate_by_method(self, receiver: ast.expr, method: str, given: list[Kind]) -> None:
        """A method of a container was called: what it now holds."""
        if not given or method not in ("append", "insert", "extend", "add", "update", "setdefault"):
            return
        with self.findings.mute():
            held = self.infer(receiver)
        grown: list[Kind] = []
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

    def _more_pairs(self, held: Instance, method: str, given: list[Kind]) -> Kind:
        key, value = held.args
        if method == "setdefault" and len(given) == 2:
            return Instance(dict, (join(key, given[0]), join(value, given[1])))
        other = given[0]
        if method == "update" and isinstance(other, Instance) and other.cls is dict:
            return join(held, other)
        return Instance(dict, (UNKNOWN, UNKNOWN))

    # -- reports ---------------------------------------------------------------------------------

    def report_loop(self, node: ast.expr, kind: Kind) -> None:
        """Something is looped over or unpacked that has no parts."""
        text = hints.brief(node)
        hint = hints.conversion(kind, Instance(list, (UNKNOWN,)), node)
        cls = class_of(kind)
        if kind == INT or cls is int:
            hint = f"write range({text})"
        elif cls is Point:
            hint = f"use {text}.x and {text}.y"
        elif cls is not None and issubclass(cls, Located):
            hint = f"use {text}.left, .top, .right and .bottom, or put it into a list: [{text}]"
        elif is_number(kind):
            hint = f"write range(int({text}))"
        self.findings.add("not-iterable", node, f"{show(kind)} has no parts to loop over or unpack", hint)

    def report_subscript(self, node: ast.Subscript, kind: Kind, index: Kind) -> None:
        """A subscript that is sure to raise."""
        text = hints.brief(node.value)
        hint: str | None = None
        message = f"{show(kind)} cannot be indexed"
        member = next((m for m in members(kind) if not is_none(m)), kind)
        cls = class_of(member)
        if cls in (list, tuple, str) and not isinstance(node.slice, ast.Slice):
            if isinstance(member, Fixed) and class_of(index) is int:
                message = f"there are {len(member.items)} values, counted from 0"
            else:
                message = f"{show(kind)} is indexed by whole numbers, not {show(index)}"
                names = index == STR or class_of(index) is str
                hint = (
                    f"loop over it: [x for x in {text} if …]" if names else "write int(…), or // for division"
                )
        elif isinstance(kind, Function):
            hint = hints.conversion(kind, UNKNOWN, node.value) or f"call it: {text}(…)"
        elif cls is Point:
            hint = f"use {text}.x or {text}.y"
        elif cls is not None and issubclass(cls, Located):
            hint = f"use its attributes: {text}.left, .top, .right, .bottom, .center, …"
        elif is_none(member) and isinstance(member, Instance):
            hint = member.note or None
        elif isinstance(kind, Either) or cls is None:
            hint = None
        elif iterable(kind):
            hint = f"write list({text}) first"
        self.findings.add("bad-subscript", node, message, hint)

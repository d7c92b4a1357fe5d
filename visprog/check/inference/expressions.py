"""Types of expressions. What is sure to fail is reported once, and gives no value."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import hints
from ..diagnostics import name_position
from . import operators
from .assignments import Assignments
from .context import Context
from .members import attribute, suggest
from .narrow import may_be, narrow
from .reports import report_loop, report_subscript
from .scope import Scope
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
    Instance,
    StaticType,
    class_of,
    element,
    is_none,
    is_number,
    iterable,
    join,
    list_of,
    members,
    show,
    widen,
)


class Expressions:
    """Types of expressions in the current scope.

    Args:
        context: of the program.
        call: gives the type of a call.
        make_closure: gives the type of a `lambda`.
    """

    def __init__(
        self,
        context: Context,
        call: Callable[[ast.Call], StaticType],
        make_closure: Callable[[ast.Lambda], StaticType],
    ) -> None:
        self.context = context
        self.diagnostics = context.diagnostics
        self.assignments = Assignments(context, self.infer)
        self._call = call
        self._lambda = make_closure

    def infer(self, node: ast.expr | None) -> StaticType:
        """The type of an expression."""
        if node is None or self.context.exhausted:
            return UNKNOWN
        type_ = self._infer(node) if self.context.enter() else UNKNOWN
        self.context.leave()
        return type_

    def _infer(self, node: ast.expr) -> StaticType:
        visit: Callable[[ast.expr], StaticType] | None = getattr(
            self, f"_{type(node).__name__.lower()}", None
        )
        if visit is not None:
            return visit(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.infer(child)
        return UNKNOWN

    # -- literals --------------------------------------------------------------------------------

    def _constant(self, node: ast.Constant) -> StaticType:
        if node.value is None:
            return NONE
        if isinstance(node.value, bool | int | str):
            return Const(node.value)
        return FLOAT if isinstance(node.value, float) else UNKNOWN

    def _joinedstr(self, node: ast.JoinedStr) -> StaticType:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self._formatted(part)
        return STR

    def _formatted(self, node: ast.FormattedValue) -> None:
        type_ = self.infer(node.value)
        parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        for part in parts:
            if isinstance(part, ast.FormattedValue):
                self._formatted(part)
        last = parts[-1].value if parts and isinstance(parts[-1], ast.Constant) else None
        if not isinstance(last, str) or not last.endswith(tuple("feEgGd%")) or node.conversion != -1:
            return
        if type_ != NEVER and not any(is_number(k) or class_of(k) is None for k in members(type_)):
            self.diagnostics.add(
                "operand-types", node.value, f"the format '{last}' is for numbers, not {show(type_)}",
                hints.conversion(type_, FLOAT, node.value),
            )  # fmt: skip

    def _items(self, nodes: list[ast.expr]) -> list[StaticType]:
        types_ = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                types_.append(self.loop_over(node.value))
            else:
                types_.append(self.infer(node))
        return types_

    def _list(self, node: ast.List) -> StaticType:
        return list_of(join(*self._items(node.elts)))

    def _set(self, node: ast.Set) -> StaticType:
        return Instance(set, (join(*self._items(node.elts)),))

    def _tuple(self, node: ast.Tuple) -> StaticType:
        types_ = self._items(node.elts)
        if any(isinstance(e, ast.Starred) for e in node.elts):
            return Instance(tuple, (join(*types_),))
        return Fixed(tuple(types_))

    def _dict(self, node: ast.Dict) -> StaticType:
        keys, values = [], []
        for key, value in zip(node.keys, node.values, strict=True):
            type_ = self.infer(value)
            if key is not None:
                keys.append(self.infer(key))
                values.append(type_)
            elif isinstance(type_, Instance) and type_.cls is dict and type_.args:
                keys.append(type_.args[0])
                values.append(type_.args[1])
            else:
                return Instance(dict, (UNKNOWN, UNKNOWN))
        return Instance(dict, (join(*keys), join(*values)))

    # -- names and attributes --------------------------------------------------------------------

    def _name(self, node: ast.Name) -> StaticType:
        return self.context.lookup(node.id) or UNKNOWN

    def _namedexpr(self, node: ast.NamedExpr) -> StaticType:
        type_ = self.infer(node.value)
        if isinstance(node.target, ast.Name):
            self.context.scope.home.bind(node.target.id, type_)
        return type_

    def _attribute(self, node: ast.Attribute) -> StaticType:
        type_ = self.infer(node.value)
        if operators.vague(type_) or node.attr.startswith("_"):
            return UNKNOWN
        found = [attribute(k, node.attr) for k in members(widen(type_))]
        possible = [f for f in found if f is not None]
        if possible:
            return join(*possible)
        if all(map(is_none, members(type_))):
            note = next((k.note for k in members(type_) if isinstance(k, Instance)), "")
            self.diagnostics.add(
                "none-attribute", name_position(node),
                f"the value is None here, and None has no '{node.attr}'",
                note or f"test it first: if {hints.brief(node.value)} is not None", name=node.attr,
            )  # fmt: skip
        else:
            what = next(k for k in members(type_) if not is_none(k))
            self.diagnostics.add(
                "unknown-attribute", name_position(node), f"{show(what)} has no attribute '{node.attr}'",
                suggest(what, node.attr), name=node.attr,
            )  # fmt: skip
        return NEVER

    def _subscript(self, node: ast.Subscript) -> StaticType:
        type_ = self.infer(node.value)
        is_slice = isinstance(node.slice, ast.Slice)
        index = self.infer(node.slice)
        result = operators.subscript(type_, index, is_slice=is_slice)
        if result is None:
            report_subscript(self.diagnostics, node, type_, index)
            return NEVER
        return result

    # -- operators -------------------------------------------------------------------------------

    def _binop(self, node: ast.BinOp) -> StaticType:
        left, right = self.infer(node.left), self.infer(node.right)
        return self.combine(node, node.op, left, right, node.left, node.right)

    def combine(
        self,
        node: ast.expr | ast.stmt,
        op: ast.operator,
        left: StaticType,
        right: StaticType,
        at_left: ast.expr,
        at_right: ast.expr,
    ) -> StaticType:
        """The type of `left op right`, reported at `node` if there is none."""
        result = operators.binary(op, left, right)
        if result is None:
            symbol = operators.SYMBOLS.get(type(op), "?")
            self.diagnostics.add(
                "operand-types", node, f"'{symbol}' does not work between {show(left)} and {show(right)}",
                hints.operands(symbol, left, right, at_left, at_right),
            )  # fmt: skip
            return NEVER
        return result

    def _unaryop(self, node: ast.UnaryOp) -> StaticType:
        type_ = self.infer(node.operand)
        if isinstance(node.op, ast.Not):
            return BOOL
        if isinstance(type_, Const) and isinstance(node.op, ast.USub) and type(type_.value) is int:
            return Const(-type_.value)
        if operators.vague(type_) or any(is_number(k) or class_of(k) is None for k in members(type_)):
            numbers = [INT if class_of(k) is bool else widen(k) for k in members(type_) if is_number(k)]
            return join(*numbers) if numbers and len(numbers) == len(members(type_)) else UNKNOWN
        symbol = operators.SYMBOLS[type(node.op)]
        self.diagnostics.add("operand-types", node, f"'{symbol}' does not work on {show(type_)}", None)
        return NEVER

    def _boolop(self, node: ast.BoolOp) -> StaticType:
        stops_at = isinstance(node.op, ast.Or)
        results: list[StaticType] = []
        scope = self.context.scope
        with self.context.within(scope):
            for i, value in enumerate(node.values):
                type_ = self.infer(value)
                last = i == len(node.values) - 1
                results.append(type_ if last else join(*(k for k in members(type_) if may_be(k, stops_at))))
                self.context.scope = self.context.given(value, not stops_at)
        return join(*results)

    def _ifexp(self, node: ast.IfExp) -> StaticType:
        self.infer(node.test)
        with self.context.within(self.context.given(node.test, True)):
            body = self.infer(node.body)
        with self.context.within(self.context.given(node.test, False)):
            return join(body, self.infer(node.orelse))

    def _compare(self, node: ast.Compare) -> StaticType:
        left_node, left = node.left, self.infer(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.infer(right_node)
            self._compare_two(node, op, left, right, left_node, right_node)
            left_node, left = right_node, right
        return BOOL

    def _compare_two(
        self,
        node: ast.Compare,
        op: ast.cmpop,
        left: StaticType,
        right: StaticType,
        at_left: ast.expr,
        at_right: ast.expr,
    ) -> None:
        symbol = operators.SYMBOLS[type(op)]
        hint = hints.operands(symbol, left, right, at_left, at_right)
        if not operators.comparable(op, left, right):
            self.diagnostics.add(
                "operand-types",
                node,
                f"'{symbol}' does not work between {show(left)} and {show(right)}",
                hint,
            )
            return
        if isinstance(op, ast.In | ast.NotIn):
            other = element(right)
            hint = None
            if class_of(left) is str and hasattr(class_of(other), "label"):
                hint = f"write any(x.label == {hints.brief(at_left)} for x in {hints.brief(at_right)})"
        elif isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
            other = right
        else:
            return
        if left == NEVER or other == NEVER:
            return
        outcome = isinstance(op, ast.NotEq | ast.NotIn | ast.IsNot)
        strange = operators.never_told(left, other)
        if strange is not None:
            values, value = strange
            self.diagnostics.add(
                "always-same", node,
                f"this is always {outcome}: the value is one of {', '.join(map(repr, values))}, never {value!r}",
                hints.instead_of(value, values),
            )  # fmt: skip
            return
        if not operators.never_equal(left, other):
            return
        counted = (is_number(left) and class_of(right) is list) or (
            is_number(right) and class_of(left) is list
        )
        text = at_left if class_of(left) is str else at_right if class_of(other) is str else None
        taken = (
            text is not None
            and any(all(map(is_number, members(side))) for side in (left, other))
            and self.context.text_uses.is_only(node, text)
        )
        if taken and "verify" in self.context.registry and bool in (class_of(left), class_of(other)):
            hint = f"ask verify(…) in place of a text, or {hint}"
        self.diagnostics.add(
            "always-same", node,
            f"this is always {outcome}: {show(left)} and {show(other)} are never equal", hint,
            "error" if counted or taken else "warning",
        )  # fmt: skip

    # -- comprehensions --------------------------------------------------------------------------

    def loop_over(self, node: ast.expr) -> StaticType:
        """The type of what a loop over the expression gives."""
        type_ = self.infer(node)
        if not iterable(type_):
            report_loop(self.diagnostics, node, type_)
            return NEVER
        return element(type_)

    @contextmanager
    def _generators(self, generators: list[ast.comprehension]) -> Iterator[None]:
        with self.context.within(Scope({}, self.context.scope, passing=True)) as scope:
            for part in generators:
                self.assignments.store(part.target, self.loop_over(part.iter), part.iter)
                for test in part.ifs:
                    self.infer(test)
                    scope.variables.update(narrow(test, True, self.context.lookup))
            yield

    def _listcomp(self, node: ast.ListComp) -> StaticType:
        with self._generators(node.generators):
            return list_of(self.infer(node.elt))

    def _setcomp(self, node: ast.SetComp) -> StaticType:
        with self._generators(node.generators):
            return Instance(set, (self.infer(node.elt),))

    def _generatorexp(self, node: ast.GeneratorExp) -> StaticType:
        with self._generators(node.generators):
            return Instance(ITERATOR, (self.infer(node.elt),))

    def _dictcomp(self, node: ast.DictComp) -> StaticType:
        with self._generators(node.generators):
            return Instance(dict, (self.infer(node.key), self.infer(node.value)))

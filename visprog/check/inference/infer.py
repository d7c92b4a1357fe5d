"""The types of expressions. What is sure to fail is reported once, and gives no value."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType

from visprog.sandbox import policy

from ...registry import Registry
from ...values.library import LIBRARY
from .. import hints
from ..diagnostics import Findings, name_position
from . import operators
from .members import attribute, suggest
from .mutation import Mutation
from .narrow import may_be, narrow
from .scope import Scope
from .signatures import CLASSES, Builtin, Class, Closure, constructor, from_tool
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
    widen,
)

MAX_STEPS = 50_000
"""Expressions looked at. A program that needs more (functions that call functions …) is not followed on."""

MAX_DEPTH = 140
"""Expressions, statements and calls inside one another; Python's own stack holds a multiple of it."""


class Inference(Mutation):
    """Types of expressions in the current scope."""

    def __init__(self, registry: Registry, names: dict[str, Kind]) -> None:
        self.registry = registry
        self.findings = Findings()
        self.scope = Scope(names)
        self.steps = 0
        self.depth = 0

    def names(self, name: str) -> Kind | None:
        """What a name stands for, here."""
        found = self.scope.find(name)
        if found is not None:
            return found
        if name in self.registry:
            return from_tool(self.registry[name])
        if name in LIBRARY.names and isinstance(LIBRARY.names[name], type):
            cls = LIBRARY.names[name]
            return Class(cls, None if issubclass(cls, Exception) else constructor(cls))
        if name in CLASSES:
            return Class(CLASSES[name], None)
        if name == "math":
            return Instance(ModuleType)
        return Builtin(name) if name in policy.BUILTIN_NAMES else None

    @property
    def exhausted(self) -> bool:
        """The program is too much to follow; nothing more is said about it."""
        return self.steps > MAX_STEPS

    def enter_step(self) -> bool:
        """One more expression or statement is looked at; False where that would be too much."""
        self.steps += MAX_STEPS if self.depth > MAX_DEPTH else 1
        self.depth += 1
        return not self.exhausted

    def infer(self, node: ast.expr | None) -> Kind:
        """The type of an expression."""
        if node is None or self.exhausted:
            return UNKNOWN
        kind = self._infer(node) if self.enter_step() else UNKNOWN
        self.depth -= 1
        return kind

    def _infer(self, node: ast.expr) -> Kind:
        visit: Callable[[ast.expr], Kind] | None = getattr(self, f"_{type(node).__name__.lower()}", None)
        if visit is not None:
            return visit(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.infer(child)
        return UNKNOWN

    @contextmanager
    def within(self, scope: Scope) -> Iterator[Scope]:
        """Names are looked up and bound in `scope` for a while."""
        outer, self.scope = self.scope, scope
        try:
            yield scope
        finally:
            self.scope = outer

    def given(self, test: ast.expr, truth: bool) -> Scope:
        """A scope inside the current one, in which `test` came out as `truth`."""
        return Scope(narrow(test, truth, self.names), self.scope, passing=True)

    # -- literals --------------------------------------------------------------------------------

    def _constant(self, node: ast.Constant) -> Kind:
        if node.value is None:
            return NONE
        if isinstance(node.value, bool | int | str):
            return Const(node.value)
        return FLOAT if isinstance(node.value, float) else UNKNOWN

    def _joinedstr(self, node: ast.JoinedStr) -> Kind:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                self._formatted(part)
        return STR

    def _formatted(self, node: ast.FormattedValue) -> None:
        kind = self.infer(node.value)
        parts = node.format_spec.values if isinstance(node.format_spec, ast.JoinedStr) else []
        for part in parts:
            if isinstance(part, ast.FormattedValue):
                self._formatted(part)
        last = parts[-1].value if parts and isinstance(parts[-1], ast.Constant) else None
        if not isinstance(last, str) or not last.endswith(tuple("feEgGd%")) or node.conversion != -1:
            return
        if kind != NEVER and not any(is_number(k) or class_of(k) is None for k in members(kind)):
            self.findings.add(
                "operand-types", node.value, f"the format '{last}' is for numbers, not {show(kind)}",
                hints.conversion(kind, FLOAT, node.value),
            )  # fmt: skip

    def _items(self, nodes: list[ast.expr]) -> list[Kind]:
        kinds = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                kinds.append(self.loop_over(node.value))
            else:
                kinds.append(self.infer(node))
        return kinds

    def _list(self, node: ast.List) -> Kind:
        return list_of(join(*self._items(node.elts)))

    def _set(self, node: ast.Set) -> Kind:
        return Instance(set, (join(*self._items(node.elts)),))

    def _tuple(self, node: ast.Tuple) -> Kind:
        kinds = self._items(node.elts)
        if any(isinstance(e, ast.Starred) for e in node.elts):
            return Instance(tuple, (join(*kinds),))
        return Fixed(tuple(kinds))

    def _dict(self, node: ast.Dict) -> Kind:
        keys, values = [], []
        for key, value in zip(node.keys, node.values, strict=True):
            kind = self.infer(value)
            if key is not None:
                keys.append(self.infer(key))
                values.append(kind)
            elif isinstance(kind, Instance) and kind.cls is dict and kind.args:
                keys.append(kind.args[0])
                values.append(kind.args[1])
            else:
                return Instance(dict, (UNKNOWN, UNKNOWN))
        return Instance(dict, (join(*keys), join(*values)))

    # -- names and attributes --------------------------------------------------------------------

    def _name(self, node: ast.Name) -> Kind:
        return self.names(node.id) or UNKNOWN

    def _namedexpr(self, node: ast.NamedExpr) -> Kind:
        kind = self.infer(node.value)
        if isinstance(node.target, ast.Name):
            self.scope.home.bind(node.target.id, kind)
        return kind

    def _attribute(self, node: ast.Attribute) -> Kind:
        kind = self.infer(node.value)
        if operators.vague(kind) or node.attr.startswith("_"):
            return UNKNOWN
        found = [attribute(k, node.attr) for k in members(kind)]
        possible = [f for f in found if f is not None]
        if possible:
            return join(*possible)
        if all(map(is_none, members(kind))):
            note = next((k.note for k in members(kind) if isinstance(k, Instance)), "")
            self.findings.add(
                "none-attribute", name_position(node),
                f"the value is None here, and None has no '{node.attr}'",
                note or f"test it first: if {hints.brief(node.value)} is not None",
            )  # fmt: skip
        else:
            what = next(k for k in members(kind) if not is_none(k))
            self.findings.add(
                "unknown-attribute", name_position(node), f"{show(what)} has no attribute '{node.attr}'",
                suggest(what, node.attr),
            )  # fmt: skip
        return NEVER

    def _subscript(self, node: ast.Subscript) -> Kind:
        kind = self.infer(node.value)
        is_slice = isinstance(node.slice, ast.Slice)
        index = self.infer(node.slice)
        result = operators.subscript(kind, index, is_slice=is_slice)
        if result is None:
            self.report_subscript(node, kind, index)
            return NEVER
        return result

    # -- operators -------------------------------------------------------------------------------

    def _binop(self, node: ast.BinOp) -> Kind:
        left, right = self.infer(node.left), self.infer(node.right)
        return self.combine(node, node.op, left, right, node.left, node.right)

    def combine(
        self,
        node: ast.expr | ast.stmt,
        op: ast.operator,
        left: Kind,
        right: Kind,
        at_left: ast.expr,
        at_right: ast.expr,
    ) -> Kind:
        """The type of `left op right`, reported at `node` where there is none."""
        result = operators.binary(op, left, right)
        if result is None:
            symbol = operators.SYMBOLS.get(type(op), "?")
            self.findings.add(
                "operand-types", node, f"'{symbol}' does not work between {show(left)} and {show(right)}",
                hints.operands(symbol, left, right, at_left, at_right),
            )  # fmt: skip
            return NEVER
        return result

    def _unaryop(self, node: ast.UnaryOp) -> Kind:
        kind = self.infer(node.operand)
        if isinstance(node.op, ast.Not):
            return BOOL
        if isinstance(kind, Const) and isinstance(node.op, ast.USub) and type(kind.value) is int:
            return Const(-kind.value)
        if operators.vague(kind) or any(is_number(k) or class_of(k) is None for k in members(kind)):
            numbers = [INT if class_of(k) is bool else widen(k) for k in members(kind) if is_number(k)]
            return join(*numbers) if numbers and len(numbers) == len(members(kind)) else UNKNOWN
        symbol = operators.SYMBOLS[type(node.op)]
        self.findings.add("operand-types", node, f"'{symbol}' does not work on {show(kind)}", None)
        return NEVER

    def _boolop(self, node: ast.BoolOp) -> Kind:
        stops_at = isinstance(node.op, ast.Or)
        results: list[Kind] = []
        scope = self.scope
        with self.within(scope):
            for i, value in enumerate(node.values):
                kind = self.infer(value)
                last = i == len(node.values) - 1
                results.append(kind if last else join(*(k for k in members(kind) if may_be(k, stops_at))))
                self.scope = self.given(value, not stops_at)
        return join(*results)

    def _ifexp(self, node: ast.IfExp) -> Kind:
        self.infer(node.test)
        with self.within(self.given(node.test, True)):
            body = self.infer(node.body)
        with self.within(self.given(node.test, False)):
            return join(body, self.infer(node.orelse))

    def _compare(self, node: ast.Compare) -> Kind:
        left_node, left = node.left, self.infer(node.left)
        for op, right_node in zip(node.ops, node.comparators, strict=True):
            right = self.infer(right_node)
            self._compare_two(node, op, left, right, left_node, right_node)
            left_node, left = right_node, right
        return BOOL

    def _compare_two(
        self, node: ast.Compare, op: ast.cmpop, left: Kind, right: Kind, at_left: ast.expr, at_right: ast.expr
    ) -> None:
        symbol = operators.SYMBOLS[type(op)]
        hint = hints.operands(symbol, left, right, at_left, at_right)
        if not operators.comparable(op, left, right):
            self.findings.add(
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
        elif isinstance(op, ast.Eq | ast.NotEq):
            other = right
        else:
            return
        if left == NEVER or other == NEVER or not operators.never_equal(left, other):
            return
        outcome = isinstance(op, ast.NotEq | ast.NotIn)
        counted = (is_number(left) and class_of(right) is list) or (
            is_number(right) and class_of(left) is list
        )
        self.findings.add(
            "always-same", node,
            f"this is always {outcome}: {show(left)} and {show(other)} are never equal", hint,
            "error" if counted else "warning",
        )  # fmt: skip

    # -- what is in `functions` ------------------------------------------------------------------

    @abstractmethod
    def invoke(self, function: Kind, kinds: list[Kind], node: ast.expr) -> Kind:
        """Call a function that is an argument, on values of these types."""

    @abstractmethod
    def make_closure(self, node: ast.FunctionDef | ast.Lambda) -> Closure:
        """A function of the program, to be called."""

    # -- comprehensions and lambdas ------------------------------------------------------------

    def loop_over(self, node: ast.expr) -> Kind:
        """The type of what a loop over the expression gives."""
        kind = self.infer(node)
        if not iterable(kind):
            self.report_loop(node, kind)
            return NEVER
        return element(kind)

    @contextmanager
    def _generators(self, generators: list[ast.comprehension]) -> Iterator[None]:
        with self.within(Scope({}, self.scope, passing=True)) as scope:
            for part in generators:
                self.store(part.target, self.loop_over(part.iter), part.iter)
                for test in part.ifs:
                    self.infer(test)
                    scope.variables.update(narrow(test, True, self.names))
            yield

    def _listcomp(self, node: ast.ListComp) -> Kind:
        with self._generators(node.generators):
            return list_of(self.infer(node.elt))

    def _setcomp(self, node: ast.SetComp) -> Kind:
        with self._generators(node.generators):
            return Instance(set, (self.infer(node.elt),))

    def _generatorexp(self, node: ast.GeneratorExp) -> Kind:
        with self._generators(node.generators):
            return Instance(ITERATOR, (self.infer(node.elt),))

    def _dictcomp(self, node: ast.DictComp) -> Kind:
        with self._generators(node.generators):
            return Instance(dict, (self.infer(node.key), self.infer(node.value)))

    def _lambda(self, node: ast.Lambda) -> Kind:
        return self.make_closure(node)

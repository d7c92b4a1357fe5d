"""Statements: how types flow through branches, loops and functions, and which ways reach the end."""

from __future__ import annotations

import ast
from collections.abc import Callable
from types import ModuleType

from .. import hints
from ..phrases import catches_refusals
from .context import Context, Loop
from .functions import Functions, annotated
from .narrow import exhaustive, narrow
from .scope import State, merge
from .signatures import math_member
from .types import NONE, UNKNOWN, Instance, StaticType, class_of, element, iterable, join, list_of

MAX_ROUNDS = 4
"""Passes over a loop's body before what still changes is taken to be unknown."""


class Flow:
    """Types through statements. `block` and its like say whether the end of what they follow is reached.

    It is made of `functions`, which follow calls, these of `expressions`, and these of `assignments`.

    Args:
        context: of the program.
    """

    def __init__(self, context: Context) -> None:
        self.context = context
        self.diagnostics = context.diagnostics
        self.functions = Functions(context, self.block)
        self.expressions = self.functions.expressions
        self.assignments = self.expressions.assignments
        self._chains: dict[ast.If, list[ast.expr]] = {}

    # -- statements ------------------------------------------------------------------------------

    def block(self, statements: list[ast.stmt]) -> bool:
        return all(self.statement(statement) for statement in statements)

    def statement(self, node: ast.stmt) -> bool:
        reached = self._statement(node) if self.context.enter() else True
        self.context.leave()
        return reached

    def _statement(self, node: ast.stmt) -> bool:
        visit = getattr(self, f"_{type(node).__name__.lower()}_statement", None)
        if visit is not None:
            return visit(node) is not False
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.expressions.infer(child)
        return True

    def _functiondef_statement(self, node: ast.FunctionDef) -> None:
        self.context.scope.bind(node.name, self.functions.make_closure(node))

    def _classdef_statement(self, node: ast.ClassDef) -> None:
        self.context.scope.bind(node.name, UNKNOWN)

    _asyncfunctiondef_statement = _classdef_statement

    def _return_statement(self, node: ast.Return) -> bool:
        type_ = NONE if node.value is None else self.expressions.infer(node.value)
        self.context.frame.returns.append((node, type_))
        self.context.frame.states.append(dict(self.context.scope.variables))
        return False

    def _raise_statement(self, node: ast.Raise) -> bool:
        self.expressions.infer(node.exc)
        return False

    def _assert_statement(self, node: ast.Assert) -> bool:
        self.expressions.infer(node.test)
        self.expressions.infer(node.msg)
        self.context.scope.variables.update(narrow(node.test, True, self.context.lookup))
        return not (isinstance(node.test, ast.Constant) and not node.test.value)

    def _expr_statement(self, node: ast.Expr) -> None:
        type_ = self.expressions.infer(node.value)
        if not isinstance(node.value, ast.Call):
            return
        function = node.value.func
        name = function.id if isinstance(function, ast.Name) else ""
        dropped = (name in self.context.registry and self.context.scope.find(name) is None) or name in (
            "sorted",
            "reversed",
        )
        if isinstance(function, ast.Attribute) and type_ not in (NONE, UNKNOWN):
            with self.diagnostics.mute():
                dropped = class_of(self.expressions.infer(function.value)) is str
            name = f".{function.attr}"
        if dropped:
            self.diagnostics.add(
                "unused-result", node, f"the result of {name} is dropped: nothing is changed in place",
                f"keep it: result = {hints.brief(node.value)}", "warning", name=name.lstrip("."),
            )  # fmt: skip

    def _assign_statement(self, node: ast.Assign) -> None:
        type_ = self.expressions.infer(node.value)
        for target in node.targets:
            self.assignments.store(target, type_, node.value)

    def _annassign_statement(self, node: ast.AnnAssign) -> None:
        if node.value is None:
            return
        type_ = self.expressions.infer(node.value)
        self.assignments.store(
            node.target, annotated(node.annotation) if type_ == UNKNOWN else type_, node.value
        )

    def _augassign_statement(self, node: ast.AugAssign) -> None:
        left, right = self.expressions.infer(node.target), self.expressions.infer(node.value)
        if (
            isinstance(left, Instance)
            and left.cls is list
            and isinstance(node.op, ast.Add)
            and iterable(right)
        ):
            result: StaticType = list_of(join(left.args[0] if left.args else UNKNOWN, element(right)))
        else:
            result = self.expressions.combine(node, node.op, left, right, node.target, node.value)
        with self.diagnostics.mute():
            self.assignments.store(node.target, result, node.value)

    def _import_statement(self, node: ast.Import) -> None:
        for alias in node.names:
            self.context.scope.bind(
                alias.asname or alias.name, Instance(ModuleType) if alias.name == "math" else UNKNOWN
            )

    def _importfrom_statement(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            type_ = math_member(alias.name) if node.module == "math" else UNKNOWN
            if node.module not in ("typing", "__future__", "collections.abc"):
                self.context.scope.bind(alias.asname or alias.name, type_)

    def _delete_statement(self, node: ast.Delete) -> None:
        for target in node.targets:
            if not isinstance(target, ast.Name):
                self.expressions.infer(target)

    def _break_statement(self, node: ast.Break) -> bool:
        if self.context.frame.loops:
            self.context.frame.loops[-1].breaks.append(dict(self.context.scope.variables))
        return False

    def _continue_statement(self, node: ast.Continue) -> bool:
        if self.context.frame.loops:
            self.context.frame.loops[-1].continues.append(dict(self.context.scope.variables))
        return False

    # -- branches --------------------------------------------------------------------------------

    def _if_statement(self, node: ast.If) -> bool:
        self.expressions.infer(node.test)
        if len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
            self._chains[node.orelse[0]] = [*self._chains.get(node, []), node.test]
        before = self.context.scope.variables
        states: list[State | None] = []
        for truth, body in ((True, node.body), (False, node.orelse)):
            known = narrow(node.test, truth, self.context.lookup)
            self.context.scope.variables = {**before, **known}
            reached = _decided(node.test) is not (not truth) and self.block(body)
            states.append(self._unnarrowed(before, known) if reached else None)
        if not node.orelse and self._exhaustive(node):
            states[1] = None
        return self._go_on(merge(*states), before)

    def _exhaustive(self, node: ast.If) -> bool:
        """True if an `elif` chain without `else`, whose last link this is, leaves nothing out."""
        subject = node.test.left if isinstance(node.test, ast.Compare) else None
        with self.diagnostics.mute():
            whole = subject is not None and class_of(self.expressions.infer(subject)) is int
        return exhaustive([*self._chains.get(node, []), node.test], whole_numbers=whole)

    def _unnarrowed(self, before: State, known: State) -> State:
        """The variables after a branch; a name of an outer scope that was only narrowed is not kept."""
        now = self.context.scope.variables
        return {n: k for n, k in now.items() if n in before or n not in known or k is not known[n]}

    def _go_on(self, state: State | None, before: State) -> bool:
        self.context.scope.variables = before if state is None else state
        return state is not None

    def _try_statement(self, node: ast.Try) -> bool:
        seen = [dict(self.context.scope.variables)]
        reached = True
        caught = catches_refusals(node.handlers)
        self.context.catching += caught
        for statement in node.body:
            reached = self.statement(statement)
            seen.append(dict(self.context.scope.variables))
            if not reached:
                break
        self.context.catching -= caught
        states: list[State | None] = []
        after = dict(self.context.scope.variables)
        if reached:
            states.append(dict(self.context.scope.variables) if self.block(node.orelse) else None)
        # An error may come in the middle of a loop or branch, between two assignments.
        parts = [s for s in node.body if hasattr(s, "body")]
        anything = {
            n.id: UNKNOWN for s in parts for n in ast.walk(s) if isinstance(n, ast.Name) and _stored(n)
        }
        for handler in node.handlers:
            self.context.scope.variables = {**(merge(*seen) or {}), **anything}
            self.expressions.infer(handler.type)
            if handler.name:
                self.context.scope.bind(handler.name, UNKNOWN)
            states.append(dict(self.context.scope.variables) if self.block(handler.body) else None)
        state = merge(*states)
        self.context.scope.variables = state if state is not None else merge(after, *seen) or {}
        return self.block(node.finalbody) and state is not None

    # -- loops -----------------------------------------------------------------------------------

    def _for_statement(self, node: ast.For) -> bool:
        item = self.expressions.loop_over(node.iter)

        def begin() -> None:
            self.assignments.store(node.target, item, node.iter)

        return self._loop(node, begin, ends=True)

    def _while_statement(self, node: ast.While) -> bool:
        def begin() -> None:
            self.expressions.infer(node.test)
            self.context.scope.variables.update(
                {
                    n: k
                    for n, k in narrow(node.test, True, self.context.lookup).items()
                    if n in self.context.scope.variables
                }
            )

        return self._loop(node, begin, ends=_decided(node.test) is not True)

    def _loop(self, node: ast.For | ast.While, begin: Callable[[], None], *, ends: bool) -> bool:
        entry = dict(self.context.scope.variables)
        for i in range(MAX_ROUNDS + 1):
            with self.diagnostics.mute():
                after, loop = self._round(node, begin, entry)
            joined = merge(entry, after, *loop.continues) or entry
            if joined == entry:
                break
            entry = (
                joined
                if i < MAX_ROUNDS
                else {n: k if entry.get(n, k) == k else UNKNOWN for n, k in joined.items()}
            )
        if not self.diagnostics.muted:
            after, loop = self._round(node, begin, entry)
        tail: State | None = None
        if ends:
            tail = merge(entry, after, *loop.continues) or entry
            if isinstance(node, ast.While):
                self.context.scope.variables = dict(tail)
                known = narrow(node.test, False, self.context.lookup)
                tail.update({n: k for n, k in known.items() if n in tail})
            self.context.scope.variables = dict(tail)
            tail = dict(self.context.scope.variables) if self.block(node.orelse) else None
        return self._go_on(merge(tail, *loop.breaks), entry)

    def _round(
        self, node: ast.For | ast.While, begin: Callable[[], None], entry: State
    ) -> tuple[State | None, Loop]:
        """One pass over the body."""
        self.context.scope.variables = dict(entry)
        loop = Loop()
        self.context.frame.loops.append(loop)
        begin()
        reached = self.block(node.body)
        self.context.frame.loops.pop()
        return (dict(self.context.scope.variables) if reached else None), loop


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _decided(test: ast.expr) -> bool | None:
    """The value of a condition that is written as a constant."""
    return bool(test.value) if isinstance(test, ast.Constant) else None

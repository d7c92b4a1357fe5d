"""What all parts of the inference share: the tools, the diagnostics, and the state at the current statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType

from visprog.sandbox import BUILTIN_NAMES

from ...registry import Registry
from ...values.library import LIBRARY
from ..diagnostics import Diagnostics
from .narrow import narrow
from .scope import Scope, State, merge
from .signatures import CLASSES, Builtin, Class, constructor, from_tool
from .text_uses import TextUses
from .types import NONE, Instance, StaticType, join

MAX_STEPS = 50_000
"""Expressions and statements that are followed. A program that needs more (functions that call functions …) is
left there."""

MAX_DEPTH = 140
"""Expressions, statements and calls inside one another; Python's own stack holds a multiple of it."""


@dataclass
class Loop:
    """The ways out of a loop's body other than its end."""

    breaks: list[State] = field(default_factory=list)
    continues: list[State] = field(default_factory=list)


@dataclass
class FunctionFrame:
    """One call of a function of the program.

    Attributes:
        returns: each `return`, and the type of its value.
        states: how the variables stand at each way out.
        loops: those that the current statement is in.
        open_end: whether the end of the body is reached without a `return`.
    """

    returns: list[tuple[ast.Return, StaticType]] = field(default_factory=list)
    states: list[State] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    open_end: bool = False

    @property
    def result(self) -> StaticType:
        return join(*(type_ for _, type_ in self.returns), *([NONE] if self.open_end else []))

    @property
    def end(self) -> State:
        return merge(*self.states) or {}


class Context:
    """State of the inference over one program.

    Args:
        registry: the tools and functions that it may call.
        names: types of its inputs.
        tree: the program.

    Attributes:
        registry: as given.
        text_uses: what the program does with its texts.
        diagnostics: what is wrong, as far as it has been followed.
        scope: names of the current statement or expression.
        frames: calls that are being followed, the program itself first.
        catching: number of blocks around the current statement that go on when a tool refuses.
        steps: number of expressions and statements so far.
        depth: number of those around the current one.
    """

    def __init__(self, registry: Registry, names: dict[str, StaticType], tree: ast.Module) -> None:
        self.registry = registry
        self.text_uses = TextUses(tree)
        self.diagnostics = Diagnostics()
        self.scope = Scope(names)
        self.frames = [FunctionFrame()]
        self.catching = 0
        self.steps = 0
        self.depth = 0

    @property
    def frame(self) -> FunctionFrame:
        return self.frames[-1]

    @property
    def exhausted(self) -> bool:
        """Whether the program is too much to follow; nothing more is reported of it."""
        return self.steps > MAX_STEPS

    def enter(self) -> bool:
        """Begin one more expression or statement, to be ended by `leave`; False if it is too much to follow."""
        self.steps += MAX_STEPS if self.depth > MAX_DEPTH else 1
        self.depth += 1
        return not self.exhausted

    def leave(self) -> None:
        self.depth -= 1

    def lookup(self, name: str) -> StaticType | None:
        """The type of what a name stands for, here."""
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
        return Builtin(name) if name in BUILTIN_NAMES else None

    @contextmanager
    def within(self, scope: Scope) -> Iterator[Scope]:
        """Look names up in `scope`, and bind them there, for a while."""
        outer, self.scope = self.scope, scope
        try:
            yield scope
        finally:
            self.scope = outer

    def given(self, test: ast.expr, truth: bool) -> Scope:
        """A scope inside the current one, in which `test` has come out as `truth`."""
        return Scope(narrow(test, truth, self.lookup), self.scope, passing=True)

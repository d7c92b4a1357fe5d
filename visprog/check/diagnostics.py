"""What the check reports, and the list that it is gathered in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from visprog import sandbox
from visprog.sandbox import Severity

Place: TypeAlias = ast.expr | ast.stmt | ast.arg | ast.keyword | tuple[int, int]
"""Where something is wrong: a part of the program, or a line and column."""

REFUSALS = frozenset(("absent-tool", "unseen-phrase"))
"""Codes of what a backend in force is sure to refuse: in another configuration the program is right."""


@dataclass(frozen=True)
class Diagnostic(sandbox.Diagnostic):
    """What is wrong with a program, as the sandbox says it too; here some of it is about what tools refuse."""

    @classmethod
    def of(cls, found: sandbox.Diagnostic) -> Diagnostic:
        """A diagnostic of the sandbox."""
        return cls(**found.to_json())

    @property
    def refusal(self) -> bool:
        """Whether a tool says it again, if the program runs all the same, and refuses to answer."""
        return self.code in REFUSALS


@dataclass
class Diagnostics:
    """Each diagnostic once, however often the code that it is about is followed.

    Attributes:
        found: by code, line and column.
        muted: number of `mute` blocks around; inside of them nothing is added.
    """

    found: dict[tuple[str, int, int], Diagnostic] = field(default_factory=dict)
    muted: int = 0

    def add(
        self,
        code: str,
        node: Place,
        message: str,
        suggestion: str | None = None,
        severity: Severity = "error",
        *,
        name: str | None = None,
    ) -> None:
        """Add one, unless it is known. Its name is that of the node, if none is given."""
        if self.muted:
            return
        line, column = node if isinstance(node, tuple) else (node.lineno, node.col_offset)
        name = name_of(node) if name is None else name
        made = Diagnostic(code, line, column, message, suggestion, severity, name)
        self.found.setdefault((code, line, column), made)

    @contextmanager
    def mute(self) -> Iterator[None]:
        """Add nothing inside: the types are not settled yet."""
        self.muted += 1
        try:
            yield
        finally:
            self.muted -= 1

    def sorted(self) -> list[Diagnostic]:
        return sorted(self.found.values(), key=lambda d: (d.line, d.column, d.code))


def name_of(node: Place | ast.AST) -> str:
    """The name that a part of a program is, has or calls; empty if there is none."""
    match node:
        case ast.Name(id=str(name)) | ast.FunctionDef(name=str(name)):
            return name
        case ast.Attribute(attr=str(name)) | ast.arg(arg=str(name)) | ast.keyword(arg=str(name)):
            return name
        case ast.Call(func=function):
            return name_of(function)
    return ""


def name_position(node: ast.Attribute) -> tuple[int, int]:
    """Where the name after the dot stands."""
    if node.end_lineno is None or node.end_col_offset is None:
        return node.lineno, node.col_offset
    return node.end_lineno, node.end_col_offset - len(node.attr.encode())

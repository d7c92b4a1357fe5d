"""A finding of the check, and the list that they are gathered in."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from visprog import sandbox

Severity = Literal["error", "warning"]
Place: TypeAlias = ast.expr | ast.stmt | ast.arg | ast.keyword | tuple[int, int]
"""Where a finding is: a part of the program, or a line and column."""


REFUSALS = frozenset(("absent-tool", "unseen-phrase"))
"""Codes of what a backend in force will refuse, sure as that is: in another configuration the program is right."""


@dataclass(frozen=True)
class Diagnostic(sandbox.Diagnostic):
    """What is wrong with a program, where, and what to write instead.

    `line` counts from 1 and `column` from 0, as in `ast`. An error is sure to fail, or to answer something
    else than was asked for; a warning may be meant.
    """

    severity: Severity = "error"

    @property
    def refusal(self) -> bool:
        """Whether a tool says it again, if the program runs all the same, and refuses to answer."""
        return self.code in REFUSALS

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "severity": self.severity}


@dataclass
class Findings:
    """Each finding once, however often the code that it is in is looked at."""

    found: dict[tuple[str, int, int], Diagnostic] = field(default_factory=dict)
    muted: int = 0

    def add(
        self,
        code: str,
        node: Place,
        message: str,
        suggestion: str | None = None,
        severity: Severity = "error",
    ) -> None:
        if self.muted:
            return
        line, column = node if isinstance(node, tuple) else (node.lineno, node.col_offset)
        self.found.setdefault(
            (code, line, column), Diagnostic(code, line, column, message, suggestion, severity)
        )

    @contextmanager
    def mute(self) -> Iterator[None]:
        """Nothing is reported inside: the types are not settled yet."""
        self.muted += 1
        try:
            yield
        finally:
            self.muted -= 1

    def sorted(self) -> list[Diagnostic]:
        return sorted(self.found.values(), key=lambda d: (d.line, d.column, d.code))


def name_position(node: ast.Attribute) -> tuple[int, int]:
    """Where the name after the dot stands."""
    if node.end_lineno is None or node.end_col_offset is None:
        return node.lineno, node.col_offset
    return node.end_lineno, node.end_col_offset - len(node.attr.encode())

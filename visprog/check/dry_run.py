"""Runs a program on stand-ins for the tools, to find what types cannot: what if nothing is found?"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

from visprog.sandbox import Limits, Outcome, Sandbox, checker

from ..errors import ToolError
from ..inputs import named, parameters
from ..registry import Registry
from ..types import Type, accepts, describe, render
from ..values import Mask
from ..values.image import Image
from ..values.library import ATTRIBUTES
from .findings import Diagnostic, Findings, Severity
from .stand_ins import World, picture

LIBRARY = "visprog.values.library:LIBRARY"
TYPES = ((Image, ATTRIBUTES["Image"]), (Mask, ATTRIBUTES["Mask"]))

_UNEVEN = ("IndexError", "ZeroDivisionError", "AttributeError", "KeyError", "TypeError", "StopIteration")
"""Errors that say that a program did not think of how many things are found."""

_EXPECTED = ("NothingFound",)
"""Errors with which a program may end: they say in words that nothing was found."""


def dry_run(
    source: str,
    registry: Registry,
    *,
    returns: Type | None = None,
    images: int = 1,
    seconds: float = 2.0,
    sandbox: Sandbox | None = None,
) -> list[Diagnostic]:
    """Run a program in the sandbox on made-up results: nothing found, one thing, several.

    What fails whenever something is found is an error; what fails only where nothing, or one thing, is found
    is a warning. To end with `NothingFound`, or with an error that the program itself raises, is neither.

    Args:
        source: the program.
        registry: the tools that it may call; only their signatures are used.
        returns: the type that its answer must have, where that is known.
        images: how many pictures it is given.
        seconds: the processor time that each run may take; of a `sandbox` that is given, its own limits hold.
        sandbox: to run it in, made with the library of the values; a new one where None.
    """
    if sandbox is None:
        with Sandbox(Limits(cpu=seconds, grace=1.0), library=LIBRARY) as own:
            return dry_run(source, registry, returns=returns, images=images, sandbox=own)
    return _DryRun(source, registry, returns, images, sandbox).findings()


class _DryRun:
    def __init__(
        self, source: str, registry: Registry, returns: Type | None, images: int, sandbox: Sandbox
    ) -> None:
        self.source = source
        self.registry = registry
        self.returns = returns
        self.sandbox = sandbox
        tree = checker.parse(source)
        tree = tree if isinstance(tree, ast.Module) else ast.Module([], [])
        self.raises = _raise_lines(tree)
        self.inputs = _inputs(source, images)
        self.says_none = any(isinstance(n, ast.Constant) and n.value is None for n in ast.walk(tree))
        self.found = Findings()

    def findings(self) -> list[Diagnostic]:
        none = self.run(World(0, (False,), ("",)))
        if none.status == "rejected":
            return [Diagnostic(d.code, d.line, d.column, d.message, d.suggestion) for d in none.diagnostics]
        if self._ended(none):
            return self.found.sorted()
        one = self.run(World(1, (True,), ("red", "yes")))
        many = self.run(World(3, (True, False), ("2", "4")))
        if many.error_type == "IndexError":  # the fourth of three: there may well be more
            many = self.run(World(12, (True, False), ("2", "4")))
        for outcome in (one, many):
            if self._ended(outcome):
                return self.found.sorted()
        self._failures(none, one, many)
        self._answers(none, [one, many])
        return self.found.sorted()

    def run(self, world: World) -> Outcome:
        return self.sandbox.run(
            self.source, tools=world.tools(self.registry), inputs=self.inputs, types=TYPES
        )

    def _ended(self, outcome: Outcome) -> bool:
        """A run that was ended from outside says it all: the others would take as long."""
        if outcome.status != "killed":
            return False
        if outcome.limit in ("cpu", "silence", "time"):
            hint = "make sure that each loop comes to its end"
            self._report("endless", outcome, f"the program does not end: {outcome.error}", hint)
        else:
            self._report("limit", outcome, f"the program is ended: {outcome.error}", "do it with less")
        return True

    def _report(
        self, code: str, outcome: Outcome, message: str, hint: str | None, severity: Severity = "error"
    ) -> None:
        line = outcome.line or 1
        lines = self.source.split("\n")
        text = lines[line - 1] if line <= len(lines) else ""
        self.found.add(code, (line, len(text) - len(text.lstrip())), message, hint, severity)

    def _failed(self, outcome: Outcome) -> bool:
        return (
            outcome.status == "error"
            and outcome.error_type not in _EXPECTED
            and outcome.line not in self.raises
        )

    def _failures(self, none: Outcome, one: Outcome, many: Outcome) -> None:
        what = {id(o): f"{o.error_type}: {o.error}" for o in (none, one, many)}
        refused = [o for o in (one, many) if self._failed(o) and isinstance(o.cause, ToolError)]
        if refused:
            self._report("argument-type", refused[0], str(refused[0].error), None)
            return
        if self._failed(one) and self._failed(many):
            self._report("fails", many, f"this fails even where something is found: {what[id(many)]}", None)
        elif self._failed(one) and _uneven(one):
            hint = "test len(…) first, or use nth(…), which says what is missing"
            self._report(
                "few-results",
                one,
                f"this fails where only one thing is found: {what[id(one)]}",
                hint,
                "warning",
            )
        elif self._failed(many) and _uneven(many):
            self._report("fails", many, f"this fails where several things are found: {what[id(many)]}", None)
        if self._failed(none) and _uneven(none) and not self._failed(many):
            hint = "test it first (if not found: return …), or use best(…), leftmost(…), nth(…)"
            self._report(
                "empty-result", none, f"this fails where nothing is found: {what[id(none)]}", hint, "warning"
            )

    def _answers(self, none: Outcome, full: Sequence[Outcome]) -> None:
        fine = [o for o in full if o.status == "ok"]
        # A program that writes None may well mean it: there is no such thing.
        if not self.says_none and any(o.value is None for o in fine):
            why = "the program comes to its end without an answer"
            self._report("no-answer", fine[0], why, "return the answer on every way")
        if self.returns is None:
            return
        for outcome in fine:
            if outcome.value is not None and not _is(outcome.value, self.returns):
                self._report(
                    "return-type", outcome,
                    f"the answer must be {render(self.returns)}, not {describe(outcome.value)}", None,
                )  # fmt: skip


def _uneven(outcome: Outcome) -> bool:
    """True where the error comes of how many things there are."""
    text = outcome.error or ""
    return outcome.error_type in _UNEVEN or "empty" in text or "to unpack" in text


def _is(value: Any, wanted: Type) -> bool:
    return isinstance(value, wanted) if wanted in (list, tuple, dict, set) else accepts(wanted, value)


def _inputs(source: str, images: int) -> dict[str, Any]:
    """Pictures under the names that the program asks for, as many as it has names."""
    count = max(images, len(parameters(source) or ()))
    return named(source, [picture(i) for i in range(count)])


def _raise_lines(tree: ast.Module) -> set[int]:
    """The lines on which the program itself raises."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise | ast.Assert)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }

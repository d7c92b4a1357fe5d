"""Trial of a program on fake tools, to find what types cannot tell: what if nothing is found?"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, get_args, get_origin

from visprog.sandbox import Limits, Outcome, Sandbox, Series, Severity

from ..errors import ToolError
from ..program import Inputs, Program
from ..registry import Registry
from ..registry.types import Type, accepts, describe, render
from ..values.codec import KINDS, handles
from .diagnostics import Diagnostic, Diagnostics
from .fakes import OddValue, StandIns

LIBRARY = "visprog.values.library:LIBRARY"

MAX_INPUTS = 12
"""Number of images, or of other inputs in a list, of a trial of a program that does not say how many it takes."""

_CERTAIN = ("AttributeError", "NameError", "TypeError")
"""Errors of types and names: they do not hang on what the values are."""

_UNEVEN = (*_CERTAIN, "IndexError", "ZeroDivisionError", "KeyError", "StopIteration")
"""Errors of programs that do not expect the number of objects that are found."""

_EXPECTED = ("NothingFound",)
"""Errors with which a program may end: they say in words that nothing was found."""

_REMEDIES = {
    "IndexError": "test len(…) first, or use nth(…), which says what is missing",
    "KeyError": "use .get(…) with a value for all other keys, or test that the key is there",
    "StopIteration": "give next(…) a second argument: what to take if there is none",
    "UnboundLocalError": "give it a value before the branch or the loop",
    "ZeroDivisionError": "test first that the divisor is not 0",
}
_REMEDIES_BY_WORDS = {
    "a box needs": "order the edges with min(…) and max(…), or use box.union(…) or box.intersection(…)",
    "to unpack": "test len(…) before it is taken apart",
    "invalid literal": "test the text first: if text.isdigit()",
    "could not convert": "test the text first, or catch ValueError",
    "empty": "give default=…, or test first that there is something",
    "None": "test it first: if … is not None",
}


def dry_run(
    program: str | Program,
    registry: Registry,
    *,
    returns: Type | None = None,
    inputs: Inputs | None = None,
    seconds: float = 2.0,
    sandbox: Sandbox | None = None,
) -> list[Diagnostic]:
    """Run a program in the sandbox on made-up results: nothing found, one object, several.

    What fails whatever the values are is an error: a wrong type, an unknown name, or a mistake before any tool
    was called. What depends on a made-up value is a warning, and so is what fails only if nothing, or only one
    object, is found. To end with `NothingFound`, or with an error that the program itself raises, is neither.

    Args:
        program: its source, or the program if it has been parsed.
        registry: the tools that it may call; only their signatures are used.
        returns: the type that its answer must have, if that is known.
        inputs: types of its inputs, by name; `tuple[Image, Image]` is a list of two, `list[Image]` one of as many as
            the program seems to want. If None, it is given the images that it asks for.
        seconds: processor time that each run may take; a `sandbox` that is given has its own limits.
        sandbox: to run it in, made with the library of the values; a new one if None.
    """
    if sandbox is None:
        with Sandbox(Limits(cpu=seconds, grace=1.0), library=LIBRARY) as own:
            return dry_run(program, registry, returns=returns, inputs=inputs, sandbox=own)
    return _DryRun(Program.parse(program), registry, returns, inputs, sandbox).diagnose()


class _DryRun:
    def __init__(
        self,
        program: Program,
        registry: Registry,
        returns: Type | None,
        inputs: Inputs | None,
        sandbox: Sandbox,
    ) -> None:
        self.program = program
        self.registry = registry.for_inputs(program.takes_video)
        self.returns = returns
        self.sandbox = sandbox
        given = program.inputs() if inputs is None else inputs
        names = {n.id for n in ast.walk(program.tree) if isinstance(n, ast.Name)}
        lists = {name for name, type_ in given.items() if name in names and _is_list(type_)}
        self.inputs = _made_inputs(given, _wanted(program, lists))
        # Then even what comes before the first call may depend on the inputs.
        self.reads_inputs = _reads_images(program.tree) or bool(lists)
        self.raises = _raise_lines(program.tree)
        self.says_none = any(isinstance(n, ast.Constant) and n.value is None for n in ast.walk(program.tree))
        self.found = Diagnostics()

    def diagnose(self) -> list[Diagnostic]:
        with self.sandbox.series(self.program.source) as series:
            # The one that fails most often comes last: the worker of a program that fails is lost.
            one = self.run(series, StandIns(1, (True,), ("red", "yes")))
            if one.status == "rejected":
                return [Diagnostic.of(d) for d in one.diagnostics]
            if self._ended(one):
                return self.found.sorted()
            many = self.run(series, StandIns(3, (True, False), ("2", "4")))
            if many.error_type == "IndexError":  # the fourth of three: there may well be more
                many = self.run(series, StandIns(12, (True, False), ("2", "4")))
            none = self.run(series, StandIns(0, (False,), ("",)))
        for outcome in (many, none):
            if self._ended(outcome):
                return self.found.sorted()
        self._failures(none, one, many)
        self._answers(none, [one, many])
        return self.found.sorted()

    def run(self, series: Series, fakes: StandIns) -> Outcome:
        made = fakes.tools(self.registry)
        tools = {name: tool for name, tool in made.items() if name not in self.program.variables}
        return series.run(tools=tools, inputs=self.inputs, types=handles())

    def _ended(self, outcome: Outcome) -> bool:
        """A run that was ended from outside says it all: the others would take as long."""
        if outcome.status != "killed":
            return False
        severity: Severity = "error" if self._is_certain(outcome) else "warning"
        if outcome.limit in ("cpu", "silence", "time"):
            hint = "make sure that each loop comes to its end"
            self._report("endless", outcome, f"the program does not end: {outcome.error}", hint, severity)
        else:
            hint = "do it with less, and make sure that each loop comes to its end"
            self._report("limit", outcome, f"the program is ended: {outcome.error}", hint, severity)
        return True

    def _is_certain(self, outcome: Outcome) -> bool:
        """Whether a program ended as it did whatever the values are that tools return and images have."""
        if outcome.error_type in _CERTAIN:
            return "NoneType" not in (outcome.error or "")
        if isinstance(outcome.cause, ToolError):
            return not isinstance(outcome.cause, OddValue)
        return outcome.calls == 0 and not self.reads_inputs

    def _report(
        self, code: str, outcome: Outcome, message: str, hint: str | None, severity: Severity = "error"
    ) -> None:
        line = outcome.line or 1
        lines = self.program.source.split("\n")
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
            certain = self._is_certain(refused[0])
            why = str(refused[0].error)
            if certain:
                self._report("argument-type", refused[0], why, None)
            else:
                hint = _remedy(refused[0], "test first that it is one of those")
                self._report(
                    "argument-type", refused[0], f"in a trial on made-up results: {why}", hint, "warning"
                )
            return
        if self._failed(many) and (self._failed(one) or _uneven(many)):
            few = "even if something is found" if self._failed(one) else "if several objects are found"
            if self._is_certain(many):
                self._report("fails", many, f"this fails {few}: {what[id(many)]}", None)
            else:
                why = f"this failed in a trial on made-up results: {what[id(many)]}"
                self._report("may-fail", many, why, _remedy(many), "warning")
        elif self._failed(one) and _uneven(one):
            why = f"this fails if only one object is found: {what[id(one)]}"
            self._report("few-results", one, why, _remedy(one), "warning")
        if self._failed(none) and _uneven(none) and not self._failed(many):
            why = f"this fails if nothing is found: {what[id(none)]}"
            hint = _remedy(none, "test it first: if not found: return …")
            self._report("empty-result", none, why, hint, "warning")

    def _answers(self, none: Outcome, full: Sequence[Outcome]) -> None:
        fine = [o for o in full if o.status == "ok"]
        # A program that writes None may well mean it: there is no such object.
        if not self.says_none and any(o.value is None for o in fine):
            empty = next(o for o in fine if o.value is None)
            why = "the program comes to its end without an answer"
            severity: Severity = "error" if self._is_certain(empty) else "warning"
            self._report("no-answer", empty, why, "return the answer on every way", severity)
        if self.returns is None:
            return
        for outcome in fine:
            if outcome.value is not None and not _is(outcome.value, self.returns):
                self._report(
                    "return-type", outcome,
                    f"the answer must be {render(self.returns)}, not {describe(outcome.value)}", None,
                )  # fmt: skip


def _uneven(outcome: Outcome) -> bool:
    """Whether the error comes of the number of objects."""
    text = outcome.error or ""
    return outcome.error_type in _UNEVEN or "empty" in text or "to unpack" in text


def _is(value: Any, wanted: Type) -> bool:
    return isinstance(value, wanted) if wanted in (list, tuple, dict, set) else accepts(wanted, value)


def _remedy(outcome: Outcome, otherwise: str = "make sure that this holds whatever is found") -> str:
    """What to write so that the program does not fail in this way, whatever is found."""
    if outcome.error_type in _REMEDIES:
        return _REMEDIES[outcome.error_type]
    text = outcome.error or ""
    return next((hint for words, hint in _REMEDIES_BY_WORDS.items() if words in text), otherwise)


def _made_inputs(inputs: Inputs, length: int) -> dict[str, Any]:
    """A made-up value for each input, `length` of them for a list.

    An input by itself is the next of its type; a list begins with the first, as `image` is the first of `images`.
    """
    made: dict[tuple[Type, int], Any] = {}
    fakes = StandIns(1, (True,), ("",))

    def make(type_: Type, number: int) -> Any:
        return made.setdefault((type_, number), fakes.make(type_, {}, number))

    values: dict[str, Any] = {}
    for number, (name, type_) in enumerate(inputs.items()):
        origin: Any = get_origin(type_)
        if origin is list:
            values[name] = [make(get_args(type_)[0], i) for i in range(length)]
        elif origin is tuple:
            values[name] = [make(each, i) for i, each in enumerate(get_args(type_))]
        else:
            values[name] = make(type_, number)
    return values


def _is_list(type_: Type) -> bool:
    origin: Any = get_origin(type_)
    return origin is list


def _wanted(program: Program, lists: set[str]) -> int:
    """Length of lists that a program seems to be made for: the most parts that it takes one of them apart into."""
    wanted = [2 if lists and program.parameters else 1]
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Assign) and _is_one_of(node.value, lists):
            wanted += [len(t.elts) for t in node.targets if isinstance(t, ast.Tuple | ast.List)]
        elif isinstance(node, ast.Subscript) and _is_one_of(node.value, lists):
            index = node.slice.value if isinstance(node.slice, ast.Constant) else None
            wanted += [index + 1] if isinstance(index, int) else []
    return min(max(wanted), MAX_INPUTS)


def _is_one_of(node: ast.expr, names: set[str]) -> bool:
    return isinstance(node, ast.Name) and node.id in names


def _reads_images(tree: ast.Module) -> bool:
    """Whether a program reads something of its images, such as their width, without a tool."""
    return any(isinstance(n, ast.Attribute) and n.attr in KINDS["Image"].attributes for n in ast.walk(tree))


def _raise_lines(tree: ast.Module) -> set[int]:
    """The lines on which the program itself raises."""
    return {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise | ast.Assert)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }

"""What executes a program behind the check: one small protocol, and the interpreter that implements it.

Another interpreter can take the place of CPython without anything else changing: it implements
:class:`Engine`, and the sandbox is given its path as ``engine="module:CLASS"``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NoReturn, Protocol

from . import desugar
from .checker import parse
from .diagnostic import Diagnostic
from .guards import Guards
from .limits import Limits
from .restrict import Restrictor

FILENAME = "<program>"
REHEARSAL = """
def answer(n: int):
    import math
    found = {}
    for i, name in enumerate(["a", "b", "c"][:n]):
        if i % 2 == 0 and not name.startswith("b"):
            found[name] = math.sqrt(i * n + 1)
        elif i:
            found[name] = max(0.5, i ** 2 - 1)
    try:
        found["d"] += sum(x / n for x in found.values())
    except KeyError as error:
        print(f"{error} {n:.2f}", end="")
    pairs = sorted([(k, v) for k, v in found.items()], key=lambda pair: pair[1])
    return pairs[-1] if pairs else None
"""
"""Run once by an engine that prepares itself: the forms that programs are made of."""


@dataclass(frozen=True)
class Scope:
    """Everything that a program can reach."""

    inputs: Mapping[str, Any]
    tools: Mapping[str, Callable[..., Any]]
    names: Mapping[str, Any]
    """Further global names: the library's functions and errors, and the types of values."""
    attributes: Mapping[type, Iterable[str]]
    """What is open on values of these exact types."""
    write: Callable[[str], None]
    """Receives what the program prints."""
    stop: Callable[[str, str], NoReturn]
    """Ends the run for a limit: its name and a sentence. It does not return and does not raise."""
    limits: Limits = field(default_factory=Limits)


class Refused(Exception):
    """The program cannot be run; ``diagnostics`` say why."""

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__("the program is refused")
        self.diagnostics = diagnostics


class Engine(Protocol):
    """Executes one program that has passed the check."""

    def run(self, source: str, scope: Scope) -> Any:
        """The value of the program.

        Raises:
            Refused: the program cannot be run with these inputs.
            Exception: what the program raised and did not catch.
        """
        ...


class RestrictedEngine:
    """CPython under RestrictedPython with our guards."""

    def __init__(self) -> None:
        def ignore(*_: str) -> Any:
            return None

        # What the interpreter loads, caches and specialises on first use is ready for the program.
        self.run(REHEARSAL, Scope({"n": 3}, {}, {}, {}, ignore, ignore))

    def run(self, source: str, scope: Scope) -> Any:
        guards = Guards(scope.limits, scope.stop, scope.attributes, scope.write)
        builtins = guards.builtins()
        defined = {**builtins, **scope.names}
        try:
            code, parameters = self._compile(source, scope, defined)
            space = {"__builtins__": builtins, **scope.names, **scope.tools, **guards.names()}
            exec(code, space)
            entry = space[desugar.WRAPPER]
            arguments = [scope.inputs[p] if p in scope.inputs else defined[p] for p in parameters]
            sys.setrecursionlimit(_depth() + scope.limits.recursion)
            return entry(*arguments)
        except (MemoryError, RecursionError) as error:
            guards.check_limit(error)
            raise
        finally:
            sys.setrecursionlimit(_COMPILER_FRAMES)

    def _compile(self, source: str, scope: Scope, defined: Mapping[str, Any]) -> tuple[Any, list[str]]:
        tree = parse(source, scope.limits)
        if isinstance(tree, Diagnostic):
            raise Refused([tree])
        wrapped = desugar.wrap(tree, scope.inputs, defined)
        if isinstance(wrapped, Diagnostic):
            raise Refused([wrapped])
        module, parameters = wrapped
        sys.setrecursionlimit(_COMPILER_FRAMES)
        restrictor = Restrictor()
        module = restrictor.visit(module)
        if restrictor.errors:
            raise Refused([_finding(error) for error in restrictor.errors])
        try:
            return _as_written(compile(module, FILENAME, "exec", dont_inherit=True)), parameters
        except (SyntaxError, ValueError) as error:
            line, why = getattr(error, "lineno", None) or 1, getattr(error, "msg", str(error))
            raise Refused([Diagnostic("syntax-error", line, 0, why)]) from None


_COMPILER_FRAMES = 5_000  # the passes over a tree of the allowed depth need a few frames for each level


def _as_written(code: CodeType) -> CodeType:
    """The program's functions under the names that they have without the function around it, for its errors."""
    inner = tuple(_as_written(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    name = code.co_qualname.removeprefix(f"{desugar.WRAPPER}.<locals>.")
    return code.replace(co_consts=inner, co_qualname=name)


def _finding(error: str) -> Diagnostic:
    """RestrictedPython words its errors ``Line 3: text``."""
    place, _, text = error.partition(": ")
    number = place.removeprefix("Line ")
    return Diagnostic("forbidden-statement", int(number) if number.isdecimal() else 1, 0, text)


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while (up := frame.f_back) is not None:
        frame, depth = up, depth + 1
    return depth

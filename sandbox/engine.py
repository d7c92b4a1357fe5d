"""Execution of a program behind the check: one small protocol, and the interpreter that implements it.

Another interpreter can take the place of CPython without any other change: it implements `Engine`, and the
sandbox is given its path as `engine="module:CLASS"`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any, NoReturn, Protocol

from . import desugar
from .guards import Guards
from .limits import Limits
from .parsing import Diagnostic, parse
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
class Namespace:
    """Everything that a program can reach.

    Attributes:
        inputs: its inputs, by name.
        tools: functions that it may call, by name.
        names: further global names: functions and errors of the library, and types of values.
        attributes: names that are open on values of these exact types.
        write: receives what the program prints.
        stop: ends the run for a limit, given its name and a sentence. It neither returns nor raises.
        limits: bounds of the run.
    """

    inputs: Mapping[str, Any]
    tools: Mapping[str, Callable[..., Any]]
    names: Mapping[str, Any]
    attributes: Mapping[type, Iterable[str]]
    write: Callable[[str], None]
    stop: Callable[[str, str], NoReturn]
    limits: Limits = field(default_factory=Limits)


class Refused(Exception):
    """The program cannot be run.

    Attributes:
        diagnostics: why.
    """

    def __init__(self, diagnostics: list[Diagnostic]) -> None:
        super().__init__("the program is refused")
        self.diagnostics = diagnostics


class Engine(Protocol):
    """Execute one program that has passed the check."""

    def run(self, source: str, namespace: Namespace) -> Any:
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
        self.run(REHEARSAL, Namespace({"n": 3}, {}, {}, {}, ignore, ignore))

    def run(self, source: str, namespace: Namespace) -> Any:
        guards = Guards(namespace.limits, namespace.stop, namespace.attributes, namespace.write)
        builtins = guards.builtins()
        defined = {**builtins, **namespace.names}
        try:
            code, parameters = self._compile(source, namespace, defined)
            space = {"__builtins__": builtins, **namespace.names, **namespace.tools, **guards.names()}
            exec(code, space)
            entry = space[desugar.WRAPPER]
            arguments = [namespace.inputs[p] if p in namespace.inputs else defined[p] for p in parameters]
            sys.setrecursionlimit(_depth() + namespace.limits.recursion)
            return entry(*arguments)
        except (MemoryError, RecursionError) as error:
            guards.check_limit(error)
            raise
        finally:
            sys.setrecursionlimit(_COMPILER_FRAMES)

    def _compile(
        self, source: str, namespace: Namespace, defined: Mapping[str, Any]
    ) -> tuple[Any, list[str]]:
        tree = parse(source, namespace.limits)
        if isinstance(tree, Diagnostic):
            raise Refused([tree])
        wrapped = desugar.wrap(tree, namespace.inputs, defined)
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
    """A diagnostic of an error that RestrictedPython words as "Line 3: text"."""
    place, _, text = error.partition(": ")
    number = place.removeprefix("Line ")
    return Diagnostic("forbidden-statement", int(number) if number.isdecimal() else 1, 0, text)


def _depth() -> int:
    frame, depth = sys._getframe(), 0
    while (up := frame.f_back) is not None:
        frame, depth = up, depth + 1
    return depth

"""Run untrusted Python programs, each in a confined process of its own.

A program sees values, the functions of a `Library` and the tools that it was given, and nothing else. Tools,
models and the objects behind handles stay in the caller's process:

    with Sandbox() as sandbox:
        outcome = sandbox.run("result = double(x) + 1", tools={"double": lambda n: 2 * n}, inputs={"x": 20})
    assert outcome.status == "ok" and outcome.value == 41

What is exported here is all that other packages use: running programs, the static check, how a program is parsed
and where its result comes from, and the tables of the language policy. The threat model, and what each layer
stops, is in `SECURITY.md`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checker import check as check
    from .confine import confine_tools as confine_tools
    from .confine import cut_off as cut_off
    from .desugar import RESULT as RESULT
    from .desugar import entry as entry
    from .desugar import has_result as has_result
    from .desugar import statements as statements
    from .engine import Engine as Engine
    from .engine import Namespace as Namespace
    from .engine import RestrictedEngine as RestrictedEngine
    from .execution import Method as Method
    from .execution import current_line as current_line
    from .execution import extend_time as extend_time
    from .library import Library as Library
    from .library import ValueType as ValueType
    from .limits import Limits as Limits
    from .outcome import Level as Level
    from .outcome import Outcome as Outcome
    from .outcome import SandboxError as SandboxError
    from .outcome import SandboxUnavailable as SandboxUnavailable
    from .outcome import StopProgram as StopProgram
    from .parsing import Diagnostic as Diagnostic
    from .parsing import Severity as Severity
    from .parsing import parse as parse
    from .policy import BUILTIN_ATTRIBUTES as BUILTIN_ATTRIBUTES
    from .policy import BUILTIN_NAMES as BUILTIN_NAMES
    from .policy import MATH_NAMES as MATH_NAMES
    from .policy import REFUSED_NAMES as REFUSED_NAMES
    from .policy import TYPE_ATTRIBUTES as TYPE_ATTRIBUTES
    from .sandbox import Sandbox as Sandbox
    from .series import Series as Series

# Resolved on first use: the worker imports this package too, and needs a fraction of it.
_HOME = {
    "BUILTIN_ATTRIBUTES": "policy",
    "BUILTIN_NAMES": "policy",
    "Diagnostic": "parsing",
    "Engine": "engine",
    "Level": "outcome",
    "Library": "library",
    "Limits": "limits",
    "MATH_NAMES": "policy",
    "Method": "execution",
    "Namespace": "engine",
    "Outcome": "outcome",
    "REFUSED_NAMES": "policy",
    "RESULT": "desugar",
    "RestrictedEngine": "engine",
    "Sandbox": "sandbox",
    "SandboxError": "outcome",
    "SandboxUnavailable": "outcome",
    "Series": "series",
    "Severity": "parsing",
    "StopProgram": "outcome",
    "TYPE_ATTRIBUTES": "policy",
    "ValueType": "library",
    "check": "checker",
    "confine_tools": "confine",
    "current_line": "execution",
    "cut_off": "confine",
    "entry": "desugar",
    "extend_time": "execution",
    "has_result": "desugar",
    "parse": "parsing",
    "statements": "desugar",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

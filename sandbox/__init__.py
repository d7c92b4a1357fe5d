"""Runs untrusted Python programs in a confined process of their own.

A program sees values, the functions of a :class:`Library` and the tools that it was given, and nothing else.
Tools, models and the objects behind handles stay in the caller's process::

    with Sandbox() as sandbox:
        outcome = sandbox.run("result = double(x) + 1", tools={"double": lambda n: 2 * n}, inputs={"x": 20})
    assert outcome.status == "ok" and outcome.value == 41

The threat model, and what each layer stops, is in ``SECURITY.md``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checker import check as check
    from .diagnostic import Diagnostic as Diagnostic
    from .engine import Engine as Engine
    from .library import Library as Library
    from .library import ValueType as ValueType
    from .limits import Limits as Limits
    from .outcome import Level as Level
    from .outcome import Outcome as Outcome
    from .outcome import SandboxError as SandboxError
    from .outcome import SandboxUnavailable as SandboxUnavailable
    from .outcome import StopProgram as StopProgram
    from .sandbox import Sandbox as Sandbox
    from .series import Series as Series
    from .session import current_line as current_line

# Resolved on first use: the worker imports this package too, and needs a fraction of it.
_HOME = {
    "Diagnostic": "diagnostic",
    "Engine": "engine",
    "Level": "outcome",
    "Library": "library",
    "Limits": "limits",
    "Outcome": "outcome",
    "Sandbox": "sandbox",
    "SandboxError": "outcome",
    "SandboxUnavailable": "outcome",
    "Series": "series",
    "StopProgram": "outcome",
    "ValueType": "library",
    "check": "checker",
    "current_line": "session",
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

"""What a run comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .diagnostic import Diagnostic

Status = Literal["ok", "rejected", "error", "killed"]


class SandboxError(Exception):
    """The sandbox cannot do what it was asked for; a failing *program* is an :class:`Outcome`, not an
    error."""


class SandboxUnavailable(SandboxError):
    """No worker can be started here, or not at the level that was required."""


class StopProgram(Exception):
    """Raised by a tool (or derived from, there) to end the run at once; the program cannot catch it."""


class Level(str):
    """How far a worker is confined, as the worker measured it: ``"kernel"`` or ``"process"``.

    ``kernel``: the operating system denies it files, network and processes. ``process``: something of these
    is left to the language layer; ``missing`` says what. ``facts`` holds every single measurement.
    """

    facts: Mapping[str, Any]

    REQUIRED = ("files_denied", "network_denied", "processes_denied", "parent_protected", "memory", "cpu")

    def __new__(cls, facts: Mapping[str, Any]) -> Level:
        level = super().__new__(cls, "kernel" if all(map(facts.get, cls.REQUIRED)) else "process")
        level.facts = dict(facts)
        return level

    def __getnewargs__(self) -> tuple[Any, ...]:
        return (self.facts,)

    @property
    def missing(self) -> tuple[str, ...]:
        """What the operating system does not enforce for this worker."""
        return tuple(name.replace("_", " ") for name in self.REQUIRED if not self.facts.get(name))


@dataclass(frozen=True)
class Outcome:
    """The end of one run, whatever the end was.

    ``status`` is ``ok`` (``value`` holds the result), ``rejected`` (refused before it ran:
    ``diagnostics``), ``error`` (the program raised: ``error_type``, ``error``, ``line``) or ``killed``
    (``limit`` names what ended it: a limit, ``crash``, ``system call`` or ``protocol``).
    """

    status: Status
    value: Any = None
    stdout: str = ""
    error: str | None = None
    error_type: str | None = None
    line: int | None = None
    """The line of the program where it ended, where that is known."""
    limit: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    calls: int = 0
    seconds: float = 0.0
    level: Level | None = None
    truncated: bool = False
    """True when the program printed more than was kept."""
    cause: Exception | None = None
    """The exception of a tool that ended the run. It lives in this process and never enters the worker."""

"""Outcome of a run, and the errors of the sandbox itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .parsing import Diagnostic

Status = Literal["ok", "rejected", "error", "killed"]


class SandboxError(Exception):
    """The sandbox cannot do what it was asked for; a *program* that fails is an `Outcome`, not an error."""


class SandboxUnavailable(SandboxError):
    """No worker can be started here, or not at the level that was required."""


class StopProgram(Exception):
    """Raised by a tool (or derived from, there) to end the run at once; the program cannot catch it."""


class Level(str):
    """How far a worker is confined, as the worker measured it: "kernel" or "process".

    "kernel": the operating system denies it files, network and processes. "process": something of these is left
    to the language layer; `missing` says what.

    Attributes:
        facts: every single measurement.
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

    Attributes:
        status: "ok" (`value` is the result), "rejected" (refused before it ran: `diagnostics`), "error" (the program
            raised: `error_type`, `error`, `line`) or "killed" (`limit` names what ended it).
        value: result of the program.
        stdout: what it printed.
        error: why it ended, in one sentence.
        error_type: name of the exception.
        line: line of the program where it ended, if that is known.
        limit: name of a limit, "crash", "system call" or "protocol".
        diagnostics: what the static check found.
        calls: number of tool calls.
        seconds: duration of the run.
        level: how far the worker was confined.
        truncated: whether the program printed more than was kept.
        cause: exception of a tool that ended the run. It lives in this process and never enters the worker.
    """

    status: Status
    value: Any = None
    stdout: str = ""
    error: str | None = None
    error_type: str | None = None
    line: int | None = None
    limit: str | None = None
    diagnostics: tuple[Diagnostic, ...] = ()
    calls: int = 0
    seconds: float = 0.0
    level: Level | None = None
    truncated: bool = False
    cause: Exception | None = None

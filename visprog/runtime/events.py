"""Events of a run, sent to a listener as they happen: for progress bars, streams and pages.

    agent.ask("How many dogs?", "dogs.jpg", on_event=print)

A listener is called in the thread that does the work, which waits for it: it should be quick. One that raises
disturbs nothing; the first time is logged. Without a listener nothing is made.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ..check import Diagnostic

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Event:
    """Something that happened.

    Attributes:
        run: Number of the run that it belongs to: of one question about one image or several, in this process.
        time: Seconds since 1970.
    """

    run: int
    time: float


@dataclass(frozen=True, kw_only=True)
class Planned(Event):
    """A planner wrote a program, or failed to: then `program` is empty."""

    question: str
    program: str
    planner: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Checked(Event):
    """A program was checked, before it runs or goes back to its planner."""

    program: str
    diagnostics: tuple[Diagnostic, ...]


@dataclass(frozen=True, kw_only=True)
class CallStarted(Event):
    """A program, or a tool, called a tool.

    Attributes:
        call: Number of the call in its run; the `CallEnded` has the same.
        tool: Its name.
        arguments: By name, each in a few words.
        caller: The tool that made the call; empty if the program did.
        line: Line of the program that made the call.
    """

    call: int
    tool: str
    arguments: Mapping[str, str]
    caller: str
    line: int | None


@dataclass(frozen=True, kw_only=True)
class CallEnded(Event):
    """A tool answered, or failed.

    Attributes:
        call: Number of the call in its run.
        tool: Its name.
        result: In a few words; empty if it failed.
        error: Why it failed, in one sentence; empty if it did not.
        cached: Whether the result was known from an equal call before.
        seconds: That the call took.
        backend: That did the work; empty for a plain function.
    """

    call: int
    tool: str
    result: str
    error: str
    cached: bool
    seconds: float
    backend: str


@dataclass(frozen=True, kw_only=True)
class Answered(Event):
    """The answer is there, whatever it is. The last event of a run.

    Attributes:
        question: As it was asked; empty if a program was run.
        images: Names of the images that it is about.
        status: As `Answer.status`.
        value: The answer in a few words; empty if there is none.
        message: Why there is no answer.
        seconds: For the whole run.
    """

    question: str
    images: tuple[str, ...]
    status: str
    value: str
    message: str
    seconds: float


Listener: TypeAlias = Callable[[Event], object]

_runs = count(1)


class Emitter:
    """Sends the events of one run to a listener.

    Attributes:
        run: Its number.
    """

    def __init__(self, listener: Listener) -> None:
        self.run = next(_runs)
        self._listener = listener
        self._calls = count(1)

    def __call__(self, event: type[Event], **fields: Any) -> None:
        """Make an event of this run, and send it."""
        self._listener(event(run=self.run, time=time.time(), **fields))

    def next_call(self) -> int:
        """Number of the next call of a tool; threads may ask for it at once."""
        return next(self._calls)


class GuardedListener:
    """A listener that never raises: what it raises is logged once."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._failed = False

    def __call__(self, event: Event) -> None:
        try:
            self._listener(event)
        except Exception:
            if not self._failed:
                self._failed = True
                log.warning("a listener to events raised; its further errors are not logged", exc_info=True)


def emitter_of(listener: Listener | None) -> Emitter | None:
    """An emitter for a new run; None if nobody listens."""
    if listener is None:
        return None
    return Emitter(listener if isinstance(listener, GuardedListener) else GuardedListener(listener))

"""Cancellation: one thread does the work, another says that nobody waits for it any more.

    cancellation = Cancellation()
    with cancellation.in_force():  # in the thread that does the work
        agent.ask(…)
    cancellation.cancel()  # from any thread

The work ends where it looks: before a program is asked for, before a tool is called, between the frames of a video, and
while a tool works in a process of its own, which is ended. A reply of a language model that is under way is waited for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from ..errors import VisprogError

T = TypeVar("T")

POLL = 0.2
"""Seconds between two looks at a cancellation while a tool works."""


class Cancelled(VisprogError):
    """Work that was cancelled before it was done."""

    def __init__(self) -> None:
        super().__init__("cancelled: nobody waits for the answer any more")


class Cancellation:
    """Whether some work has been cancelled."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Cancel the work; without effect if it is done."""
        self._event.set()

    @property
    def is_cancelled(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the work has been cancelled."""
        if self.is_cancelled:
            raise Cancelled

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """What this thread does meanwhile is the work."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


NEVER = Cancellation()
"""That of work which nobody can cancel."""

_current: ContextVar[Cancellation] = ContextVar("visprog_cancellation", default=NEVER)


def current_cancellation() -> Cancellation:
    """The cancellation of what this thread does."""
    return _current.get()


async def in_thread(call: Callable[[], T]) -> T:
    """Call a function in a thread of its own; what it does is cancelled if the caller is."""
    import asyncio  # not needed to ask, and slow to import

    cancellation = Cancellation()
    with cancellation.in_force():  # the thread works in a copy of this context
        try:
            return await asyncio.to_thread(call)
        except asyncio.CancelledError:
            cancellation.cancel()
            raise

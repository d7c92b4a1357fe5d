"""Batches of tool calls that programs make at the same time."""

from __future__ import annotations

import contextvars
import os
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ToolError, contained
from ..registry import Backend
from ..registry.types import describe
from .cancellation import NEVER, POLL, Cancellation, current_cancellation


class Clock(Protocol):
    """The time of a run. It stops while a call waits for the work of others."""

    @property
    def left(self) -> float:
        """Seconds that are left."""
        ...

    @property
    def patience(self) -> float:
        """Seconds that its calls may still wait for the work of others."""
        ...

    def extend(self, seconds: float) -> None:
        """Give back seconds that were spent waiting for the work of others."""
        ...


@contextmanager
def waiting_for_others() -> Iterator[None]:
    """While a backend waits for the work of others: the clocks of the runs that wait for it stand still."""
    batch = _batch.get()
    if batch is None:
        yield
        return
    for call in batch.calls:
        call.pause()
    try:
        yield
    finally:
        for call in batch.calls:
            call.go_on()


def is_given_up() -> bool:
    """Inside a backend that is called by a batcher: whether nobody waits for the results any more."""
    batch = _batch.get()
    return batch is not None and batch.ended


class OutOfTime(Exception):
    """The time of a run ended, or it was cancelled, while its call waited or was worked on."""


class Traffic:
    """Number of programs that run, and of those that wait for a tool. Shared by all batchers."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.running = 0
        self.calling = 0
        _after_fork.add(self)

    @property
    def all_waiting(self) -> bool:
        """Whether every running program waits for a tool: until one of them is answered, none will call."""
        return self.running <= self.calling

    def start(self) -> None:
        """A program begins to run."""
        with self.changed:
            self.running += 1

    def end(self) -> None:
        """A program has ended."""
        with self.changed:
            self.running -= 1
            self.changed.notify_all()

    def forget_threads(self) -> None:
        """In a forked process: the threads of its parent are not there."""
        self.changed = threading.Condition()
        self.running = self.calling = 0


class Batcher:
    """Calls one backend with batches, in threads of its own, so that no caller waits longer than its run may take.

    What comes while the backend is busy forms the next batch. An idle backend starts at once if no other program
    could join; if one could, it waits for at most `WAIT_SHARE` of the time that its last batch took, and `MAX_WAIT`.

    A caller whose time is up leaves. If the batch is not done a moment later, it is given up: the calls of others in
    it are made again. What cannot be ended goes on in a thread that nobody waits for.

    Args:
        backend: Does the work. By its method `interrupt(thread)`, if it has one, a batch that is given up is ended.
        traffic: Says whether other programs may call soon.
        max_batch: Number of calls in a batch, at most.
        max_threads: Number of batches at the same time, at most.

    Attributes:
        sizes: Number of batches per size.
        given_up: Number of batches that were given up.
    """

    MAX_BATCH = 32
    WAIT_SHARE = 0.25
    MAX_WAIT = 0.05
    """In seconds."""
    LINGER = 5.0
    """Seconds that a thread waits for the next batch before it ends."""
    MAX_GRACE = 5.0
    """Seconds that a batch of several calls may go on after the first of its callers has left, at most."""

    def __init__(
        self, backend: Backend, traffic: Traffic, max_batch: int = MAX_BATCH, max_threads: int = 1
    ) -> None:
        self.backend = backend
        self.max_batch = max_batch
        self.max_threads = max_threads
        self.sizes: Counter[int] = Counter()
        self.given_up = 0
        self._traffic = traffic
        self._seconds = 0.0
        self.forget_threads()
        _after_fork.add(self)

    def forget_threads(self) -> None:
        """In a forked process: the threads of its parent are not there."""
        self._waiting: list[_Pending] = []
        self._threads = self._idle = 0
        self._work = threading.Condition(self._traffic.changed._lock)  # type: ignore[attr-defined]

    def __call__(self, arguments: dict[str, Any], clock: Clock | None = None) -> Any:
        """The result of one call.

        Args:
            arguments: Of the call, by name.
            clock: The time of its run; without one, the call may take as long as it likes.

        Raises:
            OutOfTime: The time of the run ended first, or it was cancelled and the work can be ended.
            Exception: What the backend gave in the place of the result, or raised for the whole batch.
        """
        mine = _Pending(arguments, clock)
        with self._traffic.changed:
            self._traffic.calling += 1
            self._waiting.append(mine)
            self._traffic.changed.notify_all()
            self._wake()
        try:
            mine.wait(self._can_end)
        finally:
            self._leave(mine)
        if isinstance(mine.result, Exception):
            raise mine.result
        return mine.result

    def _can_end(self) -> bool:
        """Whether the work on a call can be ended, since another process does it."""
        return bool(getattr(self.backend, "works_in", ""))

    def _wake(self) -> None:
        """See that a thread takes what waits; the lock is held."""
        if self._idle >= len(self._waiting):
            self._work.notify()
        elif self._threads < self.max_threads:
            self._threads += 1
            threading.Thread(target=self._serve, name="visprog-tools", daemon=True).start()
        else:
            self._work.notify()

    def _leave(self, mine: _Pending) -> None:
        """Forget a call that its caller does not wait for any more; give its batch up, at once or in a moment."""
        with self._traffic.changed:
            if mine.done.is_set():
                return
            self._traffic.calling -= 1
            self._traffic.changed.notify_all()
            mine.left = True
            if mine in self._waiting:
                self._waiting.remove(mine)
                return
            batch = mine.batch
        assert batch is not None
        grace = 0.0 if len(batch.calls) == 1 else min(2 * self._seconds, self.MAX_GRACE)
        if not grace:
            self._give_up(batch)
            return
        timer = threading.Timer(grace, self._give_up, [batch])
        timer.daemon = True
        timer.start()

    def _give_up(self, batch: _Batch) -> None:
        """End a batch that takes longer than a run may, and make the calls of the others again."""
        with self._traffic.changed:
            if batch.ended:
                return
            batch.ended = True
            self.given_up += 1
            self._threads -= 1  # that one is not counted on any more
            again = [call for call in batch.calls if not call.left]
            for call in again:
                call.wait_again()
            self._waiting[:0] = again
            if again:
                self._wake()
        interrupt = getattr(self.backend, "interrupt", None)
        if interrupt is not None:
            interrupt(batch.thread)

    def _serve(self) -> None:
        """Run batches as they come, in a thread."""
        while (batch := self._gather()) is not None:
            if not self._run(batch):
                return

    def _gather(self) -> _Batch | None:
        """The next batch: what waits, and what comes within a moment. None if nothing came for a while."""
        with self._traffic.changed:
            while not self._waiting:
                self._idle += 1
                try:
                    called = self._work.wait(self.LINGER)
                finally:
                    self._idle -= 1
                if not called and not self._waiting:
                    self._threads -= 1
                    return None
            deadline = time.monotonic() + min(self.WAIT_SHARE * self._seconds, self.MAX_WAIT)
            while 0 < len(self._waiting) < self.max_batch and not self._traffic.all_waiting:
                left = deadline - time.monotonic()
                if left <= 0 or not self._traffic.changed.wait(left):
                    break
            calls, self._waiting = self._waiting[: self.max_batch], self._waiting[self.max_batch :]
            batch = _Batch(calls, threading.get_ident())
            for call in calls:
                call.begin(batch)
            if calls:
                self.sizes[len(calls)] += 1
            return batch

    def _run(self, batch: _Batch) -> bool:
        """Run a batch and hand out its results; False if it was given up meanwhile."""
        if not batch.calls:  # its callers have left
            return True
        results: list[Any] = []
        started = time.monotonic()
        try:
            arguments = [call.arguments for call in batch.calls]
            given = batch.calls[0].context.run(self._work_on, batch, arguments)
            if not hasattr(given, "__len__"):
                raise ToolError(
                    f"the backend returned {describe(given)}, not a list with the result of each call"
                )
            if len(given) != len(batch.calls):
                raise ToolError(f"the backend returned {len(given)} results for {len(batch.calls)} calls")
            results = list(given)
        except BaseException as error:  # the whole batch failed; each caller gets the error
            results = [contained(error)] * len(batch.calls)
        with self._traffic.changed:
            if batch.ended:
                return False
            batch.ended = True
            self._seconds = time.monotonic() - started
            for call, result in zip(batch.calls, results, strict=True):
                if not call.left:
                    self._traffic.calling -= 1
                    call.finish(result)
        return True

    def _work_on(self, batch: _Batch, arguments: list[dict[str, Any]]) -> list[Any]:
        token = _batch.set(batch)
        try:
            return self.backend(arguments)
        finally:
            _batch.reset(token)


@dataclass(eq=False)
class _Batch:
    """Calls that are worked on together, in one thread."""

    calls: list[_Pending]
    thread: int
    ended: bool = False


@dataclass(eq=False)
class _Pending:
    """A call that waits for its result.

    Attributes:
        waited: Seconds that it waited for the work of others until now.
        since: Time since which it waits for others; None while it is worked on.
        left: Its caller is gone.
        cancellation: Says whether its caller still wants it.
    """

    arguments: dict[str, Any]
    clock: Clock | None
    cancellation: Cancellation = field(default_factory=current_cancellation)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    batch: _Batch | None = None
    result: Any = None
    waited: float = 0.0
    since: float | None = field(default_factory=time.monotonic)
    began: float = 0.0
    left: bool = False
    done: threading.Event = field(default_factory=threading.Event)

    def begin(self, batch: _Batch) -> None:
        """It is worked on from now."""
        self.batch, self.began = batch, time.monotonic()
        self.go_on()

    def pause(self) -> None:
        """It waits for the work of others from now."""
        self.since = time.monotonic()

    def go_on(self) -> None:
        """It does not wait any more."""
        if self.since is not None:
            self.waited += time.monotonic() - self.since
            self.since = None  # after that: one who looks between them must not find less

    def wait_again(self) -> None:
        """The work on it was in vain, for a reason that lies in another call."""
        self.batch, self.since = None, self.began

    def finish(self, result: Any) -> None:
        """Its result is there. The batch holds it, and is forgotten: images must not wait for the garbage collector."""
        self.result, self.batch = result, None
        self.done.set()

    def wait(self, can_end: Callable[[], bool]) -> None:
        """Wait for the result, as long as the run has time and is not cancelled.

        Args:
            can_end: Whether the work can be ended. Otherwise it is waited for though it is cancelled: whoever cancels
                could begin it again and again.

        Raises:
            OutOfTime: It has none left, or is cancelled.
        """
        if self.clock is None:
            self.done.wait()
            return
        most = threading.TIMEOUT_MAX if self.cancellation is NEVER else POLL
        try:
            while not self.done.wait(min(most, max(0.0, left := self._seconds_left(self.clock)))):
                if left <= 0 or (self.cancellation.is_cancelled and can_end()):
                    raise OutOfTime
        finally:
            self.clock.extend(self._seconds_of_others())

    def _seconds_left(self, clock: Clock) -> float:
        return clock.left + min(self._seconds_of_others(), clock.patience)

    def _seconds_of_others(self) -> float:
        since = self.since
        return self.waited if since is None else self.waited + time.monotonic() - since


_batch: contextvars.ContextVar[_Batch | None] = contextvars.ContextVar("visprog_batch", default=None)
"""The batch that is worked on in this thread."""

_after_fork: weakref.WeakSet[Traffic | Batcher] = weakref.WeakSet()


def _forget_threads() -> None:
    for each in sorted(
        _after_fork, key=lambda one: isinstance(one, Batcher)
    ):  # batchers share the lock of traffic
        each.forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)

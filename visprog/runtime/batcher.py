"""Batches of tool calls that programs make at the same time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..errors import ToolError, contained
from ..registry import Backend
from ..registry.types import describe


class Traffic:
    """Number of programs that run, and of those that wait for a tool. Shared by all batchers."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.running = 0
        self.calling = 0

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


class Batcher:
    """Calls one backend, with one batch at a time.

    What comes while the backend is busy forms the next batch. An idle backend starts at once if no other program
    could join; if one could, it waits for at most `WAIT_SHARE` of the time that its last batch took, and `MAX_WAIT`.
    The caller that finds the backend idle runs the batch in its own thread, so there is no thread to start or to end.

    Args:
        backend: Does the work.
        traffic: Says whether other programs may call soon.
        max_batch: Number of calls in a batch, at most.

    Attributes:
        sizes: Number of batches per size.
    """

    MAX_BATCH = 32
    WAIT_SHARE = 0.25
    MAX_WAIT = 0.05
    """In seconds."""

    def __init__(self, backend: Backend, traffic: Traffic, max_batch: int = MAX_BATCH) -> None:
        self.backend = backend
        self.max_batch = max_batch
        self.sizes: Counter[int] = Counter()
        self._traffic = traffic
        self._waiting: list[_Pending] = []
        self._busy = False
        self._seconds = 0.0

    def __call__(self, arguments: dict[str, Any]) -> Any:
        """The result of one call.

        Raises:
            Exception: what the backend gave in the place of the result, or raised for the whole batch.
        """
        mine = _Pending(arguments)
        with self._traffic.changed:
            self._traffic.calling += 1
            self._waiting.append(mine)
            self._traffic.changed.notify_all()
            if not self._busy:
                self._busy = True
                mine.woken.set()
        try:
            mine.woken.wait()  # its result is there, or it is its turn to lead
            if not mine.done:
                self._run(self._gather())
        finally:
            self._leave(mine)
        if isinstance(mine.result, Exception):
            raise mine.result
        return mine.result

    def _leave(self, mine: _Pending) -> None:
        """Hand the lead over, where this caller had it; forget its call, where it was interrupted."""
        with self._traffic.changed:
            if mine in self._waiting:
                self._waiting.remove(mine)
                self._traffic.calling -= 1
            elif not mine.leads:
                return
            if mine.woken.is_set():
                self._busy = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].woken.set()

    def _gather(self) -> list[_Pending]:
        """The next batch: what waits, and what comes within a moment."""
        deadline = time.monotonic() + min(self.WAIT_SHARE * self._seconds, self.MAX_WAIT)
        with self._traffic.changed:
            while len(self._waiting) < self.max_batch and not self._traffic.all_waiting:
                left = deadline - time.monotonic()
                if left <= 0 or not self._traffic.changed.wait(left):
                    break
            batch, self._waiting = self._waiting[: self.max_batch], self._waiting[self.max_batch :]
            batch[0].leads = True  # the first to come is the one who runs this
            self.sizes[len(batch)] += 1
        return batch

    def _run(self, batch: list[_Pending]) -> None:
        results: list[Any] = [ToolError("the batch that this call was in was interrupted")] * len(batch)
        started = time.monotonic()
        try:
            given = self.backend([p.arguments for p in batch])
            if not hasattr(given, "__len__"):
                raise ToolError(
                    f"the backend returned {describe(given)}, not a list with the result of each call"
                )
            if len(given) != len(batch):
                raise ToolError(f"the backend returned {len(given)} results for {len(batch)} calls")
            results = given
        except BaseException as error:  # the whole batch failed; each caller gets the error
            results = [contained(error)] * len(batch)
        finally:
            self._seconds = time.monotonic() - started
            for pending, result in zip(batch, results, strict=True):
                pending.result, pending.done = result, True
            with self._traffic.changed:
                self._traffic.calling -= len(batch)
            for pending in batch:
                pending.woken.set()


@dataclass(eq=False)
class _Pending:
    """A call that waits for its result."""

    arguments: dict[str, Any]
    result: Any = None
    done: bool = False
    leads: bool = False
    woken: threading.Event = field(default_factory=threading.Event)

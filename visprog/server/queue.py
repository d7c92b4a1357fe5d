"""Who is served now, who waits, and who is sent away."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from .errors import Problem

T = TypeVar("T")

CLOSING = "the server is shutting down: ask again when it is back"
LATER = 5.0
"""Seconds after which a server that shuts down may be back."""


class Line:
    """A bounded line before a fixed number of threads, first come first served.

    It belongs to one event loop; only the work itself is done in threads.

    Args:
        workers: how many requests are worked on at once, each in a thread.
        queue: how many more may wait.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self.workers = workers
        self.places = workers + queue
        self.admitted = 0
        self.running = 0
        self.closed = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._empty = asyncio.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="visprog-serve")
        self._typical = 1.0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """A place for one request, from before its body is read until it is answered.

        Raises:
            Problem: 429 where all places are taken, 503 where the server is shutting down.
        """
        if self.closed:
            raise Problem(503, CLOSING, LATER)
        if self.admitted >= self.places:
            raise Problem(
                429, f"all {self.places} places are taken: try again in a few seconds", self._typical
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1
            self._look_whether_empty()

    async def run(self, work: Callable[[], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """Do the work in a thread, as soon as one is free.

        Where the caller gives up meanwhile, the thread stays taken until the work ends: nothing can end it
        from outside.

        Args:
            gone: whether nobody wants the result any more; asked when the turn has come.

        Raises:
            Problem: 503 where the server shuts down before, 499 where nobody wants the result.
        """
        await self._turn()
        try:
            if await gone():
                raise Problem(499, "the client went away")
            started = time.monotonic()
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            self._pass_on()
            raise

        def done(ended: asyncio.Future[T]) -> None:
            ended.cancelled() or ended.exception()  # where nobody waits any more, nobody else looks
            self._typical += 0.2 * (time.monotonic() - started - self._typical)
            self._pass_on()

        future.add_done_callback(done)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Send away who waits and who comes; what is being worked on goes on."""
        self.closed = True
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(Problem(503, CLOSING, LATER))
        self._look_whether_empty()

    async def emptied(self) -> None:
        """Returns once the line is closed and everyone who was in it is answered."""
        await self._empty.wait()

    async def _turn(self) -> None:
        if self.running < self.workers:
            self.running += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(mine)
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled() and mine.done() and mine.exception() is None:
                self._pass_on()  # it came at the moment of giving up
            raise

    def _pass_on(self) -> None:
        """Give a free thread to the next one."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _look_whether_empty(self) -> None:
        if self.closed and self.admitted == 0:
            self._empty.set()

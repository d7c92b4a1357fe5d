"""The queue of requests: how many run at once, how many wait, and which are refused."""

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
RETRY_AFTER = 5.0
"""Seconds after which a server that shuts down may be back."""


class RequestQueue:
    """A bounded queue in front of a fixed number of threads, first in, first out.

    It belongs to one event loop; only the work itself is done in threads.

    Args:
        workers: Number of requests that are processed at the same time, each in a thread.
        queue: Maximum number of requests that wait.
    """

    def __init__(self, workers: int, queue: int) -> None:
        self.workers = workers
        self.capacity = workers + queue
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
        """Reserve a place for one request, from before its body is read until it is answered.

        Raises:
            Problem: 429 if the queue is full, 503 if the server is shutting down.
        """
        if self.closed:
            raise Problem(503, CLOSING, RETRY_AFTER)
        if self.admitted >= self.capacity:
            raise Problem(
                429,
                f"the queue is full ({self.capacity} requests): try again in a few seconds",
                self._typical,
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1
            self._check_empty()

    async def run(self, work: Callable[[], T], gone: Callable[[], Awaitable[bool]]) -> T:
        """Do the work in a thread, as soon as one is free.

        If the caller gives up meanwhile, the thread stays busy until the work ends: nothing can end it from outside.

        Args:
            work: Function that does the work.
            gone: Whether the client has disconnected; called when a thread is free.

        Returns:
            The result of `work`.

        Raises:
            Problem: 503 if the server shuts down first, 499 if the client has disconnected.
        """
        await self._turn()
        try:
            if await gone():
                raise Problem(499, "the client disconnected")
            started = time.monotonic()
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            self._pass_on()
            raise

        def done(ended: asyncio.Future[T]) -> None:
            ended.cancelled() or ended.exception()  # read, so that asyncio does not complain if the caller gave up
            self._typical += 0.2 * (time.monotonic() - started - self._typical)
            self._pass_on()

        future.add_done_callback(done)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Refuse waiting and new requests; those that run are finished."""
        self.closed = True
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(Problem(503, CLOSING, RETRY_AFTER))
        self._check_empty()

    async def wait_until_empty(self) -> None:
        """Return when the queue is closed and every admitted request is answered."""
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
                self._pass_on()  # the thread became free at the moment of giving up
            raise

    def _pass_on(self) -> None:
        """Give a free thread to the next request."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1

    def _check_empty(self) -> None:
        if self.closed and self.admitted == 0:
            self._empty.set()

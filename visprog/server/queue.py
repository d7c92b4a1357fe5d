"""The queue of requests: how many run at once, how many wait, and which are refused."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from .errors import Problem
from .shares import Shares

T = TypeVar("T")

CLOSING = "the server is shutting down: ask again when it is back"
RETRY_AFTER = 5.0
"""Seconds after which a server that shuts down may be back."""


class RequestQueue:
    """A bounded queue in front of a fixed number of threads.

    The next request to be processed is the first of the clients that have the fewest requests in progress. The queue
    belongs to one event loop; only the work itself is done in threads.

    Args:
        workers: Number of requests that are processed at the same time, each in a thread.
        queue: Maximum number of requests that wait.
        share: Part of all these places that one client may take.
    """

    def __init__(self, workers: int, queue: int, share: float = 1.0) -> None:
        self.workers = workers
        self.places = Shares(workers + queue, share)
        self.running = 0
        self.closed = False
        self._waiting: deque[tuple[str, asyncio.Future[None]]] = deque()
        self._of_client: Counter[str] = Counter()
        self._deadlines: dict[asyncio.Future[Any], float] = {}
        self._empty = asyncio.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="visprog-serve")
        self._typical = 1.0

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def overdue(self) -> int:
        """Number of threads whose work has not ended by its deadline."""
        now = time.monotonic()
        return sum(deadline < now for deadline in self._deadlines.values())

    def check(self, client: str) -> None:
        """Raise the `Problem` that `admit` would raise now."""
        if self.closed:
            raise Problem(503, CLOSING, RETRY_AFTER)
        if self.places.full():
            what = f"the queue is full ({self.places.total} requests)"
        elif self.places.refuses(client):
            what = f"{self.places.for_one} requests from your address are in the queue, which is its share"
        else:
            return
        raise Problem(429, f"{what}: try again in a few seconds", self._typical)

    @contextmanager
    def admit(self, client: str) -> Iterator[None]:
        """Reserve a place for one request of a client, until it is answered.

        Raises:
            Problem: 429 if the queue is full or the client has its share of it, 503 if the server is shutting down.
        """
        self.check(client)
        self.places.take(client)
        try:
            yield
        finally:
            self.places.give_back(client)
            self._check_empty()

    async def run(self, client: str, work: Callable[[], T], deadline: float) -> T:
        """Do the work of an admitted request in a thread, as soon as one is free.

        If the caller gives up meanwhile, the thread stays busy until the work ends, which the caller may cancel.

        Args:
            client: Client whose request it is.
            work: Function that does the work.
            deadline: Time at which the work should have ended, on the clock `time.monotonic`.

        Returns:
            The result of `work`.

        Raises:
            Problem: 503 if the server shuts down first.
        """
        await self._turn(client)
        try:
            started = time.monotonic()
            future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        except BaseException:
            self._pass_on(client)
            raise
        self._deadlines[future] = deadline

        def done(ended: asyncio.Future[T]) -> None:
            ended.cancelled() or ended.exception()  # read, so that asyncio does not complain if the caller gave up
            del self._deadlines[ended]
            self._typical += 0.2 * (time.monotonic() - started - self._typical)
            self._pass_on(client)

        future.add_done_callback(done)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Refuse waiting and new requests; those that run are finished."""
        self.closed = True
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(Problem(503, CLOSING, RETRY_AFTER))
        self._check_empty()

    async def wait_until_empty(self) -> None:
        """Return when the queue is closed and every admitted request is answered."""
        await self._empty.wait()

    async def _turn(self, client: str) -> None:
        if self.running < self.workers:
            self.running += 1
            self._of_client[client] += 1
            return
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((client, mine))
        try:
            await mine
        except asyncio.CancelledError:
            if not mine.cancelled() and mine.done() and mine.exception() is None:
                self._pass_on(client)  # the thread became free at the moment of giving up
            raise

    def _pass_on(self, client: str) -> None:
        """Give the thread of a client to the next request."""
        self.running -= 1
        self._of_client[client] -= 1
        if not self._of_client[client]:
            del self._of_client[client]
        waiting = [(other, turn) for other, turn in self._waiting if not turn.done()]
        if waiting:
            chosen = min(waiting, key=lambda pair: self._of_client[pair[0]])
            waiting.remove(chosen)
            self.running += 1
            self._of_client[chosen[0]] += 1
            chosen[1].set_result(None)
        self._waiting = deque(waiting)

    def _check_empty(self) -> None:
        if self.closed and self.places.used == 0:
            self._empty.set()

"""The queue of requests: which run, which wait, which are refused."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi")

from visprog.server.errors import Problem
from visprog.server.queue import RequestQueue


async def request(
    queue: RequestQueue,
    work: Callable[[], Any],
    client: str = "one",
    seconds: float = 60,
) -> Any:
    with queue.admit(client):
        return await queue.run(client, work, time.monotonic() + seconds)


class Slow:
    """Work that waits to be let go, and notes how many do it at once, and in which order."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lock = threading.Lock()
        self.order: list[int] = []
        self.now = self.most = 0

    def work(self, number: int) -> int:
        with self.lock:
            self.order.append(number)
            self.now += 1
            self.most = max(self.most, self.now)
        assert self.go.wait(20)
        with self.lock:
            self.now -= 1
        return number


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_requests_run_in_order_of_arrival_within_the_limit() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(2, 6), Slow()
        tasks = [asyncio.create_task(request(queue, lambda i=i: slow.work(i))) for i in range(8)]
        await until(lambda: len(slow.order) == 2)
        assert (queue.places.used, queue.running, queue.waiting) == (8, 2, 6)
        slow.go.set()
        assert await asyncio.gather(*tasks) == list(range(8))
        assert slow.most == 2 and sorted(slow.order[:2]) == [0, 1]
        await until(lambda: queue.running == 0)
        assert (queue.places.used, queue.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_full_queue_refuses_a_request_with_retry_after() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(1, 1), Slow()
        tasks = [asyncio.create_task(request(queue, lambda i=i: slow.work(i))) for i in range(2)]
        await until(lambda: queue.places.used == 2)
        with pytest.raises(Problem) as refused:
            await request(queue, lambda: 3)
        assert refused.value.status == 429 and int(refused.value.headers["Retry-After"]) >= 1
        slow.go.set()
        assert await asyncio.gather(*tasks) == [0, 1]
        assert await request(queue, lambda: 3) == 3

    asyncio.run(scenario())


def test_closing_finishes_running_requests_and_refuses_the_rest() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(1, 5), Slow()
        tasks = [asyncio.create_task(request(queue, lambda i=i: slow.work(i))) for i in range(3)]
        await until(lambda: slow.order == [0] and queue.waiting == 2)
        queue.close()
        results = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert [r.status for r in results if isinstance(r, Problem)] == [503, 503]
        with pytest.raises(Problem, match="shutting down"):
            await request(queue, lambda: 9)
        empty = asyncio.create_task(queue.wait_until_empty())
        await asyncio.sleep(0.02)
        assert not empty.done()
        slow.go.set()
        assert await tasks[0] == 0
        await empty

    asyncio.run(scenario())


def test_a_client_that_gives_up_leaves_no_gap() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(1, 5), Slow()
        running, leaves, stays = (
            asyncio.create_task(request(queue, lambda i=i: slow.work(i))) for i in range(3)
        )
        await until(lambda: slow.order == [0] and queue.waiting == 2)
        leaves.cancel()
        running.cancel()  # its thread goes on, and is not given away before it ends
        await asyncio.sleep(0.02)
        assert (queue.running, queue.places.used, slow.order) == (1, 1, [0])
        slow.go.set()
        assert await stays == 2 and slow.order == [0, 2]
        await until(lambda: queue.running == 0)

    asyncio.run(scenario())


def test_work_that_fails_frees_its_thread() -> None:
    async def scenario() -> None:
        queue = RequestQueue(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await request(queue, lambda: 1 // 0)
            await until(lambda: queue.running == 0)

    asyncio.run(scenario())


def test_one_client_gets_its_share_of_the_places_and_no_more() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(2, 6, share=0.5), Slow()
        greedy = [
            asyncio.create_task(request(queue, lambda i=i: slow.work(i), client="greedy")) for i in range(4)
        ]
        await until(lambda: queue.places.used == 4)
        with pytest.raises(Problem, match="4 requests from your address") as refused:
            await request(queue, lambda: 9, client="greedy")
        assert refused.value.status == 429 and refused.value.retry_after
        other = asyncio.create_task(request(queue, lambda: slow.work(9), client="other"))
        await until(lambda: queue.places.used == 5)
        slow.go.set()
        assert await asyncio.gather(*greedy, other) == [0, 1, 2, 3, 9]
        assert await request(queue, lambda: 5, client="greedy") == 5

    asyncio.run(scenario())


def test_a_free_thread_goes_to_the_client_that_has_the_fewest() -> None:
    async def scenario() -> None:
        queue, order = RequestQueue(2, 8), []
        ends = [threading.Event() for _ in range(6)]

        def work(number: int) -> None:
            order.append(number)
            assert ends[number].wait(20)

        clients = ["greedy"] * 4 + ["other", "third"]
        tasks = [
            asyncio.create_task(request(queue, lambda i=i: work(i), client=client))
            for i, client in enumerate(clients)
        ]
        await until(lambda: order == [0, 1] and queue.waiting == 4)
        ends[0].set()
        await until(lambda: order == [0, 1, 4])
        ends[1].set()
        await until(lambda: order == [0, 1, 4, 2])  # greedy and third have none: the first that arrived
        ends[4].set()
        await until(lambda: order == [0, 1, 4, 2, 5])
        for end in ends:
            end.set()
        await asyncio.gather(*tasks)
        assert order[5:] == [3]

    asyncio.run(scenario())


def test_threads_past_their_deadline_are_counted() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(2, 2), Slow()
        tasks = [
            asyncio.create_task(request(queue, lambda i=i: slow.work(i), seconds=seconds))
            for i, seconds in enumerate([0.0, 60.0])
        ]
        await until(lambda: len(slow.order) == 2 and queue.overdue == 1)
        slow.go.set()
        await asyncio.gather(*tasks)
        await until(lambda: queue.running == 0)
        assert queue.overdue == 0

    asyncio.run(scenario())

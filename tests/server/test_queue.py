"""The queue of requests: which run, which wait, which are refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi")

from visprog.server.errors import Problem
from visprog.server.queue import RequestQueue


async def wanted() -> bool:
    return False


async def unwanted() -> bool:
    return True


async def request(queue: RequestQueue, work: Callable[[], Any], gone: Any = wanted) -> Any:
    with queue.admit():
        return await queue.run(work, gone)


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
        assert (queue.admitted, queue.running, queue.waiting) == (8, 2, 6)
        slow.go.set()
        assert await asyncio.gather(*tasks) == list(range(8))
        assert slow.most == 2 and sorted(slow.order[:2]) == [0, 1]
        await until(lambda: queue.running == 0)
        assert (queue.admitted, queue.waiting) == (0, 0)

    asyncio.run(scenario())


def test_a_full_queue_refuses_a_request_with_retry_after() -> None:
    async def scenario() -> None:
        queue, slow = RequestQueue(1, 1), Slow()
        tasks = [asyncio.create_task(request(queue, lambda i=i: slow.work(i))) for i in range(2)]
        await until(lambda: queue.admitted == 2)
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
        assert (queue.running, queue.admitted, slow.order) == (1, 1, [0])
        slow.go.set()
        assert await stays == 2 and slow.order == [0, 2]
        await until(lambda: queue.running == 0)

    asyncio.run(scenario())


def test_work_for_a_disconnected_client_is_not_done() -> None:
    async def scenario() -> None:
        queue, done = RequestQueue(1, 1), []
        with pytest.raises(Problem, match="disconnected"):
            await request(queue, lambda: done.append(1), unwanted)
        assert not done and queue.running == 0

    asyncio.run(scenario())


def test_work_that_fails_frees_its_thread() -> None:
    async def scenario() -> None:
        queue = RequestQueue(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await request(queue, lambda: 1 // 0)
            await until(lambda: queue.running == 0)

    asyncio.run(scenario())

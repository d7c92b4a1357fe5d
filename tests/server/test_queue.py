"""The line of requests: who works, who waits, who is sent away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("fastapi")

from visprog.server.errors import Problem
from visprog.server.queue import Line


async def wanted() -> bool:
    return False


async def unwanted() -> bool:
    return True


async def request(line: Line, work: Callable[[], Any], gone: Any = wanted) -> Any:
    with line.admit():
        return await line.run(work, gone)


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


def test_so_many_work_at_once_in_the_order_in_which_they_came() -> None:
    async def scenario() -> None:
        line, slow = Line(2, 6), Slow()
        tasks = [asyncio.create_task(request(line, lambda i=i: slow.work(i))) for i in range(8)]
        await until(lambda: len(slow.order) == 2)
        assert (line.admitted, line.running, line.waiting) == (8, 2, 6)
        slow.go.set()
        assert await asyncio.gather(*tasks) == list(range(8))
        assert slow.most == 2 and sorted(slow.order[:2]) == [0, 1]
        await until(lambda: line.running == 0)
        assert (line.admitted, line.waiting) == (0, 0)

    asyncio.run(scenario())


def test_one_too_many_is_sent_away_and_told_when_to_come_back() -> None:
    async def scenario() -> None:
        line, slow = Line(1, 1), Slow()
        tasks = [asyncio.create_task(request(line, lambda i=i: slow.work(i))) for i in range(2)]
        await until(lambda: line.admitted == 2)
        with pytest.raises(Problem) as refused:
            await request(line, lambda: 3)
        assert refused.value.status == 429 and int(refused.value.headers["Retry-After"]) >= 1
        slow.go.set()
        assert await asyncio.gather(*tasks) == [0, 1]
        assert await request(line, lambda: 3) == 3

    asyncio.run(scenario())


def test_closing_finishes_what_runs_and_sends_the_rest_away() -> None:
    async def scenario() -> None:
        line, slow = Line(1, 5), Slow()
        tasks = [asyncio.create_task(request(line, lambda i=i: slow.work(i))) for i in range(3)]
        await until(lambda: slow.order == [0] and line.waiting == 2)
        line.close()
        results = await asyncio.gather(*tasks[1:], return_exceptions=True)
        assert [r.status for r in results if isinstance(r, Problem)] == [503, 503]
        with pytest.raises(Problem, match="shutting down"):
            await request(line, lambda: 9)
        empty = asyncio.create_task(line.emptied())
        await asyncio.sleep(0.02)
        assert not empty.done()
        slow.go.set()
        assert await tasks[0] == 0
        await empty

    asyncio.run(scenario())


def test_who_gives_up_leaves_no_gap() -> None:
    async def scenario() -> None:
        line, slow = Line(1, 5), Slow()
        running, leaves, stays = (
            asyncio.create_task(request(line, lambda i=i: slow.work(i))) for i in range(3)
        )
        await until(lambda: slow.order == [0] and line.waiting == 2)
        leaves.cancel()
        running.cancel()  # its thread goes on, and is not given away before it ends
        await asyncio.sleep(0.02)
        assert (line.running, line.admitted, slow.order) == (1, 1, [0])
        slow.go.set()
        assert await stays == 2 and slow.order == [0, 2]
        await until(lambda: line.running == 0)

    asyncio.run(scenario())


def test_work_that_nobody_wants_any_more_is_not_done() -> None:
    async def scenario() -> None:
        line, done = Line(1, 1), []
        with pytest.raises(Problem, match="went away"):
            await request(line, lambda: done.append(1), unwanted)
        assert not done and line.running == 0

    asyncio.run(scenario())


def test_work_that_fails_frees_its_thread() -> None:
    async def scenario() -> None:
        line = Line(1, 0)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await request(line, lambda: 1 // 0)
            await until(lambda: line.running == 0)

    asyncio.run(scenario())

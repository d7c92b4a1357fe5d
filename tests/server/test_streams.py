"""Streams of steps, and clients that go away: what they had asked for ends."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from tests.runtime.processes.hostile import obey
from tests.server.local import Running, answer_on, events_on, post, request, running, until
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent, Image, Tool, tool
from visprog.runtime.events import Answered
from visprog.server import streams
from visprog.server.app import Service
from visprog.server.limits import RequestLimits
from visprog.server.queue import RequestQueue
from visprog.server.shares import Shares
from visprog.server.streams import MAX_WAITING, EventStream

PNG = picture()._repr_png_()
COUNT = 'def answer(image):\n    return len(detect(image, "dog"))\n'
ENDLESS = 'def answer(image):\n    while True:\n        detect(image, "dog")'
SLEEP = "def answer(image):\n    return obey(image, 'sleep')"
HELD = "def answer(image):\n    return held(image)"
GO, BEGUN = threading.Event(), threading.Event()
"""What lets the calls of `held` return, and what says that one has begun."""
STREAM = "Accept: text/event-stream\r\n"


def tool_of_this_process() -> Tool:
    """A tool that no other process can import, and that nothing can end."""

    @tool(cache=False)
    def held(image: Image) -> int:
        """The width, when the test allows it."""
        BEGUN.set()
        assert GO.wait(120)
        return image.width

    return held


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    settings = {"seconds": 300, "calls": 1_000_000}
    registry = REGISTRY | [tool_of_this_process(), obey]
    with Agent(FakePlanner(*[COUNT] * 99), settings, registry=registry) as made:
        made.sandbox.warm()
        yield made


@pytest.fixture
def start(agent: Agent) -> Iterator[Callable[..., Running]]:
    GO.clear()
    BEGUN.clear()
    with ExitStack() as stack:

        def begin(
            limits: RequestLimits | None = None,
            queue: RequestQueue | None = None,
            connections: Shares | None = None,
        ) -> Running:
            limits = limits or RequestLimits(upload=200_000, seconds=60, stall=0.6, rate=1 << 20)
            service = Service(agent, queue or RequestQueue(2, 2), limits)
            return stack.enter_context(running(service, connections or Shares(500), release=GO.set))

        yield begin


def run(program: str, headers: str = STREAM, **fields: str) -> bytes:
    return post("/v1/run", {"program": program, **fields}, ("a.png", PNG), headers=headers)


def read(served: Running, data: bytes) -> list[tuple[str, Any]]:
    with served.connect() as connection:
        connection.sendall(data)
        return list(events_on(connection))


def timeless(answer: dict[str, Any]) -> dict[str, Any]:
    calls = [{**call, "seconds": 0, "cached": False} for call in answer["trace"]]
    steps = [timeless(step) for step in answer.get("steps", ())]
    return {**answer, "seconds": 0, "trace": calls, **({"steps": steps} if "steps" in answer else {})}


# -- what is sent --------------------------------------------------------------------------------


def test_steps_come_before_the_answer_that_is_the_same_as_without(start: Callable[..., Running]) -> None:
    served = start()
    question = {"question": "How many dogs?"}
    found = read(served, post("/v1/ask", question, ("a.png", PNG), headers=STREAM))
    names = [name for name, _ in found]
    assert names == ["planned", "checked", "call_started", "call_ended", "answered", "answer"]
    steps = dict(found)
    assert steps["planned"]["program"] == COUNT and steps["checked"]["diagnostics"] == []
    assert steps["call_started"]["arguments"]["what"] == "'dog'" and steps["call_started"]["line"] == 2
    assert steps["call_ended"]["call"] == steps["call_started"]["call"]
    status, _, plain = served.send(post("/v1/ask", question, ("a.png", PNG)))
    assert status == 200 and timeless(plain) == timeless(steps["answer"])


def test_a_step_is_sent_while_the_work_goes_on(start: Callable[..., Running]) -> None:
    served = start()
    with served.connect() as connection:
        connection.sendall(run(HELD))
        events = events_on(connection)
        assert [next(events)[0], next(events)[0]] == ["checked", "call_started"]
        assert served.service.queue.running == 1
        GO.set()
        assert [name for name, _ in events] == ["call_ended", "answered", "answer"]


def test_the_evidence_is_sent_as_a_page_on_request(start: Callable[..., Running]) -> None:
    found = dict(read(start(), run(COUNT, html="true")))
    assert found["evidence"]["html"].startswith("<!doctype html>") and "pictures" not in found["answer"]
    served = start()
    status, _, data = served.send(run(COUNT, headers="", html="true"))
    assert status == 400 and "text/event-stream" in data["message"]


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (post("/v1/ask", {}, ("a.png", PNG), headers=STREAM), 400, "'question'"),
        (post("/v1/ask", {"question": "How?"}, headers=STREAM), 400, "at least one image"),
        (post("/v1/ask", {"question": "How?"}, ("a.png", b"x"), headers=STREAM), 400, "a.png"),
        (post("/v1/ask", {"question": "How?"}, ("a.png", bytes(300_000)), headers=STREAM), 413, "too large"),
    ],
)
def test_a_request_that_is_refused_has_its_status(
    start: Callable[..., Running], data: bytes, status: int, words: str
) -> None:
    found, headers, body = start().send(data)
    assert found == status and headers["content-type"] == "application/json" and words in body["message"]


def test_a_stream_ends_with_the_time_limit(start: Callable[..., Running]) -> None:
    served = start(RequestLimits(seconds=1.5))
    found = read(served, run(SLEEP))
    assert [name for name, _ in found] == ["checked", "call_started", "problem"]
    assert found[-1][1]["status"] == "error" and "1.5 s" in found[-1][1]["message"]
    until(lambda: served.service.queue.running == 0)


# -- clients that go away ------------------------------------------------------------------------


@pytest.mark.parametrize("headers", ["", STREAM], ids=["plain", "stream"])
@pytest.mark.parametrize("program", [SLEEP, ENDLESS], ids=["in a tool", "between calls"])
def test_a_client_that_goes_away_ends_its_work(
    start: Callable[..., Running], program: str, headers: str
) -> None:
    served = start()
    queue = served.service.queue
    with served.connect() as connection:
        connection.sendall(run(program, headers))
        until(lambda: queue.running == 1)
        time.sleep(0.3)
        assert queue.running == 1
    until(lambda: queue.running == 0, 20)  # both would take much longer
    assert queue.places.used == 0 and served.service.uploads.used == 0
    assert served.run(COUNT)[2]["value"] == 2
    metrics = served.service.metrics.text({})
    assert 'endpoint="run",status="499"' in metrics


def test_one_that_waits_and_goes_away_gives_its_place_back(start: Callable[..., Running]) -> None:
    served = start(queue=RequestQueue(1, 3))
    with served.connect() as first, served.connect() as second:
        first.sendall(request(HELD))
        until(lambda: served.service.queue.running == 1)
        second.sendall(run(COUNT))
        until(lambda: served.service.queue.waiting == 1)
        second.close()
        until(lambda: served.service.queue.places.used == 1)
        GO.set()
        assert answer_on(first)[0] == 200


def test_a_tool_that_cannot_be_ended_keeps_its_worker(start: Callable[..., Running]) -> None:
    """Otherwise whoever comes and goes would start it again and again."""
    served = start(queue=RequestQueue(1, 0))
    with served.connect() as connection:
        connection.sendall(request(HELD))
        assert BEGUN.wait(60)
    until(lambda: served.service.queue.places.used == 0)
    time.sleep(0.5)
    assert served.service.queue.running == 1
    GO.set()
    until(lambda: served.service.queue.running == 0)


def test_a_stream_that_nobody_reads_ends_with_its_connection(start: Callable[..., Running]) -> None:
    connections = Shares(500)
    served = start(connections=connections)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(run(ENDLESS))
        until(lambda: connections.used == 0)
    until(lambda: served.service.queue.running == 0, 20)


# -- nothing without bound -----------------------------------------------------------------------


class Slow:
    """A client of ASGI that takes messages when it is allowed to."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.got = b""

    async def send(self, message: Any) -> None:
        await self.go.wait()
        self.got += message.get("body", b"")


def test_steps_that_are_not_read_are_left_out_but_the_answer_is_not() -> None:
    async def scenario() -> bytes:
        slow = Slow()
        stream = EventStream(slow.send)
        sending = asyncio.create_task(stream.run())
        event = Answered(run=1, time=0, question="", images=(), status="", value="", message="", seconds=0)
        thread = threading.Thread(target=lambda: [stream.listen(event) for _ in range(5 * MAX_WAITING)])
        thread.start()
        while thread.is_alive():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(stream._waiting) <= MAX_WAITING
        stream.end({"answer": b"{}"})
        slow.go.set()
        await sending
        return slow.got

    *steps, left_out, answer, _ = asyncio.run(scenario()).split(b"\n\n")
    assert len(steps) <= MAX_WAITING + 1 and answer == b"event: answer\ndata: {}"
    number = json.loads(left_out.removeprefix(b"event: left_out\ndata: "))["events"]
    assert number + len(steps) == 5 * MAX_WAITING


def test_a_stream_without_steps_stays_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "KEEP_ALIVE", 0.01)

    async def scenario() -> bytes:
        slow = Slow()
        slow.go.set()
        stream = EventStream(slow.send)
        sending = asyncio.create_task(stream.run())
        while slow.got.count(b": waiting\n\n") < 3:
            await asyncio.sleep(0.01)
        stream.end({"answer": b"1"})
        await sending
        return slow.got

    assert asyncio.run(scenario()).endswith(b"event: answer\ndata: 1\n\n")


def test_the_loop_may_end_before_the_work() -> None:
    async def make() -> EventStream:
        return EventStream(Slow().send)

    stream = asyncio.run(make())
    stream.listen(Answered(run=1, time=0, question="", images=(), status="", value="", message="", seconds=0))
    assert not stream.is_open

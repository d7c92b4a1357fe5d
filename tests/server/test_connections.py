"""Hostile clients on real sockets: slow, greedy, hanging, malformed; and what readiness says meanwhile."""

from __future__ import annotations

import contextlib
import io
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from tests.server.local import HEAD, Running, answer_on, request, running, until
from tests.server.test_app import COUNT
from tests.small_tools import REGISTRY, FakePlanner
from visprog import Agent, Image, tool
from visprog.server.app import Service
from visprog.server.limits import RequestLimits
from visprog.server.queue import RequestQueue
from visprog.server.shares import Shares, client_of

LIMITS = RequestLimits(upload=200_000, seconds=60, stall=0.6, rate=1 << 20)

GO = threading.Event()
"""Lets the calls of `held` return."""
HELD = "def answer(image):\n    return held(image)"


@tool(cache=False)
def held(image: Image) -> int:
    """The width, when the test allows it."""
    assert GO.wait(120)
    return image.width


needs_loopback_network = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux gives a machine all addresses of 127.0.0.0/8"
)


@pytest.fixture(scope="module")
def agent() -> Iterator[Agent]:
    with Agent(
        FakePlanner(*[COUNT] * 9), {"seconds": 120, "in_process": True}, registry=REGISTRY | [held]
    ) as made:
        yield made


@pytest.fixture
def start(agent: Agent) -> Iterator[Callable[..., Running]]:
    """Starts servers."""
    GO.clear()
    with ExitStack() as stack:

        def begin(
            limits: RequestLimits = LIMITS,
            queue: RequestQueue | None = None,
            uploads: Shares | None = None,
            connections: Shares | None = None,
            proxies: frozenset[str] = frozenset(),
        ) -> Running:
            service = Service(agent, queue or RequestQueue(2, 2), limits, uploads)
            return stack.enter_context(running(service, connections or Shares(500), proxies, GO.set))

        yield begin


def problem(found: tuple[int, dict[str, str], Any], status: int, *words: str) -> None:
    code, headers, data = found
    assert (code, data and data["status"]) == (status, "error"), found
    assert headers["content-type"] == "application/json"
    assert all(word in data["message"] for word in words), data
    if status in (429, 503):
        assert int(headers["retry-after"]) >= 1


# -- slow clients --------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", [b"", b"GE", HEAD, HEAD + b"X: 1\r\n"])
def test_headers_have_a_deadline(start: Callable[..., Running], sent: bytes) -> None:
    served = start()
    with served.connect() as connection:
        connection.sendall(sent)
        problem(answer_on(connection), 408, "headers", "0.6 s")
        assert connection.recv(1) == b""


def test_a_trickle_of_headers_does_not_move_the_deadline(start: Callable[..., Running]) -> None:
    served = start()
    with served.connect() as connection:
        connection.sendall(HEAD)
        until(lambda: trickle(connection, b"X: y\r\n"), 20)


def trickle(connection: socket.socket, data: bytes) -> bool:
    """Send a little; whether the other side has ended the connection."""
    connection.settimeout(0.05)
    try:
        connection.sendall(data)
        while part := connection.recv(1 << 16):
            assert b"408" in part or b"error" in part or b"200" in part
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def test_a_second_request_has_the_deadline_too(start: Callable[..., Running]) -> None:
    served = start()
    with served.connect() as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer_on(connection)[0] in (200, 503)
        connection.sendall(b"GET /he")
        problem(answer_on(connection), 408, "headers")


@pytest.mark.parametrize(
    "body", [b"Content-Length: 100000\r\n\r\n{", b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"]
)
def test_a_body_has_a_least_rate(start: Callable[..., Running], body: bytes) -> None:
    served = start()
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Type: application/json\r\n" + body)
        problem(answer_on(connection), 408, "1024 KiB a second")
    until(lambda: served.service.uploads.used == 0)


def test_a_body_that_is_long_but_fast_is_read(start: Callable[..., Running]) -> None:
    """Each part extends the deadline, which the whole upload exceeds."""
    served = start(RequestLimits(upload=200_000, stall=0.6, rate=20_000))
    data = HEAD + b"Content-Type: application/json\r\nContent-Length: 90000\r\n\r\n{"
    with served.connect() as connection:
        connection.sendall(data)
        for _ in range(9):
            connection.sendall(b" " * 9_000)
            time.sleep(0.1)
        connection.sendall(b" " * 8_998 + b"}")
        problem(answer_on(connection), 400, "'program'")


def test_slow_bodies_take_no_place_in_the_queue(start: Callable[..., Running]) -> None:
    served = start(RequestLimits(upload=200_000, stall=20), RequestQueue(1, 0))
    with ExitStack() as stack:
        for _ in range(20):
            half = stack.enter_context(served.connect())
            half.sendall(HEAD + b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
        until(lambda: served.service.uploads.used == 20_000)
        assert served.run("def answer(image):\n    return 1")[2]["value"] == 1
        served.stop()  # and those that are still being uploaded are refused at once
        problem(answer_on(half), 503, "shutting down")


def test_an_answer_that_nobody_reads_ends_with_its_connection(start: Callable[..., Running]) -> None:
    connections = Shares(500)
    served = start(connections=connections)
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.settimeout(0.5)
        try:
            for _ in range(3_000):  # until no more fits between them
                connection.sendall(ask)
        except OSError:
            pass
        until(lambda: connections.used == 0)


def test_the_rest_of_a_refused_request_has_a_deadline(start: Callable[..., Running]) -> None:
    served = start()
    with served.connect() as connection:
        connection.sendall(HEAD + b"Content-Type: text/plain\r\nContent-Length: 100000\r\n\r\n")
        problem(answer_on(connection), 415)
        until(lambda: trickle(connection, b"x"), 20)


# -- greedy clients ------------------------------------------------------------------------------


def test_a_giant_body_is_refused_before_it_is_read(start: Callable[..., Running]) -> None:
    served = start()
    head = HEAD + b"Content-Type: application/json\r\n"
    problem(served.send(head + b"Content-Length: 99999999999\r\n\r\n"), 413, "too large")
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    problem(served.send(head + b"Transfer-Encoding: chunked\r\n\r\n" + 4 * chunk), 413, "too large")
    until(lambda: served.service.uploads.used == 0)


@needs_loopback_network
def test_bytes_in_flight_are_bounded_for_all_and_for_each(start: Callable[..., Running]) -> None:
    served = start(
        RequestLimits(upload=200_000, stall=20), RequestQueue(1, 50), Shares(600_000, 0.5, least=200_000)
    )
    head = HEAD + b"Content-Type: application/json\r\nContent-Length: 150000\r\n\r\n"
    with ExitStack() as stack:

        def hold(source: str) -> None:
            before = served.service.uploads.used
            stack.enter_context(served.connect(source)).sendall(head)
            until(lambda: served.service.uploads.used == before + 150_000)

        hold("127.0.0.2")
        hold("127.0.0.2")
        problem(served.send(head, "127.0.0.2"), 429, "bytes", "your address")
        assert served.run("def answer(image):\n    return 1", "127.0.0.3")[0] == 200
        hold("127.0.0.3")
        hold("127.0.0.3")
        problem(served.send(head, "127.0.0.4"), 429, "bytes", "the server")
    until(lambda: served.service.uploads.used == 0)


@needs_loopback_network
def test_connections_are_bounded_for_all_and_for_each(start: Callable[..., Running]) -> None:
    connections = Shares(6, 0.5)
    served = start(RequestLimits(stall=20), connections=connections)
    with ExitStack() as stack:
        for number, source in enumerate(["127.0.0.2"] * 3 + ["127.0.0.3"] * 2, 1):
            stack.enter_context(served.connect(source))
            until(lambda number=number: connections.used == number)
        problem(served.run(COUNT, "127.0.0.2"), 503, "too many connections")
        assert served.run(COUNT, "127.0.0.4")[0] == 200
        stack.enter_context(served.connect("127.0.0.3"))
        until(lambda: connections.used == 6)
        problem(served.run(COUNT, "127.0.0.4"), 503, "too many connections")
    until(lambda: connections.used == 0)


@needs_loopback_network
def test_a_client_with_hanging_tools_leaves_room_for_others(start: Callable[..., Running]) -> None:
    served = start(RequestLimits(seconds=60, stall=20), RequestQueue(2, 4, share=0.5))
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(served.connect("127.0.0.2")).sendall(request(HELD))
            until(lambda number=number: served.service.queue.places.used == number + 1)
        problem(served.run(COUNT, "127.0.0.2"), 429, "3 requests from your address")
        assert not served.health("127.0.0.2")["ready"] and served.health("127.0.0.3")["ready"]
        with served.connect("127.0.0.3") as other:
            other.sendall(request(COUNT))
            until(lambda: served.service.queue.places.used == 4)
            GO.set()
            assert answer_on(other)[2]["value"] == 2
        until(lambda: served.service.queue.places.used == 0)


@needs_loopback_network
def test_behind_a_proxy_the_client_is_the_one_that_it_names(start: Callable[..., Running]) -> None:
    served = start(queue=RequestQueue(1, 1, share=0.5), proxies=frozenset({"127.0.0.2"}))
    named = request(HELD).replace(b"Host: localhost", b"Host: localhost\r\nX-Forwarded-For: 10.0.0.1")
    with served.connect("127.0.0.2") as first:
        first.sendall(named)
        until(lambda: served.service.queue.places.used == 1)
        problem(served.send(named, "127.0.0.2"), 429, "your address")
        with served.connect("127.0.0.2") as second:  # of another client of the proxy
            second.sendall(named.replace(b"10.0.0.1", b"10.0.0.2"))
            until(lambda: served.service.queue.places.used == 2)
            GO.set()
            assert answer_on(first)[0] == answer_on(second)[0] == 200
        assert served.send(named, "127.0.0.3")[0] == 200  # the header of others says nothing


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_an_ipv6_network_is_one_client(address: str, client: str) -> None:
    assert client_of(address) == client


# -- readiness -----------------------------------------------------------------------------------


def test_readiness_is_false_while_all_threads_hang_and_true_again_after(
    start: Callable[..., Running],
) -> None:
    served = start(RequestLimits(seconds=2.5), RequestQueue(2, 4))
    served.service.agent.sandbox.warm()
    until(lambda: served.health()["ready"])
    with served.connect() as first, served.connect() as second:
        for connection in (first, second):
            connection.sendall(request(HELD))
        for connection in (first, second):
            problem(answer_on(connection), 504)
        state = served.health()
        assert not state["ready"] and "whose time is over" in state["message"]
        GO.set()
        until(lambda: served.health()["ready"])
        until(lambda: served.service.queue.overdue == 0)


def test_readiness_is_false_while_the_queue_is_full(start: Callable[..., Running]) -> None:
    served = start(queue=RequestQueue(1, 0))
    with served.connect() as busy:
        busy.sendall(request(HELD))
        until(lambda: served.service.queue.places.used == 1)
        state = served.health()
        assert not state["ready"] and "queue is full" in state["message"]
        GO.set()
        assert answer_on(busy)[0] == 200
    until(lambda: served.health()["ready"])


def test_readiness_is_false_while_the_sandbox_does_not_work(
    start: Callable[..., Running], agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()
    until(lambda: served.health()["ready"])

    async def broken(*_: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(agent.sandbox, "arun", broken)
    until(lambda: not served.health()["ready"])  # the last result is used for a second
    assert "no more processes" in served.health()["message"]
    monkeypatch.undo()
    until(lambda: served.health()["ready"])


def test_a_probe_serves_all_who_ask_meanwhile(
    start: Callable[..., Running], agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = start()
    probes, probe = [], agent.sandbox.arun

    async def counted(source: str) -> Any:
        probes.append(source)
        return await probe(source)

    monkeypatch.setattr(agent.sandbox, "arun", counted)
    until(lambda: served.health()["ready"] and probes)
    asked, before = time.monotonic(), len(probes)
    for _ in range(10):
        served.health()
    assert len(probes) - before <= 1 + (time.monotonic() - asked)


# -- what is not HTTP ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /" + b"a" * 70_000,
    ],
)
def test_what_is_not_http_gets_a_problem(start: Callable[..., Running], sent: bytes) -> None:
    problem(start().send(sent), 400, "Invalid HTTP request")


@pytest.mark.parametrize("path", [b"/v1/nothing", b"/v1/chats/x/ask", b"/v1/run"])
def test_a_request_that_turns_out_to_be_none_is_no_error_of_the_server(
    start: Callable[..., Running], path: bytes
) -> None:
    """Its headers come with what is not HTTP: then the application has begun, and must not answer too."""
    served, log = start(), io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("uvicorn.error").addHandler(handler)
    try:
        head = (
            HEAD.replace(b"/v1/run", path) + b"Content-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        problem(served.send(head + b"no size\r\n"), 400, "Invalid HTTP request")
        assert served.health()["alive"]
    finally:
        logging.getLogger("uvicorn.error").removeHandler(handler)
    assert "Traceback" not in log.getvalue()


@pytest.mark.parametrize(
    "before",
    [
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n",
        HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health HTTP/1.1\r\nHost: localhost\r\n",
    ],
    ids=["headers", "trailers", "pipelined"],
)
def test_blanks_do_not_keep_the_server_busy(start: Callable[..., Running], before: bytes) -> None:
    """Their check in h11 takes a time that grows with the square of their number."""
    served = start()
    begin = time.process_time()  # the server is a thread of this process
    with served.connect() as connection:
        connection.sendall(before + b"A:" + b" " * 100_000 + b"\x00\r\n\r\n")
        with contextlib.suppress(OSError):
            while connection.recv(1 << 16):
                pass
    assert served.health()["alive"]
    assert time.process_time() - begin < 5  # it were 18


def test_a_websocket_is_not_opened(start: Callable[..., Running]) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\nSec-WebSocket-Version: 13\r\n"
    problem(start().send(b"GET /v1/ask HTTP/1.1\r\nHost: localhost\r\n" + upgrade + b"\r\n"), 405)


@pytest.mark.parametrize("origin", ["http://[", "null", "http://localhost:1", "file://", "a://b://localhost"])
def test_an_odd_origin_is_refused(start: Callable[..., Running], origin: str) -> None:
    sent = f"GET /health HTTP/1.1\r\nHost: localhost\r\nOrigin: {origin}\r\n\r\n"
    problem(start().send(sent.encode()), 403)

"""A server in a thread of this process, and requests on real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.small_tools import picture
from visprog.server.app import Service
from visprog.server.client import encode
from visprog.server.run import bind, serve
from visprog.server.shares import Shares

HEAD = b"POST /v1/run HTTP/1.1\r\nHost: localhost\r\n"


@dataclass
class Running:
    """A server in a thread of this process."""

    service: Service
    port: int
    stop: Callable[[], None]

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), 30, source_address=(source, 0))

    def send(self, data: bytes, source: str = "127.0.0.1") -> tuple[int, dict[str, str], Any]:
        """The answer to these bytes."""
        with self.connect(source) as connection:
            connection.sendall(data)
            return answer_on(connection)

    def run(self, program: str, source: str = "127.0.0.1") -> tuple[int, dict[str, str], Any]:
        return self.send(request(program), source)

    def health(self, source: str = "127.0.0.1") -> dict[str, Any]:
        status, _, data = self.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n", source)
        assert data["ready"] == (status == 200) and data["alive"]
        return dict(data)


@contextmanager
def running(
    service: Service,
    connections: Shares,
    proxies: frozenset[str] = frozenset(),
    release: Callable[[], None] = lambda: None,
) -> Iterator[Running]:
    """A server in a thread; `release` lets the work end that keeps its own threads busy."""
    begun, loops = threading.Event(), []

    def ready() -> None:
        loops.append(asyncio.get_running_loop())
        begun.set()

    with bind("127.0.0.1", 0) as bound:
        thread = threading.Thread(
            target=serve,
            args=(service, bound, "127.0.0.1", None, ready, connections, proxies),
            daemon=True,  # so that a process can end that did not stop it
        )
        thread.start()
        assert begun.wait(60)
        stop = lambda: loops[0].call_soon_threadsafe(service.close)  # noqa: E731
        try:
            yield Running(service, bound.getsockname()[1], stop)
        finally:
            release()
            until(lambda: service.queue.running == 0)  # otherwise the end of the server ends this process
            if thread.is_alive():
                stop()
            thread.join(30)
            assert not thread.is_alive()


def request(program: str) -> bytes:
    kind, body = encode([("program", None, program.encode()), ("images", "a.png", picture()._repr_png_())])
    return HEAD + f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def post(path: str, fields: dict[str, str], *files: tuple[str, bytes], headers: str = "") -> bytes:
    """A request with fields and files, each a name and its content, as a multipart form."""
    parts = [(name, None, text.encode()) for name, text in fields.items()]
    kind, body = encode([*parts, *(("images", name, content) for name, content in files)])
    head = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    )
    return f"{head}{headers}\r\n".encode() + body


def events_on(connection: socket.socket) -> Iterator[tuple[str, Any]]:
    """Name and data of each event of a stream, as they come."""
    stream = connection.makefile("rb")
    status = int(stream.readline().split()[1])
    headers = dict(
        line.decode().lower().split(": ", 1) for line in iter(lambda: stream.readline().strip(), b"")
    )
    assert status == 200 and headers["content-type"] == "text/event-stream", (status, headers)
    buffer = b""
    while size := int(stream.readline(), 16):  # of a chunk
        buffer += stream.read(size)
        stream.readline()
        *blocks, buffer = buffer.split(b"\n\n")
        for block in blocks:
            fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
            if "event" in fields:
                yield fields["event"], json.loads(fields["data"])


def answer_on(connection: socket.socket) -> tuple[int, dict[str, str], Any]:
    """Status, headers and JSON of the answer that comes; (0, {}, None) if the connection ends without one."""
    stream = connection.makefile("rb")
    first = stream.readline()
    if not first:
        return 0, {}, None
    headers = dict(
        line.decode().lower().split(": ", 1) for line in iter(lambda: stream.readline().strip(), b"")
    )
    return int(first.split()[1]), headers, json.loads(stream.read(int(headers["content-length"])))


def until(condition: Callable[[], Any], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)

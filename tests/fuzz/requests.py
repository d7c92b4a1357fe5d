"""Sends damaged HTTP requests to a server: each gets an answer or a problem in JSON, and none is a bug of the server.

    python -m tests.fuzz.requests [--seconds 600] [--seed 0] [--case NUMBER]

The server runs in a thread of this process. Exit code 1: an answer had the status 500, was no JSON or did not come, the
server logged an error, or this process grew.
"""

from __future__ import annotations

import atexit
import base64
import json
import logging
import random
import select
import socket
import sys
import time
from contextlib import ExitStack
from functools import cache

from tests.fuzz.mutations import chance_of, damaged
from tests.sandbox.fuzz_frames import main
from tests.server.local import HEAD, Running, post, request, running
from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent
from visprog.server.app import Service
from visprog.server.chats import Chats
from visprog.server.client import encode
from visprog.server.limits import RequestLimits
from visprog.server.queue import RequestQueue
from visprog.server.shares import Shares

STATUSES = {200, 400, 403, 404, 405, 408, 409, 413, 415, 429, 503, 504}
"""A damaged request may be whole by chance; 500 is a bug."""

SLACK = 20
"""Descriptors of connections that are being closed and of sandbox workers that are being replaced."""

HEADERS = (
    b"Content-Type: multipart/form-data", b"Content-Type: multipart/form-data; boundary=b; charset=klingon",
    b'Content-Type: multipart/form-data; boundary="', b"Content-Type: application/json; charset=utf-16",
    b"Content-Type: \xff", b"Content-Length: 99999999999999999999", b"Content-Length: +5", b"Content-Length: 0",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue", b"Host: [",
    b"Origin: http://[", b"Authorization: Bearer \xff\xff", b"X-Forwarded-For: 1.2.3.4, [", b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket", b"Accept: text/event-stream", b"Accept: text/event-stream;q=x,,",
    b"Cookie: " + b"a" * 9000, b"A:" + b" " * 70_000,
)  # fmt: skip


STREAM = b"Accept: text/event-stream\r\n"


class Errors(logging.Handler):
    """Keeps what the server logs as an error."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(self.format(record))


@cache
def seeds() -> tuple[bytes, ...]:
    """Well-formed requests of every endpoint and form."""
    png = picture()._repr_png_()
    text = base64.b64encode(png).decode()

    def posted(path: str, kind: str, body: bytes) -> bytes:
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    video = b"\0\0\0\x20ftypisom" + png  # which its first bytes say that it is
    question = [("question", None, b"?"), ("html", None, b"1"), ("evidence", None, b"1")]
    arguments = json.dumps({"image": "a", "region": "b"})
    values = json.dumps({"b": {"type": "Box", "box": [0, 0, 5, 4]}})
    call = [("arguments", None, arguments.encode()), ("values", None, values.encode()), ("a", "a.png", png)]
    data = {"program": "return 1", "images": [text], "returns": "int", "evidence": True}
    body = json.dumps(data).encode()
    chunked = HEAD + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return (
        request("return 1"),
        posted("/v1/run", "application/json", body),
        posted("/v1/ask", "application/json", json.dumps({"question": "?", "images": [text]}).encode()),
        posted("/v1/tools/crop", *encode(call)),
        posted("/v1/ask", *encode([*question, ("images", "a.png", png)])).replace(b"Content", STREAM + b"Content", 1),
        posted("/v1/run", *encode([("program", None, b"return 1"), ("video", "a.mp4", video)])),
        posted("/v1/chats", *encode([("images", "a.png", png)])),
        posted("/v1/chats", *encode([("images", "a.mp4", video)])),
        posted("/v1/chats", "application/json", json.dumps({"images": [text]}).encode()),
        posted("/v1/chats/CHAT/ask", *encode(question)).replace(b"Content", STREAM + b"Content", 1),
        posted("/v1/chats/CHAT/ask", "application/json", json.dumps({"question": "And it?"}).encode()),
        b"DELETE /v1/chats/CHAT HTTP/1.1\r\nHost: localhost\r\n\r\n",
        chunked + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n",
        *(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
          for path in ("/health", "/metrics", "/v1/tools", "/v1/about", "/openapi.json", "/docs", "/", "/example.png",
                       "/%2e%2e/%00")),
    )  # fmt: skip


@cache
def server() -> tuple[Running, Errors]:
    """The server, and what it logs. It ends with this process."""
    stack, errors = ExitStack(), Errors()
    for name in ("visprog", "uvicorn", "asyncio"):
        logging.getLogger(name).addHandler(errors)
    agent = stack.enter_context(Agent(FakePlanner(), {"seconds": 10}, registry=REGISTRY, in_process=True))
    limits = RequestLimits(upload=200_000, pixels=100_000, seconds=20, stall=2.0)
    service = Service(agent, RequestQueue(2, 2), limits, chats=Chats(Shares(8), Shares(1 << 20), 30))
    served = stack.enter_context(running(service, Shares(50)))
    atexit.register(stack.close)
    return served, errors


def chat() -> bytes:
    """The name of a conversation: one of those that there are, or a new one."""
    served, _ = server()
    known = list(served.service.chats._by_id)
    if known:
        return known[-1].encode()
    status, _, data = served.send(post("/v1/chats", {}, ("a.png", picture()._repr_png_())))
    return bytes(data["id"], "ascii") if status == 200 else b"none"


def forged(chance: random.Random) -> bytes:
    """A request that is damaged in its headers, in its body, or anywhere."""
    data = chance.choice(seeds())
    head, end, body = data.partition(b"\r\n\r\n")
    for _ in range(chance.randrange(3)):
        lines = head.split(b"\r\n")
        lines.insert(chance.randint(1, len(lines)), chance.choice(HEADERS))
        head = b"\r\n".join(lines)
    match chance.randrange(3):
        case 0:
            return damaged(chance, head + end + body, seeds())
        case 1 if b"Content-Length" in head and chance.random() < 0.8:  # with the right length again
            body = damaged(chance, body, seeds())
            lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
            return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + end + body
    return head + end + body


def answers(received: bytes) -> list[tuple[int, bytes]]:
    """Status and body of each answer that came."""
    found = []
    while received:
        head, end, rest = received.partition(b"\r\n\r\n")
        assert end and head.startswith(b"HTTP/1.1 "), received[:200]
        status = int(head.split()[1])
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        if fields.get(b"transfer-encoding") == b"chunked":
            body, rest = unchunked(rest)
            found.append((status, b""))
            assert body.startswith((b"event: ", b": waiting")), body[:200]
            received = rest
            continue
        size = int(fields.get(b"content-length", b"0"))
        if status >= 200:
            assert len(rest) >= size or b"transfer-encoding" not in fields, received[:200]
            found.append((status, rest[:size]))
        received = rest[size:]
    return found


def unchunked(data: bytes) -> tuple[bytes, bytes]:
    """The content of a chunked body, which may end early, and what comes after it."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            return body, data[2:]
        body, data = body + data[:length], data[length + 2 :]
    return body, data


def run_case(seed: int, number: int) -> None:
    chance = chance_of(seed, number)
    data = forged(chance)
    served, errors = server()
    if b"CHAT" in data:
        data = data.replace(b"CHAT", chat())
    received = b""
    with served.connect() as connection:
        connection.settimeout(30)  # beyond every limit of the server
        try:
            connection.sendall(data)
            if chance.random() < 0.5:  # a server takes the end of what is sent for the end of the client
                select.select([connection], [], [], 0.3)
                time.sleep(0.1)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(1 << 16):
                received += part
        except TimeoutError:
            raise
        except OSError:  # it was refused before all was sent
            pass
    for status, body in answers(received):
        assert status in STATUSES, (status, body[:200])
        if status >= 400 and body:
            assert json.loads(body).get("status") == "error" or b"ready" in body, body[:200]
    assert not errors.found, errors.found.pop()[-2000:]


if __name__ == "__main__":
    sys.exit(main(__doc__, run_case, SLACK))

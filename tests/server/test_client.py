"""The client against other servers, and what it costs to import."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy

import pytest

from visprog.server.client import Client, ServerError, encode


@contextmanager
def answering(reply: bytes) -> Iterator[str]:
    """Something on a port that says the same to everyone, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(reply)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join()


@pytest.mark.parametrize("url", ["", "127.0.0.1:8711", "ftp://a", "http://", "http://a:99999", "http://a:x"])
def test_an_address_that_is_not_valid(url: str) -> None:
    with pytest.raises(ServerError, match="not the address of a server"):
        Client(url)


def test_nobody_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ServerError, match="start one with 'visprog serve'") as failed:
        Client(url).ask("?", b"x")
    assert failed.value.status == 0 and url in str(failed.value)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "ended before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{", "ended before it answered"),
        (b"220 mail.example ESMTP\r\n", "ended before it answered"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "no visprog server"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "no visprog server"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "answered with HTTP 404"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://b\r\nContent-Length: 0\r\n\r\n", "no visprog server"),
    ],
)
def test_something_else_answers(reply: bytes, words: str) -> None:
    with answering(reply) as url, pytest.raises(ServerError, match=words):
        Client(url).health()


def test_retry_after_is_read() -> None:
    body = b'{"status": "error", "message": "the queue is full"}'
    head = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(body)
    with answering(head + body) as url, pytest.raises(ServerError, match="the queue is full") as failed:
        Client(url).ask("?", b"x")
    assert (failed.value.status, failed.value.retry_after) == (429, 7)


def test_patience_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ServerError, match=r"no answer within 0\.2 s"):
            Client(url, timeout=0.2).health()


def test_forms_are_read_by_others_as_they_were_meant() -> None:
    kind, body = encode([("question", None, "Wie groß?".encode()), ("images", 'a"b.png', b"\r\n--\x00\xff")])
    parsed = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + body, policy=policy.HTTP)
    parts = list(parsed.iter_parts())
    assert [p.get_param("name", header="content-disposition") for p in parts] == ["question", "images"]
    assert [p.get_payload(decode=True) for p in parts] == ["Wie groß?".encode(), b"\r\n--\x00\xff"]
    assert parts[1].get_filename() == "a%22b.png"


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, visprog.server.client; print(*sys.modules)"
    names = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"numpy", "PIL", "fastapi", "uvicorn", "torch", "typer", "asyncio"} & set(names)

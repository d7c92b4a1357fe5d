"""Tokens, names of the host, and pages of other origins."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("fastapi")

from visprog.errors import ConfigError
from visprog.server.guard import Guard, check_token, hosts_of, is_loopback


def reach(guard: Guard, path: str = "/v1/ask", **headers: str) -> tuple[int, Any]:
    """Status and body of a request; the app behind the guard answers 204."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a guard reads no body")

    raw = [(k.replace("_", "-").encode(), v.encode("latin-1")) for k, v in headers.items()]
    asyncio.run(guard({"type": "http", "path": path, "headers": raw}, receive, send))
    return sent[0]["status"], json.loads(sent[1]["body"] or b"{}")


async def app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_a_token_is_asked_for() -> None:
    guard = Guard(app, "s3cret", None)
    assert reach(guard, host="a", authorization="Bearer s3cret")[0] == 204
    assert reach(guard, host="a", authorization="bearer s3cret")[0] == 204
    for wrong in ("Bearer s3cre", "Bearer s3crets", "Bearer ", "Basic s3cret", "s3cret", "Bearer \xff\xfe"):
        status, body = reach(guard, host="a", authorization=wrong)
        assert status == 401 and "VISPROG_TOKEN" in body["message"] and "s3cret" not in body["message"]
    assert reach(guard, host="a")[0] == 401
    assert reach(guard, "/health", host="a")[0] == reach(guard, "/", host="a")[0] == 204
    for path in (
        "/metrics",
        "/docs",
        "/openapi.json",
        "/v1/tools",
        "/v1/about",
        "/example.png",
        "/health/",
        "//health",
        "//",
    ):
        assert reach(guard, path, host="a")[0] == 401


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8711", "127.0.0.1:8711", "[::1]:8711", "[::1]"])
def test_names_of_this_machine(host: str) -> None:
    assert reach(Guard(app, None, hosts_of("127.0.0.1")), host=host)[0] == 204


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8711", "127.0.0.1.evil.example", "", "[", ":8711"]
)
def test_foreign_names_are_refused_on_loopback(host: str) -> None:
    assert reach(Guard(app, None, hosts_of("localhost")), host=host)[0] == 403
    assert reach(Guard(app, None, hosts_of("localhost")), "/health", host=host)[0] == 403


def test_pages_of_other_origins_are_refused() -> None:
    guard = Guard(app, None, hosts_of("127.0.0.1"))
    there = "127.0.0.1:8711"
    assert reach(guard, host=there, origin=f"http://{there}")[0] == 204
    for origin in ("null", "http://evil.example", "http://127.0.0.1:3000", "http://localhost:8711"):
        assert reach(guard, host=there, origin=origin)[0] == 403


def test_what_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost", "LocalHost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.4", "example.org", "", "localhost.evil")))
    assert hosts_of("0.0.0.0") is None


def test_a_server_that_others_reach_needs_a_token() -> None:
    assert check_token(None, "127.0.0.1") is None and check_token("", "localhost") is None
    assert check_token("abc", "0.0.0.0") == "abc"
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org"):
        with pytest.raises(ConfigError, match="VISPROG_TOKEN"):
            check_token("", host)
    for odd in ("two words", "line\nend", "schlüssel"):
        with pytest.raises(ConfigError, match="ASCII"):
            check_token(odd, "127.0.0.1")

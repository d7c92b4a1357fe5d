"""Access control: bearer tokens, and protection against requests of foreign web pages."""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from visprog.errors import ConfigError

from .errors import Problem

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = frozenset({"/", "/health"})
"""Paths that need no token: the page asks for it, and a probe may ask whether the server is alive."""


class Guard:
    """ASGI middleware that passes only allowed requests to an app.

    Tokens are compared in constant time. On loopback the Host header must name this machine, so that no web page
    reaches the server by a domain name that points to it (DNS rebinding). A request that a browser makes for a page
    of another origin is always refused.

    Args:
        app: ASGI application.
        token: Token that requests must carry; None for no token.
        hosts: Names that the Host header may hold; None for any.
    """

    def __init__(self, app: App, token: str | None, hosts: frozenset[str] | None) -> None:
        self.app = app
        self.token = None if token is None else token.encode()
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        problem = self.refusal(scope)
        if problem is None:
            await self.app(scope, receive, send)
            return
        body = json.dumps(problem.body).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if problem.status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def refusal(self, scope: Scope) -> Problem | None:
        """The reason to refuse a request; None if it is allowed."""
        given: dict[bytes, bytes] = dict(scope["headers"])
        host = given.get(b"host", b"").decode("latin-1")
        if self.hosts is not None and _name(host) not in self.hosts:
            return Problem(403, f"this server is not called {host or 'nothing'!r}: use one of its own names")
        origin = given.get(b"origin", b"").decode("latin-1")
        if origin and origin.partition("://")[2].lower() != host.lower():
            return Problem(403, "web pages of other origins may not use this server")
        if self.token is None or scope["path"] in OPEN:
            return None
        scheme, _, secret = given.get(b"authorization", b"").partition(b" ")
        if scheme.lower() != b"bearer" or not hmac.compare_digest(secret.strip(), self.token):
            return Problem(401, "this server needs its token: Authorization: Bearer TOKEN (VISPROG_TOKEN)")
        return None


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def hosts_of(host: str) -> frozenset[str] | None:
    """Names that the Host header may hold, for a server on that address; None for any."""
    return (
        frozenset({"localhost", "127.0.0.1", "::1", host.strip("[]").lower()}) if is_loopback(host) else None
    )


def check_token(token: str | None, host: str) -> str | None:
    """Check that a server on `host` has a token if it needs one.

    Returns:
        The token to use; None if none is given and none is needed.

    Raises:
        ConfigError: A token is needed and none is given, or it cannot be sent in a header.
    """
    if not token:
        if not is_loopback(host):
            raise ConfigError(
                f"a server on {host} can be reached from other machines and needs a token: set VISPROG_TOKEN"
            )
        return None
    if not all("!" <= character <= "~" for character in token):
        raise ConfigError("the token must consist of ASCII letters, digits and punctuation, without spaces")
    return token


def _name(host: str) -> str:
    """The Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()

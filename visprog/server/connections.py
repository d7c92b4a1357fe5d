"""Connections of the server: their number, and deadlines for what clients send and read."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .errors import Problem
from .limits import RequestLimits
from .shares import Shares, client_of

RETRY_AFTER = 5.0
"""Seconds after which a client that was refused may find a free connection."""

MAX_HEADERS = 16 << 10
"""Maximum size of the headers of a request, in bytes."""

_END_OF_HEADERS = re.compile(rb"\n\r?\n")
_BLANKS = re.compile(rb":[ \t]{256}")


def bounded_connections(
    limits: RequestLimits, connections: Shares, proxies: frozenset[str]
) -> type[asyncio.Protocol]:
    """The HTTP protocol of uvicorn (`uvicorn.Config(http=…)`) within limits, which uvicorn itself does not have.

    Args:
        limits: Deadlines.
        connections: Number of connections that are open, and those of each client.
        proxies: Addresses of proxies, whose connections belong to many clients.
    """

    class Bounded(_BoundedProtocol):
        _limits = limits
        _open = connections
        _proxies = proxies

    return Bounded


class _HttpConnection(h11.Connection):
    """A connection of h11 that is not given headers which would keep it busy.

    To find out that a header is not valid, h11 takes a time that grows with the square of the blanks after its colon:
    a header of 256 KiB stops a server for minutes. The trailers after a chunked body are headers too.
    """

    _is_chunked = False

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As in h11. Raises `h11.RemoteProtocolError` as it does for what is not HTTP."""
        if self.their_state is h11.IDLE:
            headers = _END_OF_HEADERS.split(self.trailing_data[0], 1)[0]
            if len(headers) > MAX_HEADERS or _BLANKS.search(headers):
                raise h11.RemoteProtocolError("the headers are too long", error_status_hint=431)
        elif self._is_chunked and _BLANKS.search(self.trailing_data[0]):
            raise h11.RemoteProtocolError("the trailers are too long", error_status_hint=431)
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._is_chunked = any(name == b"transfer-encoding" for name, _ in event.headers)
        return event


class _BoundedProtocol(H11Protocol):
    _limits: RequestLimits
    _open: Shares
    _proxies: frozenset[str]

    _waits_for = ""  # what the client must do before the deadline: "headers", "rest" of a request, or nothing
    _deadline: asyncio.TimerHandle | None = None
    _write_deadline: asyncio.TimerHandle | None = None
    _client: str | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = _HttpConnection(h11.SERVER, MAX_HEADERS)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The transport then reports every byte that the client does not take at once.
        transport.set_write_buffer_limits(high=0)
        host = self.client[0] if self.client else ""
        client = host if host in self._proxies else client_of(host)
        if self._open.full() or (host not in self._proxies and self._open.refuses(client)):
            self._refuse(Problem(503, "the server has too many connections: try again later", RETRY_AFTER))
            return
        self._open.take(client)
        self._client = client
        self._watch(fresh=True)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._client is not None:
            self._open.give_back(self._client)
            self._client = None
        for timer in (self._deadline, self._write_deadline):
            if timer is not None:
                timer.cancel()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch(fresh=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch(fresh=False)

    def pause_writing(self) -> None:
        super().pause_writing()
        size = self.transport.get_write_buffer_size()
        if self._write_deadline is None:
            self._write_deadline = self.loop.call_later(self._limits.transfer(size), self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_deadline is not None:
            self._write_deadline.cancel()
            self._write_deadline = None

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(400, msg.rstrip(".")))

    def _watch(self, fresh: bool) -> None:
        """Set the deadline of what the client must do now; it stays while that is the same.

        Args:
            fresh: Whether the client has just connected or sent something. Between two requests it need not send
                anything: uvicorn then closes the connection after `timeout_keep_alive`.
        """
        now = ""
        if self.conn.their_state is h11.IDLE:
            now = "headers" if fresh or self._waits_for == "headers" else ""
        elif self.conn.their_state is h11.SEND_BODY and self.cycle and self.cycle.response_complete:
            now = "rest"  # of a body that nobody needs: it is read, so that the client sees the answer
        if now == self._waits_for:
            return
        self._waits_for = now
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if now:
            self._deadline = self.loop.call_later(self._limits.stall, self._late)

    def _late(self) -> None:
        if self.transport.is_closing():
            return
        if self._waits_for == "headers":
            within = f"the headers of the request did not arrive within {self._limits.stall:g} s"
            self._refuse(Problem(408, within))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer outside of the application, and close the connection."""
        body = json.dumps(problem.body).encode()
        headers: list[tuple[str, str]] = [
            ("content-type", "application/json"),
            ("content-length", str(len(body))),
            ("connection", "close"),
            *((name.lower(), value) for name, value in problem.headers.items()),
        ]
        events: list[Any] = [
            h11.Response(status_code=problem.status, headers=headers),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ]
        for event in events:
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # the application, which may have begun, must not answer too
            self.cycle.message_event.set()

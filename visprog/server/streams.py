"""Answers as streams of server-sent events: the steps as they happen, then the answer.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from visprog.runtime.events import Answered, CallEnded, CallStarted, Checked, Event, Planned

CONTENT_TYPE = "text/event-stream"
MAX_WAITING = 256
"""Number of steps that wait for a slow reader; further ones are left out."""
KEEP_ALIVE = 15.0
"""Seconds without an event after which a comment is sent, so that no proxy takes the connection for dead."""

NAMES: Mapping[type[Event], str] = {
    Planned: "planned",
    Checked: "checked",
    CallStarted: "call_started",
    CallEnded: "call_ended",
    Answered: "answered",
}
"""Names of the events of a run."""

Serve: TypeAlias = "Callable[[EventStream], Awaitable[Response]]"
"""Serves a request, and sends its steps to the stream meanwhile."""


def wants_events(request: Request) -> bool:
    """Whether a client asks for server-sent events."""
    accepted = request.headers.get("accept", "").lower().split(",")
    return any(each.partition(";")[0].strip() == CONTENT_TYPE for each in accepted)


class EventStream:
    """The events of one response; it belongs to the event loop in which it is made.

    The response begins with the first event, so that a request that is refused before has an HTTP status of its own.

    Args:
        send: Sends a message of ASGI.
    """

    def __init__(self, send: Send) -> None:
        self.is_open = False
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._left_out = 0
        self._ended = False
        self._changed = asyncio.Event()

    def listen(self, event: Event) -> None:
        """Send an event of a run; from any thread, which does not wait."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._add_step, event)

    def end(self, events: Mapping[str, bytes]) -> None:
        """Send these events, whose data are JSON, as the last ones."""
        if self._left_out:
            self._waiting.append(_encoded("left_out", json.dumps({"events": self._left_out}).encode()))
        self._waiting.extend(_encoded(name, data) for name, data in events.items())
        self._ended = True
        self._changed.set()

    async def run(self) -> None:
        """Send what comes until the end; a client that reads nothing keeps this from going on."""
        while self._waiting or not self._ended:
            self._changed.clear()
            if not self._waiting:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(KEEP_ALIVE):
                        await self._changed.wait()
            if self._waiting:
                await self._write(self._waiting.popleft())
            elif not self._ended:
                await self._write(b": waiting\n\n")
        if self.is_open:
            await self._send({"type": "http.response.body", "body": b""})

    def _add_step(self, event: Event) -> None:
        if self._ended:
            return
        if len(self._waiting) >= MAX_WAITING:
            self._left_out += 1
            return
        self._waiting.append(_encoded(NAMES[type(event)], json.dumps(_fields(event)).encode()))
        self._changed.set()

    async def _write(self, data: bytes) -> None:
        if not self.is_open:
            self.is_open = True
            headers = [
                (b"content-type", CONTENT_TYPE.encode()),
                (b"cache-control", b"no-store"),
                (b"x-accel-buffering", b"no"),
            ]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


class AnsweredResponse(Response):
    """A response of status 200: JSON, or in a stream further events before it.

    Args:
        answer: JSON, which is the event `answer` in a stream.
        others: JSON by the name of its event, for streams alone.
    """

    media_type = "application/json"

    def __init__(self, answer: bytes, others: Mapping[str, bytes] | None = None) -> None:
        super().__init__(answer)
        self.events = {**(others or {}), "answer": answer}


class Streamed(Response):
    """A response that is served while it is sent.

    Args:
        serve: Serves the request. If its response is not of status 200, and comes before any step, it is sent as it is;
            after a step it is the event `problem`.
    """

    def __init__(self, serve: Serve) -> None:
        super().__init__()
        self._serve = serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        stream = EventStream(send)
        sender = asyncio.create_task(stream.run())
        try:
            response = await self._serve(stream)
            if isinstance(response, AnsweredResponse):
                stream.end(response.events)
            elif stream.is_open:
                stream.end({"problem": bytes(response.body)})
            else:
                stream.end({})
            await sender
        finally:
            sender.cancel()
        if not stream.is_open:
            await response(scope, receive, send)


def _fields(event: Event) -> dict[str, Any]:
    """An event of a run as plain data. The program of `checked` is the one that was planned or sent before."""
    fields = dict(vars(event))
    del fields["run"]  # it counts the runs of all clients
    if isinstance(event, Checked):
        del fields["program"]
        fields["diagnostics"] = [found.to_json() for found in event.diagnostics]
    return fields


def _encoded(name: str, data: bytes) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), data)

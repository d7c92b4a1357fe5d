"""Whether the server can answer a question at the moment, found out by trying rather than by a flag."""

from __future__ import annotations

import asyncio
import time

from visprog.errors import readable
from visprog.sandbox import Sandbox

from .errors import Problem
from .queue import RequestQueue

KEPT = 1.0
"""Time for which the result of a probe is used again, in seconds."""
MAX_PROBE = 5.0
"""Maximum time of a probe, in seconds."""


class Readiness:
    """Readiness of a server. It belongs to the event loop of the server.

    Args:
        queue: Queue of the requests.
        sandbox: Sandbox in which programs run; its readiness is that of a program of one line.

    Attributes:
        started: Whether the server has started.
    """

    def __init__(self, queue: RequestQueue, sandbox: Sandbox) -> None:
        self.started = False
        self._queue = queue
        self._sandbox = sandbox
        self._probe: asyncio.Task[str] | None = None
        self._probed = float("-inf")

    async def missing(self, client: str) -> str:
        """The reason why a question of a client would not be answered now; empty if it would be."""
        if not self.started:
            return "the server is starting"
        reason = self._refusal(client)
        if reason:
            return reason
        if self._probe is None or (self._probe.done() and time.monotonic() - self._probed > KEPT):
            self._probe = asyncio.create_task(self._try_sandbox())
        return await asyncio.shield(self._probe) or self._refusal(client)

    def _refusal(self, client: str) -> str:
        try:
            self._queue.check(client)
        except Problem as problem:
            return str(problem)
        if self._queue.overdue >= self._queue.workers:
            return f"all {self._queue.workers} workers are busy with requests whose time is over"
        return ""

    async def _try_sandbox(self) -> str:
        try:
            async with asyncio.timeout(MAX_PROBE):
                outcome = await self._sandbox.arun("return 1")
            reason = (
                "" if outcome.value == 1 else f"the sandbox does not work: {readable(str(outcome.error))}"
            )
        except TimeoutError:
            reason = f"the sandbox does not answer within {MAX_PROBE:g} s"
        except Exception as error:  # no worker can be started, for whichever reason
            reason = f"the sandbox does not work: {readable(str(error))}"
        self._probed = time.monotonic()
        return reason

"""A worker that is a thread at the far ends of real pipes: it says what a test wants a session to hear."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any, Literal
from unittest import mock

from visprog.sandbox import Library, Limits, Outcome
from visprog.sandbox.process import Worker
from visprog.sandbox.protocol import HEADER, VERSION
from visprog.sandbox.session import Job, Session, Types


def frame(message: Any) -> bytes:
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return HEADER.pack(len(body)) + body


@dataclass(frozen=True)
class Script:
    """What the worker does once it has its program."""

    pieces: Sequence[bytes]
    """What it writes, in so many writes."""
    then: Literal["end", "read", "wait"] = "end"
    """Afterwards it ends, goes on reading, or neither reads nor ends."""
    pause: float = 0.0
    """Seconds between two writes."""
    code: int = 0
    """How it ends, as ``subprocess`` has it."""


class FakeProcess:
    """In the place of ``subprocess.Popen``."""

    pid = 0  # no process: the kernel knows nothing of it

    def __init__(self, script: Script) -> None:
        self._far_in, near_in = os.pipe()
        near_out, self._far_out = os.pipe()
        self.stdin, self.stdout = FileIO(near_in, "w"), FileIO(near_out)
        self._script = script
        self.returncode: int | None = None
        self._killed = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        try:
            os.write(self._far_out, frame({"op": "READY", "protocol": VERSION, "facts": {}}))
            header = os.read(self._far_in, HEADER.size)
            left = HEADER.unpack(header)[0] if header else 0
            while left and (part := os.read(self._far_in, left)):
                left -= len(part)
            os.write(self._far_out, frame({"op": "STARTED"}))
            for piece in self._script.pieces:
                while piece:
                    piece = piece[os.write(self._far_out, piece) :]
                self._killed.wait(self._script.pause)
            while self._script.then == "read" and os.read(self._far_in, 1 << 16):
                pass
            if self._script.then == "wait":
                self._killed.wait()
        except BrokenPipeError:
            pass  # the session has ended
        finally:
            os.close(self._far_in)
            os.close(self._far_out)

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else self._script.code

    def kill(self) -> None:
        self._killed.set()
        self.stdin.close()
        self.stdout.close()

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("worker", timeout or 0)
        return self._script.code


def play(
    script: Script,
    limits: Limits,
    *,
    tools: Mapping[str, Callable[..., Any]] | None = None,
    inputs: Mapping[str, Any] | None = None,
    types: Types = (),
    library: Library | None = None,
) -> Outcome:
    """The outcome of a run whose worker keeps to the script."""
    job = Job("", tools or {}, inputs or {}, types, library or Library(), limits, lambda f, a, k: f(*a, **k))
    with mock.patch("subprocess.Popen", lambda *args, **kwargs: FakeProcess(script)):
        worker = Worker(limits, None, "visprog.sandbox.engine:RestrictedEngine")
    try:
        if worker.level != "process":  # the greeting comes before everything else
            raise AssertionError("a worker that measured nothing counts as confined")
        session = Session(job, worker)
        session.start()
        return session.run()
    finally:
        worker.kill()

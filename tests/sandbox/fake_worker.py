"""A worker that is a thread at the far ends of real pipes: it says what a test wants an execution to hear."""

from __future__ import annotations

import json
import os
import select
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import FileIO
from typing import Any, Literal
from unittest import mock

from visprog.sandbox import Library, Limits, Outcome
from visprog.sandbox.execution import Execution, Job, Types
from visprog.sandbox.process import WorkerProcess
from visprog.sandbox.protocol import HEADER, VERSION


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

    def __init__(self, script: Script, stdin: FileIO, stdout: FileIO) -> None:
        self._in, self._out = os.dup(stdin.fileno()), os.dup(stdout.fileno())
        os.set_blocking(self._out, False)
        self._script = script
        self.returncode: int | None = None
        self._killed = threading.Event()
        self._thread = threading.Thread(target=self._play, daemon=True)
        self._thread.start()

    def _play(self) -> None:
        try:
            self._write(frame({"op": "READY", "protocol": VERSION, "facts": {}}))
            header = self._read(HEADER.size)
            left = HEADER.unpack(header)[0] if header else 0
            while left and (part := self._read(left)):
                left -= len(part)
            self._write(frame({"op": "STARTED"}))
            for piece in self._script.pieces:
                self._write(piece)
                self._killed.wait(self._script.pause)
            while self._script.then == "read" and self._read(1 << 16):
                pass
            if self._script.then == "wait":
                self._killed.wait()
        except BrokenPipeError:
            pass  # the execution has ended
        finally:
            os.close(self._in)
            os.close(self._out)

    def _read(self, size: int) -> bytes:
        while not select.select([self._in], [], [], 0.01)[0]:
            self._stop_if_killed()
        return os.read(self._in, size)

    def _write(self, piece: bytes) -> None:
        while piece:
            if select.select([], [self._out], [], 0.01)[1]:
                piece = piece[os.write(self._out, piece[: 1 << 12]) :]
            self._stop_if_killed()

    def _stop_if_killed(self) -> None:
        if self._killed.is_set():
            raise BrokenPipeError

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else self._script.code

    def kill(self) -> None:
        self._killed.set()

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
    with mock.patch(
        "subprocess.Popen", lambda *args, stdin, stdout, **kwargs: FakeProcess(script, stdin, stdout)
    ):
        worker = WorkerProcess(limits, None, "visprog.sandbox.engine:RestrictedEngine")
    try:
        if worker.level != "process":  # the greeting comes before everything else
            raise AssertionError("a worker that measured nothing counts as confined")
        execution = Execution(job, worker)
        execution.start()
        return execution.run()
    finally:
        worker.kill()

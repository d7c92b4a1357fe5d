"""A tool process as the host sees it: its start, its batches, and its end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visprog.sandbox import StopProgram

from ...errors import ToolError
from ...registry import caution, through_host
from .channel import Channel, Closed, Message
from .launch import Confinement, launch
from .names import find_loaded
from .transfer import MAX_HELD, Transfer, packed_error, unpacked_error

START_SECONDS = 60.0
"""Seconds within which a process must be ready."""
_LOOK = 0.2
"""Seconds between two looks at the memory of a process."""


class Crashed(Exception):
    """A process ended while it worked; the text says how."""

    @property
    def was_killed(self) -> bool:
        """Whether it was killed from outside, for want of memory or by a person."""
        return "SIGKILL" in str(self)


class CannotImport(Exception):
    """A process cannot import what it should run; the text says why."""


@dataclass(frozen=True)
class Memory:
    """Bytes of memory that a process may take.

    Attributes:
        working: While it works; one that takes more is ended at once.
        idle: Between batches; one that has kept more is replaced.
        images: Of images that it keeps, and the host for it, for later batches.
    """

    working: int
    idle: int
    images: int = MAX_HELD


@dataclass(frozen=True)
class Work:
    """What a process can be asked to do.

    Attributes:
        number: That names it in messages.
        backend: "module:Class" of a backend; empty for a plain function.
        tool: "module:name" of the tool; empty if it cannot be imported.
        options: Of the backend's constructor.
    """

    number: int
    backend: str
    tool: str
    options: tuple[tuple[str, Any], ...]

    @property
    def message(self) -> list[Any]:
        """As it stands in a message."""
        return [self.number, self.backend, self.tool, self.options]


class ToolProcess:
    """A process that runs tools. It starts at once, and is ready when `wait` returns.

    Args:
        memory: What it may take.
        confinement: How far it is confined; None for what does as it likes.

    Attributes:
        how: Which mechanisms of confinement took hold.
        loaded: Numbers of the work that it has done, or was told to load.
        idle_since: Time of `time.monotonic` since which it works for nobody.

    Raises:
        ToolError: It cannot be started.
    """

    def __init__(self, memory: Memory, confinement: Confinement | None = None) -> None:
        self.memory = memory
        self.how: dict[str, Any] = {}
        self._cut_off = confinement is not None and confinement.network
        self.loaded: set[int] = set()
        self.idle_since = 0.0
        self._next_look = 0.0
        self._ready = False
        self._ended = self._why = ""
        self._lock = threading.Lock()
        self._launched = launch(confinement)
        self._process = self._launched.process
        self._channel = Channel(self._launched.socket)
        self._transfer = Transfer(self._channel, host=True, max_held=memory.images)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return not self._ended and self._process.poll() is None

    def wait(self) -> None:
        """Wait until it is ready.

        Raises:
            ToolError: It did not start; the text says why.
        """
        if self._ready:
            return
        try:
            message = self._channel.receive(START_SECONDS)
        except Closed:
            message = None
        if message is None or message.head.get("op") != "ready":
            raise ToolError(f"a process for tools did not start: {self.end()}")
        how = message.head.get("how")
        self.how = how if isinstance(how, dict) else {}
        self._ready = True

    def load(self, work: Work) -> None:
        """Let it load what a piece of work needs, and do not wait for it, nor for the process itself.

        A call that comes meanwhile waits. What cannot be loaded is an error of the first call, as it is without this.
        """
        if work.number not in self.loaded:
            with contextlib.suppress(Closed):  # who calls it finds it gone
                self._channel.send({"op": "load", "work": work.message})
                self.loaded.add(work.number)

    def run(self, work: Work, calls: list[dict[str, Any]]) -> list[Any]:
        """Results of a batch; an exception in the place of each that failed.

        Raises:
            Crashed: The process ended.
            CannotImport: It cannot import the tool or its backend.
            TypeError, ValueError: The arguments cannot cross.
        """
        try:
            self._transfer.forget_oldest()
            form, body = self._transfer.pack(calls)
            head = {
                "op": "run",
                "work": work.message,
                "calls": form,
                "cut_off": self._cut_off,
            }
            self._transfer.send(head, body)
            self.loaded.add(work.number)
            while True:
                message = self._receive()
                match message.head.get("op"):
                    case "results":
                        return self._results(message)
                    case "unavailable":
                        self.loaded.discard(work.number)
                        raise CannotImport(str(unpacked_error(message.head.get("error"))))
                    case "call":
                        self._call(message)
                    case _:
                        raise Closed("a message that is none")
        except Closed:
            raise Crashed(self.end()) from None

    def _receive(self) -> Message:
        """The next message that is not about images. Ends the process if it takes too much memory meanwhile."""
        while True:
            message = self._channel.receive(_LOOK)
            if message is None:
                self.check_memory()
            elif not self._transfer.take(message):
                return message

    def check_memory(self) -> None:
        """End the process if it takes more memory than it may.

        Raises:
            Closed: It does.
        """
        if self.private_memory() > self.memory.working:
            self.end(f"it took more than {self.memory.working >> 20} MiB of memory")
            raise Closed("memory")

    @property
    def has_grown(self) -> bool:
        """Whether it takes more memory than one may keep that works for nobody; looks now and then."""
        now = time.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK
        return self.private_memory() > self.memory.idle

    @property
    def has_ended(self) -> bool:
        """Whether it is known to have ended."""
        return bool(self._ended or self._why)

    def private_memory(self) -> int:
        """Bytes of memory that it alone has; 0 where that cannot be known."""
        try:
            _, resident, shared, *_ = Path(f"/proc/{self.pid}/statm").read_text().split()
        except (OSError, ValueError):
            return 0
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")

    def _results(self, message: Message) -> list[Any]:
        forms, sentences = message.head.get("results"), message.head.get("cautions")
        if not isinstance(forms, list) or not isinstance(sentences, list):
            raise Closed("results that are none")
        results: list[Any] = []
        for form in forms:
            if not isinstance(form, dict):
                raise Closed("a result that is none")
            if "error" in form:
                results.append(unpacked_error(form["error"]))
            else:
                start, end = form.get("from"), form.get("to")
                if type(start) is not int or type(end) is not int:
                    raise Closed("a result without its bytes")
                results.append(self._transfer.unpack(form.get("value"), message.body[start:end]))
        for sentence in sentences:
            caution(str(sentence))
        return results

    def _call(self, message: Message) -> None:
        """A tool in the process calls another: that goes through the run that called the tool."""
        call = through_host.get()
        match message.head.get("tool"):
            case [str() as name, str() as place] if call is not None:
                arguments = self._transfer.unpack(message.head.get("arguments"), message.body)
            case _:
                raise Closed("a call of no tool")
        try:
            tool = find_loaded(place)
            if tool is None or tool.name != name:
                raise ToolError(
                    f"{name} cannot be called from a tool in another process: there is no such tool here"
                )
            form, body = self._transfer.pack(call(tool, **arguments))
        except StopProgram:
            self.end("the run that it worked for has ended")
            raise
        except Exception as error:
            self._channel.send({"op": "answer", "error": packed_error(error)})
        else:
            self._transfer.send({"op": "answer", "value": form}, body)

    # -- its end -----------------------------------------------------------------------------------

    def stop(self, why: str) -> None:
        """Kill the process from another thread, and do not wait for it: who works with it finds it gone."""
        self._why = self._why or why
        if not self._ended:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    def end(self, why: str = "") -> str:
        """End the process, if it has not ended by itself, and say how it ended. May be called from any thread."""
        with self._lock:
            if not self._ended:
                if not why and not self._why:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        self._process.wait(0.5)  # one that has closed its end is about to
                killed = self._process.poll() is None or bool(self._why)
                why = self._why or why
                code = self._launched.kill()
                self._ended = why if killed and why else _words(code)
        return self._ended

    def close(self) -> None:
        """End it, and release its descriptors; nobody uses it any more."""
        self.end("it is not needed any more")
        self._channel.close()


def _words(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    cause = ", perhaps for want of memory" if -code == signal.SIGKILL else ""
    return f"it was ended by {names.get(-code, f'signal {-code}')}{cause}"

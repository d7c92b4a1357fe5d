"""The worker process as its parent sees it: spawning, frames with deadlines, and its end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections import deque
from importlib import import_module, util
from pathlib import Path
from typing import Any

from .limits import Limits
from .outcome import Level, SandboxUnavailable
from .protocol import HEADER, VERSION, ProtocolError, pack, unpack

_BOOT = """
import json, sys
config = json.loads(sys.argv[1])
sys.path += config["path"]
from importlib import import_module
import_module(config["package"] + ".worker").main(config)
"""
# No site, no user site, no script directory, no byte code written; the environment holds nothing else than:
_FLAGS = ("-P", "-s", "-S", "-B")
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
_BLOCK = 1 << 16


class Silent(Exception):
    """A deadline passed."""


class Gone(Exception):
    """The worker closed its pipe: it ended, or is about to."""


class Worker:
    """A process that is confined and waits for one program, or has it.

    Args:
        limits: what the worker sets for itself, and the sizes of messages.
        library: path of the library that it imports.
        engine: path of what executes the program.
        confined: False leaves the operating system's layer out. For tests of the other layer.
        checked: False leaves the static check out. For tests of the other layer.

    Raises:
        SandboxUnavailable: it did not start.
    """

    def __init__(
        self, limits: Limits, library: str | None, engine: str, confined: bool = True, checked: bool = True
    ) -> None:
        if os.name != "posix":
            raise SandboxUnavailable("the sandbox needs Linux or macOS; on Windows run it inside WSL")
        import_module(".worker", __package__)  # caches the byte code, which the worker itself must not write
        config = {
            "package": __package__,
            "path": _import_path(library, engine),
            "library": library,
            "engine": engine,
            "limits": limits.to_json(),
            "confined": confined,
            "checked": checked,
        }
        self._limits = limits
        self._buffer = bytearray()
        try:
            self._process = subprocess.Popen(
                [sys.executable, *_FLAGS, "-c", _BOOT, json.dumps(config)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=_ENVIRONMENT,
                cwd="/",
                bufsize=0,
                close_fds=True,
                start_new_session=True,  # Ctrl-C in a notebook is not for the worker
            )
        except OSError as error:
            raise SandboxUnavailable(f"a worker process cannot be started: {error}") from error
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        try:
            self.level = self._greet()
        except BaseException:
            self.kill()
            raise

    def _greet(self) -> Level:
        try:
            message = self.receive(time.monotonic() + self._limits.startup)
        except (Silent, Gone, ProtocolError) as error:
            raise SandboxUnavailable(
                f"a worker did not start ({type(error).__name__}): {self._how_to_see()}"
            ) from None
        if message.get("op") == "FAILED":
            raise SandboxUnavailable(f"a worker could not prepare itself: {message.get('message')}")
        if message.get("op") != "READY" or message.get("protocol") != VERSION:
            raise SandboxUnavailable("a worker of another version answered: reinstall the package")
        return Level(message["facts"])

    def _how_to_see(self) -> str:
        return f"check that {sys.executable} runs and can import RestrictedPython"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """Sends one message.

        Raises:
            TooLarge: it is over the limit of a reply.
            Silent: the worker did not read it before the deadline (of ``time.monotonic``).
            Gone: the worker has closed its end.
        """
        view = memoryview(pack(message, self._limits.reply))
        while view:
            try:
                view = view[os.write(self._in, view[:_BLOCK]) :]
            except BlockingIOError:
                self._wait(self._in, select.POLLOUT, deadline)
            except OSError as error:
                raise Gone(str(error)) from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next message, whole, before the deadline. After :class:`Silent` it may be called again.

        Raises:
            ProtocolError, Silent, Gone: as named.
        """
        self._fill(HEADER.size, deadline)
        (size,) = HEADER.unpack_from(self._buffer)
        if size > self._limits.message:
            raise ProtocolError(f"a message of {size} bytes")
        end = HEADER.size + size
        self._fill(end, deadline)
        body = bytes(self._buffer[HEADER.size : end])
        del self._buffer[:end]
        return unpack(body)

    def _fill(self, size: int, deadline: float) -> None:
        while len(self._buffer) < size:
            try:
                part = os.read(self._out, _BLOCK)
            except BlockingIOError:
                self._wait(self._out, select.POLLIN, deadline)
                continue
            if not part:
                raise Gone("the worker ended")
            self._buffer += part
            if time.monotonic() > deadline:  # one byte now and then is silence too
                raise Silent

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Silent

    def is_starved(self) -> bool:
        """Whether it wants to run and has not had the processor time that it may use: the machine is busy.

        Known on Linux; False elsewhere.
        """
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return False
        return fields[0] == "R" and used < self._limits.cpu

    def interrupt(self) -> None:
        """Ends the process from another thread: whoever reads from it finds it gone."""
        self._process.kill()

    def kill(self) -> int:
        """Ends the process and returns how it ended, as ``subprocess`` has it; may be called again."""
        process = self._process
        process.kill()
        code = process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return code

    def ended(self, patience: float = 0.5) -> int:
        """How a worker ended that closed its pipe; one that still runs is killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        return self.kill()

    def abandon(self) -> None:
        """Forgets a worker that belongs to the process this one was forked from."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.returncode = 0


def _import_path(*names: str | None) -> list[str]:
    """The directories in which the worker finds this package, RestrictedPython, and the named modules."""
    assert __package__ is not None
    modules = [
        __package__,
        "RestrictedPython",
        *(name.partition(":")[0] for name in names if name is not None),
    ]
    return list(dict.fromkeys(root for name in modules if (root := _root(name.partition(".")[0]))))


def _root(package: str) -> str | None:
    spec = util.find_spec(package)
    if spec is None:
        raise SandboxUnavailable(f"{package} cannot be imported: install it")
    if spec.submodule_search_locations:
        return str(Path(next(iter(spec.submodule_search_locations))).absolute().parent)
    return str(Path(spec.origin).absolute().parent) if spec.origin else None


class Standby:
    """Workers that are ready before they are needed.

    A worker is replaced in the background, after the run that took it, so that starting the next one does not
    slow the present one down.
    """

    def __init__(self, size: int, **options: Any) -> None:
        self._size = size
        self._options = options
        self._ready: deque[Worker] = deque()
        self._lock = threading.Condition()
        self._starting = 0
        self._closed = False
        self._owner = os.getpid()

    def take(self) -> Worker:
        """A ready worker, or a fresh one where none is ready.

        Raises:
            SandboxUnavailable: none can be started, or the sandbox is closed.
        """
        with self._lock:
            self._after_fork()
            if self._closed:
                raise SandboxUnavailable("this sandbox is closed")
            while self._ready:
                worker = self._ready.popleft()
                if worker.is_alive:
                    return worker
                worker.kill()
        return Worker(**self._options)

    def put(self, worker: Worker) -> None:
        """Gives a worker that has run nothing yet."""
        with self._lock:
            if not self._closed and len(self._ready) < self._size:
                self._ready.append(worker)
                return
        worker.kill()

    def refill(self) -> None:
        """Starts what is missing, in the background."""
        with self._lock:
            self._after_fork()
            missing = 0 if self._closed else self._size - len(self._ready) - self._starting
            self._starting += max(0, missing)
        for _ in range(missing):
            threading.Thread(target=self._start, name="sandbox-standby", daemon=True).start()

    def wait(self) -> None:
        """Returns when the standby is full.

        Raises:
            SandboxUnavailable: a worker cannot be started.
        """
        while True:
            self.refill()
            with self._lock:
                self._lock.wait_for(lambda: not self._starting)
                if self._closed or len(self._ready) >= self._size:
                    return
            self.put(Worker(**self._options))  # the thread failed: fail here, where it is heard

    def _start(self) -> None:
        try:
            worker = Worker(**self._options)
        except SandboxUnavailable:
            worker = None  # the run that needs it meets the same error, and raises it
        with self._lock:
            self._starting -= 1
            if worker is not None:
                self.put(worker)
            self._lock.notify_all()

    def close(self) -> None:
        """Ends every worker that waits."""
        with self._lock:
            self._after_fork()
            self._closed = True
            ready, self._ready = self._ready, deque()
        for worker in ready:
            worker.kill()

    def _after_fork(self) -> None:
        if os.getpid() != self._owner:
            self._owner, self._starting = os.getpid(), 0
            for worker in self._ready:
                worker.abandon()
            self._ready.clear()

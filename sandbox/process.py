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
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module, util
from io import FileIO
from pathlib import Path
from typing import Any

from .limits import Limits
from .outcome import Level, SandboxUnavailable
from .protocol import HEADER, VERSION, ProtocolError, pack, unpack

_BOOT = """
import json, sys
from importlib import import_module
def boot(config):
    sys.path += config["path"]
    import_module(config["package"] + ".worker").main(config)
sys.orig_argv.clear()  # a program that gets out of its language finds no settings here
boot(json.loads(sys.argv.pop()))
"""
# No site, no user site, no script directory, no byte code written; the environment holds nothing else than:
_FLAGS = ("-P", "-s", "-S", "-B")
_ENVIRONMENT = {"PYTHONHASHSEED": "0"}
_BLOCK = 1 << 16
_GREETING = 1.0  # seconds to read what a worker said long ago


class DeadlinePassed(Exception):
    """A deadline passed."""


class PipeClosed(Exception):
    """The worker closed its pipe: it ended, or is about to."""


class WorkerProcess:
    """A process that is confined and waits for one program, or has it.

    Args:
        limits: what the worker sets for itself, and the sizes of messages.
        library: path of the library that it imports.
        engine: path of what executes the program.
        confined: False leaves the operating system's layer out. For tests of the other layer.
        checked: False leaves the static check out. For tests of the other layer.

    It starts at once, and is ready when `greet` returns.

    Raises:
        SandboxUnavailable: it cannot be started.
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
        self._level: Level | None = None
        self._greeting = threading.Lock()
        self._deadline = time.monotonic() + limits.startup
        # The pipes are made here: if descriptors run out, `subprocess` in some releases of Python loses one.
        with contextlib.ExitStack() as opened:
            try:
                stdin, self._stdin = map(opened.enter_context, _pipe())
                self._stdout, stdout = map(opened.enter_context, _pipe())
                self._process = subprocess.Popen(
                    [sys.executable, *_FLAGS, "-c", _BOOT, json.dumps(config)],
                    stdin=stdin,
                    stdout=stdout,
                    stderr=subprocess.DEVNULL,
                    env=_ENVIRONMENT,
                    cwd="/",
                    close_fds=True,
                    start_new_session=True,  # Ctrl-C in a notebook is not for the worker
                )
            except OSError as error:
                raise SandboxUnavailable(f"a worker process cannot be started: {error}") from error
            stdin.close()
            stdout.close()
            opened.pop_all()
        self._in, self._out = self._stdin.fileno(), self._stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._out, select.POLLIN)
        self._writable.register(self._in, select.POLLOUT)

    def greet(self) -> Level:
        """Wait until it is ready, and return how far it is confined, as it measured that itself.

        Raises:
            SandboxUnavailable: it did not get ready, and was ended.
        """
        try:
            with self._greeting:
                self._level = self._level or self._greet()
        except BaseException:
            self.kill()
            raise
        return self._level

    @property
    def level(self) -> Level:
        return self.greet()

    @property
    def is_ready(self) -> bool:
        """Whether it has said that it is ready, or could not get there; does not wait."""
        return self._level is not None or bool(self._readable.poll(0))

    def _greet(self) -> Level:
        try:
            message = self.receive(max(self._deadline, time.monotonic() + _GREETING))
        except (DeadlinePassed, PipeClosed, ProtocolError) as error:
            raise SandboxUnavailable(
                f"a worker did not start ({type(error).__name__}): "
                f"check that {sys.executable} runs and can import RestrictedPython"
            ) from None
        if message.get("op") == "FAILED":
            raise SandboxUnavailable(f"a worker could not prepare itself: {message.get('message')}")
        if message.get("op") != "READY" or message.get("protocol") != VERSION:
            raise SandboxUnavailable("a worker of another version answered: reinstall the package")
        return Level(message["facts"])

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def is_quiet(self) -> bool:
        """Whether it runs and says nothing, as one does that waits for its next inputs."""
        return self.is_alive and not self._buffer and not self._readable.poll(0)

    def send(self, message: dict[str, Any], deadline: float) -> None:
        """Send one message.

        Raises:
            TooLarge: it is over the limit of a reply.
            DeadlinePassed: the worker did not read it before the deadline (of `time.monotonic`).
            PipeClosed: the worker has closed its end.
        """
        view = memoryview(pack(message, self._limits.reply))
        while view:
            try:
                view = view[os.write(self._in, view[:_BLOCK]) :]
            except BlockingIOError:
                self._wait(self._writable, deadline)
            except OSError as error:
                raise PipeClosed(str(error)) from None

    def receive(self, deadline: float) -> dict[str, Any]:
        """The next message, whole, before the deadline. After `DeadlinePassed` it may be called again.

        Raises:
            ProtocolError, DeadlinePassed, PipeClosed: as named.
        """
        buffer = self._buffer
        while True:
            if len(buffer) >= HEADER.size:
                (size,) = HEADER.unpack_from(buffer)
                if size > self._limits.message:
                    raise ProtocolError(f"a message of {size} bytes")
                end = HEADER.size + size
                if len(buffer) >= end:
                    body = bytes(buffer[HEADER.size : end])
                    del buffer[:end]
                    return unpack(body)
            self._wait(self._readable, deadline)  # also if bytes wait: one now and then is silence too
            part = os.read(self._out, _BLOCK)
            if not part:
                raise PipeClosed("the worker ended")
            buffer += part

    def _wait(self, poll: select.poll, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise DeadlinePassed

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
        """End the process from another thread: its readers find it gone."""
        self._process.kill()

    def kill(self) -> int:
        """End the process and return how it ended, as `subprocess` has it; may be called again."""
        self._process.kill()
        code = self._process.wait()
        with self._greeting:  # those who still wait for it find it gone, before its descriptors are reused
            self._close()
        return code

    def ended(self, patience: float = 0.5) -> int:
        """How a worker ended that closed its pipe; one that still runs is killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        return self.kill()

    def abandon(self) -> None:
        """Forget a worker that belongs to the process this one was forked from."""
        self._close()
        self._process.returncode = 0

    def _close(self) -> None:
        self._stdin.close()
        self._stdout.close()


def _pipe() -> tuple[FileIO, FileIO]:
    """The end to read and the end to write; closed when nobody holds them any more."""
    read, write = os.pipe()
    return FileIO(read), FileIO(write, "w")


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
    """Workers that are started before they are needed, those that wait for the next inputs of their program, and
    the end of those that were needed.

    Starts and ends happen in a thread in the background, after a run and not during it: a run waits neither for the
    end of its worker nor for the start of the next one.

    Args:
        size: number of workers that wait. With 0 nothing happens in the background.
        options: for each `WorkerProcess`.
    """

    def __init__(self, size: int, **options: Any) -> None:
        self._size = size
        self._options = options
        self._closed = False
        self._ready: deque[WorkerProcess] = deque()
        self._used: set[WorkerProcess] = set()
        self._series: dict[object, deque[WorkerProcess]] = {}
        self._start()

    def _start(self) -> None:
        self._owner = os.getpid()
        self._lock = threading.RLock()  # a forgotten sandbox may be closed in the middle of anything
        self._keeper = ThreadPoolExecutor(1, thread_name_prefix="sandbox-standby")

    def take(self, series: object = None) -> WorkerProcess:
        """A worker that has served this series before, or else one that is ready or will be soonest.

        Raises:
            SandboxUnavailable: none can be started, or the sandbox is closed.
        """
        self._after_fork()
        while (worker := self._next(series)) is not None:
            if not worker.is_ready:
                self._keep(self._fill)  # programs come faster than workers start: start two at once
            with contextlib.suppress(SandboxUnavailable):  # it ended on the way; a new one will tell why
                worker.greet()
                return worker
        worker = WorkerProcess(**self._options)
        worker.greet()
        return worker

    def _next(self, series: object) -> WorkerProcess | None:
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("this sandbox is closed")
            waiting = self._series.get(series, deque())
            while waiting:
                worker = waiting.pop()  # the last to come: if few are needed, the others rest
                if worker.is_quiet:
                    return worker
                worker.kill()
            while self._ready:
                worker = self._ready.popleft()
                if worker.is_alive:
                    return worker
                worker.kill()
        return None

    def put(self, worker: WorkerProcess, series: object = None) -> None:
        """Take back a worker that has run nothing yet, or nothing but the program of a series."""
        with self._lock:
            room = len(self._ready) < self._size if series is None else series in self._series
            if room and not self._closed:
                (self._ready if series is None else self._series[series]).append(worker)
                return
        worker.kill()

    def open(self, series: object) -> None:
        """From now on workers can be put back to wait for a series."""
        self._series[series] = deque()

    def end(self, series: object) -> None:
        """End the workers that wait for a series."""
        with self._lock:
            waiting = self._series.pop(series, deque())
        for worker in waiting:
            worker.kill()

    def retire(self, worker: WorkerProcess) -> None:
        """End a worker that has had its program, and starts another."""
        worker.interrupt()
        if self._size:
            with self._lock:
                self._used.add(worker)
            if self._keep(self._replace, worker):
                return
        worker.kill()

    def start(self) -> None:
        """Start in the background what is missing of the standby."""
        self._after_fork()
        self._keep(self._fill)

    def wait(self) -> None:
        """Wait until the standby is full and ready, and nothing is left of the workers before.

        Raises:
            SandboxUnavailable: a worker cannot be started.
        """
        self._after_fork()
        filled = self._keep(self._fill)
        if filled is None:
            raise SandboxUnavailable("this sandbox is closed")
        filled.result()
        for worker in tuple(self._ready):
            worker.greet()

    def close(self) -> None:
        """End every worker that waits or has run, and the thread."""
        self._after_fork()
        with self._lock:
            self._closed = True
            left = self._all()
            self._forget()
        for worker in left:
            worker.kill()
        with contextlib.suppress(RuntimeError):  # a forgotten sandbox may be closed in this very thread
            self._keeper.shutdown()

    # --- in the background ---

    def _keep(self, step: Callable[..., None], *arguments: WorkerProcess) -> Future[None] | None:
        try:
            return self._keeper.submit(step, *arguments)
        except RuntimeError:  # closed meanwhile, or Python is about to end
            return None

    def _replace(self, worker: WorkerProcess) -> None:
        worker.kill()
        with self._lock:
            self._used.discard(worker)
        self._fill()

    def _fill(self) -> None:
        """Where it fails, the run that needs the worker meets the same error."""
        with self._lock:
            while not self._closed and len(self._ready) < self._size:
                self.put(WorkerProcess(**self._options))

    def _after_fork(self) -> None:
        if os.getpid() != self._owner:
            self._start()
            for worker in self._all():
                worker.abandon()
            self._forget()

    def _all(self) -> list[WorkerProcess]:
        return [*self._ready, *self._used, *(w for waiting in self._series.values() for w in waiting)]

    def _forget(self) -> None:
        self._ready.clear()
        self._used.clear()
        for waiting in self._series.values():
            waiting.clear()

"""The sandbox: a program goes in, an outcome comes out."""

from __future__ import annotations

import contextvars
import inspect
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from .checker import check
from .execution import Execution, Inputs, Job, Tools, Types
from .library import load
from .limits import Limits
from .outcome import Level, Outcome, SandboxUnavailable
from .parsing import Diagnostic
from .process import PipeClosed, Standby, WorkerProcess
from .protocol import CannotCross, TooLarge
from .series import Series

if TYPE_CHECKING:
    import asyncio

ENGINE = f"{__package__}.engine:RestrictedEngine"
_warned: set[tuple[str, ...]] = set()


class Sandbox:
    """Sandbox for untrusted programs: each runs in a fresh confined process.

    Safe to use from many threads and event loops at once. Close it, or use it as a context manager, to end
    the workers that stand by; they also end with this process, however it ends.

    Args:
        limits: bounds of each run.
        require: "kernel" refuses to run if the operating system does not enforce the confinement; "auto" runs with
            what there is, and warns once of what is missing.
        library: path of the `Library` that programs find, as "module:ATTRIBUTE".
        standby: number of workers that wait ready.
        engine: path of the `Engine` that executes programs, as "module:CLASS".

    Raises:
        ImportError, TypeError, ValueError: the library or an option is wrong.
    """

    # Either layer can be left out to test that the other holds alone. Not for anything else.
    _confined = True
    _checked = True

    def __init__(
        self,
        limits: Limits | None = None,
        require: Literal["auto", "kernel"] = "auto",
        library: str | None = None,
        *,
        standby: int = 1,
        engine: str = ENGINE,
    ) -> None:
        if require not in ("auto", "kernel"):
            raise ValueError(f"require must be 'auto' or 'kernel', not {require!r}")
        self.limits = limits or Limits()
        self._require = require
        self._library = load(library)
        self._level: Level | None = None
        self._standby = Standby(
            standby,
            limits=self.limits,
            library=library,
            engine=engine,
            confined=self._confined,
            checked=self._checked,
        )
        self._finalizer = weakref.finalize(self, self._standby.close)

    def check(
        self, source: str, *, tools: Iterable[str] = (), inputs: Iterable[str] = (), types: Types = ()
    ) -> list[Diagnostic]:
        """What the static check finds, as `run` would have it found; nothing runs."""
        return check(
            source,
            {*inputs, *(cls.__name__ for cls, _ in types)},
            tools=tools,
            attributes=[name for _, attributes in types for name in attributes],
            library=self._library,
            limits=self.limits,
        )

    def run(
        self, source: str, *, tools: Tools | None = None, inputs: Inputs | None = None, types: Types = ()
    ) -> Outcome:
        """Run one program.

        Args:
            source: Python source that defines `def answer(…)`, has a top-level `return`, or assigns `result`.
            tools: functions of this process that the program may call, by name. Their arguments come from the
                program: validate them. What they raise becomes a `ToolError` that the program can catch; a
                `StopProgram` ends it. `current_line` gives them the line of the call.
            inputs: values by name: parameters of `answer`, variables of a script.
            types: classes whose objects cross as handles, each with the attributes that a program may read.

        Returns:
            The outcome, whatever the program does.

        Raises:
            SandboxUnavailable: no worker can be started here, or not at the level required.
            TypeError, ValueError: an argument is wrong, an input cannot enter the program.
        """
        return self._run(source, tools, inputs, types, _call)

    def series(self, source: str) -> Series:
        """Runs of one program on many inputs, which is quicker: see `Series`."""

        def run(tools: Tools | None, inputs: Inputs | None, types: Types, series: object) -> Outcome:
            return self._run(source, tools, inputs, types, _call, series=series)

        return Series(run, self._standby)

    async def arun(
        self, source: str, *, tools: Tools | None = None, inputs: Inputs | None = None, types: Types = ()
    ) -> Outcome:
        """As `run`, without blocking the event loop.

        Tools may be coroutine functions, which run on this loop; plain ones run in a thread. Cancelling
        ends the program.
        """
        import asyncio  # here alone: it is slow to import

        loop = asyncio.get_running_loop()
        done: asyncio.Future[Outcome] = loop.create_future()
        stop = _Stop()

        def call(tool: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
            result = tool(*args, **kwargs)
            if not inspect.isawaitable(result):
                return result
            return stop.wait(result if inspect.iscoroutine(result) else _awaited(result), loop)

        def work() -> None:
            try:
                outcome = self._run(source, tools, inputs, types, call, stop)
            except BaseException as error:
                settle(done.set_exception, error)
            else:
                settle(done.set_result, outcome)

        def settle(setter: Callable[[Any], None], value: object) -> None:
            def set_it() -> None:
                if not done.done():
                    setter(value)

            if not loop.is_closed():
                loop.call_soon_threadsafe(set_it)

        # A thread of its own: in the loop's pool, tools that need that pool could wait for their own
        # programs.
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), name="sandbox-run", daemon=True).start()
        try:
            return await done
        finally:
            stop.set()

    def map(
        self,
        jobs: Iterable[tuple[str, Inputs]],
        *,
        tools: Tools | None = None,
        types: Types = (),
        workers: int = 8,
    ) -> Iterator[Outcome]:
        """Run many programs, several at once, and yield their outcomes in the order of the jobs.

        Args:
            jobs: pairs of a source and its inputs, read as they are needed.
            tools: as for `run`; they are called from several threads.
            types: as for `run`.
            workers: number of programs that run at once.
        """
        with ThreadPoolExecutor(workers, thread_name_prefix="sandbox-map") as pool:
            waiting: list[Future[Outcome]] = []
            try:
                for source, inputs in jobs:
                    waiting.append(pool.submit(self.run, source, tools=tools, inputs=inputs, types=types))
                    if len(waiting) > workers:
                        yield waiting.pop(0).result()
                while waiting:
                    yield waiting.pop(0).result()
            finally:
                for future in waiting:
                    future.cancel()

    def start(self) -> None:
        """Start the workers that stand by, and do not wait until they are ready."""
        self._standby.start()

    def warm(self) -> Sandbox:
        """Wait until the workers that stand by are ready, and return this sandbox.

        Raises:
            SandboxUnavailable: none can be started here.
        """
        self._standby.wait()
        return self

    @property
    def level(self) -> Level:
        """How far workers are confined here, as one of them measured it.

        Raises:
            SandboxUnavailable: no worker can be started here, or not at the level required.
        """
        if self._level is None:
            worker = self._standby.take()
            self._accept(worker)
            self._standby.put(worker)
        assert self._level is not None
        return self._level

    def close(self) -> None:
        """End the workers that stand by; no program can be run any more."""
        self._finalizer()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one run ---

    def _run(
        self,
        source: str,
        tools: Tools | None,
        inputs: Inputs | None,
        types: Types,
        call: Callable[[Callable[..., Any], list[Any], dict[str, Any]], Any],
        stop: _Stop | None = None,
        series: object = None,
    ) -> Outcome:
        tools, inputs = dict(tools or {}), dict(inputs or {})
        if type(source) is not str:
            raise TypeError(f"a program is a str, not {type(source).__name__}")
        _check_names(tools, inputs, types)
        job = Job(source, tools, inputs, types, self._library, self.limits, call, again=series is not None)
        if self._checked and len(source) > self.limits.source:  # too large to be sent
            refused = self._refused(job, self.level)
            if refused is not None:
                return refused
        worker, execution = self._begin(job, series)
        ended_well = False
        try:
            # The worker checks and compiles at the same time. Whatever it makes of the program, none of its
            # messages is read before this verdict.
            refused = self._refused(job, worker.level) if self._checked else None
            if refused is not None:
                return refused
            if stop is not None:
                stop.watch(worker)
            outcome = execution.run()
            ended_well = outcome.status == "ok"
            return outcome
        finally:
            if job.again and ended_well:
                self._standby.put(worker, series)
            else:
                self._standby.retire(worker)

    def _refused(self, job: Job, level: Level) -> Outcome | None:
        """The outcome of a program that the static check refuses; None if it may run."""
        found = self.check(job.source, tools=job.tools, inputs=job.inputs, types=job.types)
        if not found:
            return None
        return Outcome(
            "rejected",
            diagnostics=tuple(found),
            error=str(found[0]),
            line=found[0].line,
            level=level,
            seconds=time.monotonic() - job.started,
        )

    def _begin(self, job: Job, series: object) -> tuple[WorkerProcess, Execution]:
        """A worker that has the program. One that had died while it waited is replaced, once."""
        for last in (False, True):
            worker = self._standby.take(None if last else series)
            try:
                self._accept(worker)
                execution = Execution(job, worker)
                execution.start()
                return worker, execution
            except PipeClosed:
                worker.kill()
                if last:
                    raise SandboxUnavailable("workers end before they read a program") from None
            except (CannotCross, TooLarge):
                self._standby.put(worker, series)
                raise
            except BaseException:
                worker.kill()
                raise
        raise AssertionError("unreachable")

    def _accept(self, worker: WorkerProcess) -> None:
        level = worker.level
        missing = ", ".join(level.missing)
        if self._require == "kernel" and missing:
            worker.kill()
            raise SandboxUnavailable(f"the operating system does not enforce here: {missing}")
        self._level = level
        if missing and level.missing not in _warned and self._confined:
            _warned.add(level.missing)
            warnings.warn(f"the sandbox runs at level 'process'; not enforced here: {missing}", stacklevel=5)


class _Stop:
    """End a run from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = False
        self._worker: WorkerProcess | None = None
        self._waiting: Future[Any] | None = None

    def watch(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._worker = worker
            stopped = self._stopped
        if stopped:
            worker.interrupt()

    def wait(self, coroutine: Coroutine[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Any:
        """The result of a coroutine on its loop; ended with the run."""
        from asyncio import run_coroutine_threadsafe

        with self._lock:
            if self._stopped:
                coroutine.close()
                raise CancelledError
            self._waiting = run_coroutine_threadsafe(coroutine, loop)
        return self._waiting.result()

    def set(self) -> None:
        with self._lock:
            self._stopped = True
            if self._worker is not None:
                self._worker.interrupt()
            if self._waiting is not None:
                self._waiting.cancel()


async def _awaited(result: Any) -> Any:
    return await result


def _call(tool: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Any:
    result = tool(*args, **kwargs)
    if inspect.iscoroutine(result):
        result.close()
        raise TypeError("a tool that is a coroutine function needs arun()")
    return result


def _check_names(tools: Tools, inputs: Inputs, types: Sequence[tuple[type, Sequence[str]]]) -> None:
    for name in [*tools, *inputs, *(name for _, attributes in types for name in attributes)]:
        if not name.isidentifier() or name.startswith("_"):
            raise ValueError(f"{name!r} is no name that a program can use")
    both = sorted(set(tools) & set(inputs))
    if both:
        raise ValueError(f"{both[0]!r} is the name of a tool and of an input")

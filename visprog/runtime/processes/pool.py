"""The tool processes of this interpreter: which tool works in which, and how many there are."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import ToolError, first_line
from ...models.checkpoint.cache import hub_cache
from ...models.measured import model_cache
from ...registry import Backend, BackendLoader
from ...registry.loader import Options, PlainFunction, PlainTool
from ...registry.types import mentions
from ...values.codec import fingerprint
from ...values.video import Video
from ..batcher import OutOfTime, is_given_up, waiting_for_others
from .launch import Confinement
from .names import name_of
from .process import CannotImport, Crashed, Memory, ToolProcess, Work

log = logging.getLogger(__name__)

NATIVE = "native"
"""Name of the processes in which plain functions work, and backends that load little: those of this package."""
FUNCTIONS = "functions"
"""Name of the processes in which plain functions of others work."""
OWN = "visprog."
MAX_NATIVE = 16
"""Maximum number of processes for plain functions; there are as many as work at the same time."""
IDLE_SECONDS = 60.0
"""Seconds after which a process that nobody uses ends, if another one waits beside it."""
MEMORY_SHARE = 0.75
"""Share of the memory of this machine that a process may take."""
NATIVE_MEMORY = 4 << 30
"""Bytes of memory that a process of plain functions may take at most."""
NATIVE_KEPT = 1 << 30
"""Bytes that it may keep between calls."""
MAX_REMEMBERED = 1000
"""Number of calls of a tool that are remembered because they crashed its process."""


@dataclass(frozen=True)
class ProcessGroup:
    """Processes that do the same work.

    Attributes:
        name: Of the group.
        most: Maximum number of processes in it.
        memory: What each may take.
        confinement: How far each is confined; None if it is not.
    """

    name: str
    most: int
    memory: Memory
    confinement: Confinement | None


class ProcessPool:
    """Processes by group. A process works on one batch at a time, and those of a group do the same work."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._idle: dict[str, list[ToolProcess]] = {}
        self._count: dict[str, int] = {}
        self._all: set[ToolProcess] = set()
        self._owner = os.getpid()
        atexit.register(self.close)

    @contextmanager
    def process(self, group: ProcessGroup, number: int, fresh: bool = False) -> Iterator[ToolProcess]:
        """A process of a group that works for nobody else.

        Args:
            group: That it belongs to.
            number: Of the work that it is wanted for: one that has done that before is preferred.
            fresh: Whether to start one rather than to take one that waits.

        Raises:
            ToolError: It cannot be started.
        """
        held = _held.get()
        if group.name in held:  # a tool there has called the host, and waits
            yield held[group.name]
            return
        process = self._take(group, number, fresh)
        token = _held.set({**held, group.name: process})
        try:
            yield process
        finally:
            _held.reset(token)
            self._put(group.name, process)

    def prepare(self, group: ProcessGroup, work: Work | None = None) -> None:
        """Start a process of a group, if there is none, and do not wait until it is ready.

        Args:
            work: What one that works for nobody loads, so that its first call need not.
        """
        self._leave_parent()
        with self._changed, contextlib.suppress(ToolError):
            idle = self._idle.setdefault(group.name, [])
            if not self._count.get(group.name):
                idle.append(self._started(group))
            if work is not None and idle:
                idle[-1].load(work)

    def close(self) -> None:
        """End all processes."""
        with self._changed:
            if self._owner == os.getpid():
                for process in self._all:
                    process.stop("the host ended")  # all of them, before one is waited for
                for process in self._all:
                    process.end()
            self._all, self._idle, self._count = set(), {}, {}
            self._owner = os.getpid()
            self._changed.notify_all()

    def processes(self) -> dict[str, int]:
        """Number of processes per group."""
        with self._changed:
            return {group: count for group, count in sorted(self._count.items()) if count}

    def end_group(self, group: str) -> None:
        """End the processes of a group that do not work."""
        with self._changed:
            idle = self._idle.pop(group, [])
            for process in idle:
                self._forget(group, process)
        for process in idle:
            process.close()

    def _take(self, group: ProcessGroup, number: int, fresh: bool) -> ToolProcess:
        self._leave_parent()
        with waiting_for_others():
            process = self._next(group, number, fresh)
            try:
                process.wait()
            except BaseException:
                with self._changed:
                    self._forget(group.name, process)
                    self._changed.notify_all()
                process.close()
                raise
            return process

    def _next(self, group: ProcessGroup, number: int, fresh: bool) -> ToolProcess:
        """A process that waits, or a new one, or the first that is put back."""
        with self._changed:
            while True:
                idle = self._idle.setdefault(group.name, [])
                room = self._count.get(group.name, 0) < group.most
                while idle and not (fresh and room):
                    # The last to come: if few are needed, the others rest and end.
                    at = next((i for i in reversed(range(len(idle))) if number in idle[i].loaded), -1)
                    process = idle.pop(at)
                    if process.is_alive:
                        return process
                    self._forget(group.name, process)
                if self._count.get(group.name, 0) < group.most:
                    return self._started(group)
                self._changed.wait(1.0)
                if is_given_up():
                    raise OutOfTime

    def _started(self, group: ProcessGroup) -> ToolProcess:
        process = ToolProcess(group.memory, group.confinement)
        self._count[group.name] = self._count.get(group.name, 0) + 1
        self._all.add(process)
        return process

    def _leave_parent(self) -> None:
        """In a forked process: those processes are its parent's."""
        if self._owner != os.getpid():
            self.close()

    def _put(self, group: str, process: ToolProcess) -> None:
        ended = []
        with self._changed:
            idle = self._idle.setdefault(group, [])
            if process not in self._all or process.has_ended or process.has_grown:
                self._forget(group, process)
                ended.append(process)
            else:
                process.idle_since = time.monotonic()
                idle.append(process)
            while len(idle) > 1 and time.monotonic() - idle[0].idle_since > IDLE_SECONDS:
                ended.append(idle.pop(0))
                self._forget(group, ended[-1])
            self._changed.notify_all()
        for each in ended:
            each.close()

    def _forget(self, group: str, process: ToolProcess) -> None:
        if process in self._all:
            self._all.discard(process)
            self._count[group] -= 1


_held: ContextVar[Mapping[str, ToolProcess]] = ContextVar(
    "visprog_tool_processes", default=MappingProxyType({})
)
"""The processes that a chain of calls works in, by group."""


class ToolProcesses(BackendLoader):
    """Builds backends here, to know what they see, and has their calls answered in processes.

    What another process cannot import stays in this one: tools of a notebook, of the script that runs, or of a
    function; backends that are objects. So does a backend whose attribute `process` is "host".

    Args:
        memory: Bytes of memory that each process may take; 0 for `MEMORY_SHARE` of this machine's, and for those of
            plain functions at most `NATIVE_MEMORY`, of which they keep at most `NATIVE_KEPT` between calls.
    """

    def __init__(self, memory: int = 0) -> None:
        super().__init__()
        self.pool = ProcessPool()
        self._memory = memory

    def hold(self, name: str, make: Callable[..., Backend], options: Options) -> Backend:
        """A backend whose calls are answered in a process, or the backend itself."""
        local = make(**dict(options))
        place, said = name_of(make), getattr(local, "process", "")
        if not place or said == "host":
            return local
        folder, model = getattr(local, "folder", None), getattr(local, "model", None)
        group = self._group(str(said or folder or model or place), MAX_NATIVE if said == NATIVE else 1)
        if said != NATIVE:
            group = replace(group, confinement=_of_model(local))
        return InProcess(self.pool, local, group, Work(next(_numbers), place, "", options))

    def start(self) -> None:
        """Start a process for plain functions of this package in the background, if there is none."""
        self.pool.prepare(self._group(NATIVE, MAX_NATIVE))

    def plain(self, tool: PlainTool) -> Backend:
        """A plain function that is called in a process, or in this one."""
        local, place = PlainFunction(tool), name_of(tool)
        if not place or any(
            mentions(p.type, Video) for p in tool.parameters
        ):  # a video stays where it is open
            return local
        own = place.startswith(OWN)
        name = NATIVE if own else FUNCTIONS
        group = self._group(f"{name} {place}" if tool.alone else name, 1 if tool.alone else MAX_NATIVE)
        if not own:  # what a function of somebody else needs, nobody knows
            group = replace(group, confinement=None)
        return InProcess(self.pool, local, group, Work(next(_numbers), "", place, ()))

    def _group(self, name: str, most: int) -> ProcessGroup:
        working = self._memory or int(MEMORY_SHARE * machine_memory())
        idle = working
        if not self._memory and name.partition(" ")[0] in (NATIVE, FUNCTIONS):
            working, idle = min(working, NATIVE_MEMORY), min(working, NATIVE_KEPT)
        return ProcessGroup(name, most, Memory(working, idle), Confinement())


def _of_model(backend: Backend) -> Confinement | None:
    """How far the process of a model is confined: it keeps what it has computed, and may fetch what is not here yet."""
    if not getattr(backend, "confined", False):
        return None
    cache = model_cache()
    with contextlib.suppress(OSError):  # without it, nothing is kept
        cache.mkdir(parents=True, exist_ok=True)
    if getattr(backend, "folder", None) is not None:
        return Confinement(writable=(str(cache),))
    return Confinement(network=True, writable=(str(cache), str(hub_cache())))


class InProcess:
    """A backend whose batches are answered in a process. What is known of it without a call is the backend's own.

    A batch that crashes its process is done again, call by call, in a fresh one. A call that crashes it twice is an
    error, now and whenever it is made again.
    """

    def __init__(self, pool: ProcessPool, local: Backend, group: ProcessGroup, work: Work) -> None:
        self.pool = pool
        self.local = local
        self.group = group
        self.at_once = group.most
        self.works_in = group.name
        self.work = work
        self._here = False
        self._is_fetched = False
        self._working: dict[int, ToolProcess] = {}
        self._crashed: OrderedDict[Hashable, str] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["local"], name)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        if self._here:
            return self.local(calls)
        if not self._crashed:
            return self._results(calls)
        remembered = [self._crashed.get(fingerprint(call), "") for call in calls]
        others = [call for call, found in zip(calls, remembered, strict=True) if not found]
        results = self._results(others) if others else []
        if len(results) != len(others):  # the batcher says that this is wrong
            return results
        left = iter(results)
        return [ToolError(found) if found else next(left) for found in remembered]

    def moved(self, process: str) -> Backend:
        """The same in the process of another name; "host" is that of the host."""
        if process == "host":
            return self.local
        group = replace(self.group, name=f"{process} (settings)", most=1)
        return InProcess(self.pool, self.local, group, self.work)

    def prepare(self) -> None:
        """Start its process in the background, if there is none, and let it load what the first call needs."""
        self.pool.prepare(self.group, self.work)

    def interrupt(self, thread: int) -> None:
        """End the process that works for a thread of the host."""
        process = self._working.get(thread)
        if process is not None:
            process.stop("its time was up")

    def unload(self) -> None:
        """End the processes that hold its weights, where no batch is in them."""
        if self.group.most == 1:
            self.pool.end_group(self.group.name)

    def _results(self, calls: list[dict[str, Any]]) -> list[Any]:
        try:
            return self._run(calls)
        except CannotImport as error:
            if self.group.confinement is not None and self.group.confinement.only:
                raise ToolError(str(error)) from None
            log.warning("%s works in this process, since another cannot import it: %s", self.work, error)
            self._here, self.works_in = True, ""
            return self.local(calls)
        except Crashed as first:
            if is_given_up():
                raise
            if len(calls) > 1:
                return [self._results([call])[0] for call in calls]
            try:
                return self._run(calls, fresh=True)
            except Crashed as second:
                if is_given_up():
                    raise
                return [self._remember(calls[0], first, second)]

    def _run(self, calls: list[dict[str, Any]], fresh: bool = False) -> list[Any]:
        thread = threading.get_ident()
        if (
            not self._is_fetched
        ):  # in this process, which has the network, the keys of the user, and the screen
            with waiting_for_others():
                getattr(self.local, "fetch", lambda: None)()
            self._is_fetched = True
        with self.pool.process(self.group, self.work.number, fresh) as process:
            before = self._working.get(thread)
            self._working[thread] = process
            try:
                results = process.run(self.work, calls)
                failures = (result for result in results if isinstance(result, Exception))
                broken = next((error for error in failures if _BROKEN_GPU.search(str(error))), None)
                if broken is not None:
                    raise Crashed(process.end(f"its GPU failed: {first_line(broken)}"))
                return results
            finally:
                if before is None:
                    del self._working[thread]
                else:
                    self._working[thread] = before

    def _remember(self, call: dict[str, Any], first: Crashed, second: Crashed) -> ToolError:
        text = f"it crashed the process of the tool twice: {first}; {second}"
        if not (first.was_killed and second.was_killed):  # by somebody else, who may have meant another
            text += "; it is not tried again"
            self._crashed[fingerprint(call)] = text
        if len(self._crashed) > MAX_REMEMBERED:
            self._crashed.popitem(last=False)
        return ToolError(text)


_BROKEN_GPU = re.compile("CUDA error|device-side assert|CUBLAS_STATUS|CUDNN_STATUS|HIP error")
"""What errors say after which a process cannot use its GPU any more."""


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container that this process runs in."""
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            most = min(most, int(Path(file).read_text()))
    return most


_numbers = itertools.count()

PROCESSES = ToolProcesses()
"""The tool processes of this interpreter, shared by all hosts that are given no other loader."""

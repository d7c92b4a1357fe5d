"""The tool processes of this interpreter: which tool works in which, and how many there are."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import ToolError
from ...registry import Backend, BackendLoader, Tool
from ...registry.loader import Options, PlainFunction
from ...values.codec import fingerprint
from ..batcher import OutOfTime, is_given_up, waiting_for_others
from .names import name_of
from .process import CannotImport, Crashed, Memory, ToolProcess, Work

log = logging.getLogger(__name__)

NATIVE = "native"
"""Name of the processes in which plain functions work, and backends that load little."""
MAX_NATIVE = 16
"""Maximum number of those; there are as many as work at the same time."""
IDLE_SECONDS = 60.0
"""Seconds after which a process that nobody uses ends, if another one waits beside it."""
MEMORY_SHARE = 0.75
NATIVE_MEMORY = 4 << 30
NATIVE_KEPT = 1 << 30
MAX_REMEMBERED = 1000
"""Number of calls of a tool that are remembered because they crashed its process."""


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
    def process(self, group: str, most: int, memory: Memory, number: int) -> Iterator[ToolProcess]:
        """A process of a group that works for nobody else.

        Args:
            group: Its name.
            most: Maximum number of processes in it.
            memory: What each may take.
            number: Of the work that it is wanted for: one that has done that before is preferred.

        Raises:
            ToolError: It cannot be started.
        """
        held = _held.get()
        if group in held:  # a tool there has called the host, and waits
            yield held[group]
            return
        process = self._take(group, most, memory, number)
        token = _held.set({**held, group: process})
        try:
            yield process
        finally:
            _held.reset(token)
            self._put(group, process)

    def close(self) -> None:
        """End all processes."""
        with self._changed:
            if self._owner == os.getpid():
                for process in self._all:
                    process.end("the host ended")
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

    def _take(self, group: str, most: int, memory: Memory, number: int) -> ToolProcess:
        if self._owner != os.getpid():
            self.close()  # forked: those processes are the parent's
        with waiting_for_others():
            with self._changed:
                while True:
                    idle = self._idle.setdefault(group, [])
                    while idle:
                        # The last to come: if few are needed, the others rest and end.
                        at = next((i for i in reversed(range(len(idle))) if number in idle[i].loaded), -1)
                        process = idle.pop(at)
                        if process.is_alive:
                            return process
                        self._forget(group, process)
                    if self._count.get(group, 0) < most:
                        process = ToolProcess(memory)
                        self._count[group] = self._count.get(group, 0) + 1
                        self._all.add(process)
                        break
                    self._changed.wait(1.0)
                    if is_given_up():
                        raise OutOfTime
            try:
                process.wait()
            except BaseException:
                with self._changed:
                    self._forget(group, process)
                raise
            return process

    def _put(self, group: str, process: ToolProcess) -> None:
        ended = []
        with self._changed:
            idle = self._idle.setdefault(group, [])
            if process not in self._all or not process.is_alive or process.has_grown:
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

    def memory(self, group: str) -> Memory:
        """What a process of a group may take."""
        most = self._memory or int(MEMORY_SHARE * machine_memory())
        if not self._memory and group.partition(" ")[0] == NATIVE:
            most = min(most, NATIVE_MEMORY)
            return Memory(most, min(most, NATIVE_KEPT))
        return Memory(most, most)

    def hold(self, name: str, make: Callable[..., Backend], options: Options) -> Backend:
        """A backend whose calls are answered in a process, or the backend itself."""
        local = make(**dict(options))
        place = name_of(make)
        group = group_of(local, place)
        if not place or group == "host":
            return local
        most = MAX_NATIVE if group == NATIVE else 1
        return InProcess(self, local, group, most, Work(next(_numbers), place, "", options))

    def plain(self, tool: Tool) -> Backend:
        """A plain function that is called in a process, or in this one."""
        local, place = PlainFunction(tool), name_of(tool)
        if not place:
            return local
        group, most = (f"{NATIVE} {place}", 1) if tool.alone else (NATIVE, MAX_NATIVE)
        return InProcess(self, local, group, most, Work(next(_numbers), "", place, ()))


class InProcess:
    """A backend whose batches are answered in a process. What is known of it without a call is the backend's own.

    A batch that crashes its process is done again, call by call, in a fresh one. A call that crashes it twice is an
    error, now and whenever it is made again.
    """

    def __init__(self, owner: ToolProcesses, local: Backend, group: str, most: int, work: Work) -> None:
        self.owner = owner
        self.local = local
        self.group = group
        self.at_once = most
        self.work = work
        self._here = False
        self._working: dict[int, ToolProcess] = {}
        self._crashed: OrderedDict[Hashable, str] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["local"], name)

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        if self._here:
            return self.local(calls)
        remembered = [self._remembered(call) for call in calls]
        fresh = [call for call, found in zip(calls, remembered, strict=True) if not found]
        results = iter(self._results(fresh) if fresh else [])
        return [ToolError(found) if found else next(results) for found in remembered]

    def interrupt(self, thread: int) -> None:
        """End the process that works for a thread of the host."""
        process = self._working.get(thread)
        if process is not None:
            process.end("its time was up")

    def unload(self) -> None:
        """End the processes that hold its weights, where no batch is in them."""
        if self.group != NATIVE:
            self.owner.pool.end_group(self.group)

    def _results(self, calls: list[dict[str, Any]]) -> list[Any]:
        try:
            return self._run(calls)
        except CannotImport as error:
            log.warning("%s works in this process, since another cannot import it: %s", self.work, error)
            self._here = True
            return self.local(calls)
        except Crashed as first:
            if is_given_up():
                raise
            if len(calls) > 1:
                return [self._results([call])[0] for call in calls]
            try:
                return self._run(calls)
            except Crashed as second:
                if is_given_up():
                    raise
                return [self._remember(calls[0], first, second)]

    def _run(self, calls: list[dict[str, Any]]) -> list[Any]:
        pool, thread = self.owner.pool, threading.get_ident()
        memory = self.owner.memory(self.group)
        with pool.process(self.group, self.at_once, memory, self.work.number) as process:
            before = self._working.get(thread)
            self._working[thread] = process
            try:
                return process.run(self.work, calls)
            finally:
                if before is None:
                    del self._working[thread]
                else:
                    self._working[thread] = before

    def _remember(self, call: dict[str, Any], first: Crashed, second: Crashed) -> ToolError:
        text = f"it crashed the process of the tool twice, and is not tried again: {first}; {second}"
        self._crashed[fingerprint(call)] = text
        if len(self._crashed) > MAX_REMEMBERED:
            self._crashed.popitem(last=False)
        return ToolError(text)

    def _remembered(self, call: dict[str, Any]) -> str:
        return self._crashed.get(fingerprint(call), "") if self._crashed else ""


def group_of(backend: Backend, name: str) -> str:
    """The group of processes that a backend works in: what its attribute `process` says, else one for its weights."""
    said = getattr(backend, "process", "")
    weights = getattr(backend, "folder", None) or getattr(backend, "model", None)
    return str(said or weights or name)


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

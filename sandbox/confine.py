"""The worker locks itself up, for good, and measures what that achieved.

Called in the worker after everything is imported and before it reads the program. Nothing here needs
rights: a process may always give up its own. Each mechanism is tried on its own; what a platform lacks is
left out, and the probes tell.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from . import kernel
from .limits import Limits

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

NOBODY = 65_534
PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
_STACK = 8 << 20


def confine(limits: Limits) -> dict[str, Any]:
    """Apply every mechanism there is; returns which ones took hold."""
    linux = sys.platform == "linux"
    how: dict[str, Any] = {"user_dropped": _drop_user()}
    if linux:
        how["no_new_privs"] = _give_up_privileges()
        how["landlock"] = kernel.apply_landlock()  # needs a descriptor: before the limits
    _limit_resources(limits)
    how["cpu"] = _cpu_is_bounded()  # read back while that is still possible
    how["seccomp"] = kernel.apply_seccomp(readable=0, writable=1)  # forbids setrlimit: after the limits
    return how


def confine_tools(
    *, readable: Sequence[str] = ("/",), writable: Sequence[str] = (), network: bool = False
) -> dict[str, Any]:
    """Confine a process in which tools work, and what it starts, for good; return which mechanisms took hold.

    It starts no programs, changes no files, opens no connections and signals nobody else. To be called before there are
    threads: Landlock binds the calling thread, and those that it starts.

    Args:
        readable: Files and folders that it may read.
        writable: Those that it may change too.
        network: Whether it may open connections, until `cut_off` is called.
    """
    if sys.platform != "linux":
        return {"no_new_privs": False, "landlock": 0, "seccomp": False}
    how: dict[str, Any] = {"no_new_privs": _give_up_privileges()}
    how["landlock"] = kernel.apply_landlock(readable, writable, network)
    how["seccomp"] = not network and kernel.apply_tools_filter()
    return how


def cut_off() -> bool:
    """Close the network to a process that was let keep it by `confine_tools`, in all its threads."""
    return sys.platform == "linux" and kernel.apply_tools_filter()


def _give_up_privileges() -> bool:
    """Gain none by any program, and let nobody look into this process."""
    given_up = kernel.prctl(PR_SET_NO_NEW_PRIVS, 1)
    kernel.prctl(PR_SET_DUMPABLE, 0)
    return given_up


def _drop_user() -> bool:
    """Become nobody, if it is root and may: no process limit binds root."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return False
    try:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        return False
    return True


def _limit_resources(limits: Limits) -> None:
    if resource is None:
        return
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    cpu = math.ceil(used + limits.cpu) + 1
    bounds = {
        "CPU": (cpu, cpu + 1), "AS": limits.memory, "DATA": limits.memory, "STACK": _STACK, "FSIZE": 0,
        "NOFILE": 0, "NPROC": 0, "CORE": 0, "MEMLOCK": 0, "MSGQUEUE": 0, "SIGPENDING": 0,
    }  # fmt: skip
    for name, bound in bounds.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is None:
            continue
        soft, hard = bound if isinstance(bound, tuple) else (bound, bound)
        ceiling = resource.getrlimit(kind)[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        with contextlib.suppress(ValueError, OSError):  # macOS refuses some; the probes tell
            resource.setrlimit(kind, (soft, hard))


# --- probes ---


def measure(limits: Limits) -> dict[str, bool]:
    """What the operating system denies to this process now, found out by trying."""
    linux = sys.platform == "linux"
    return {
        "files_denied": all(map(_is_denied, (_open_root, _open_null, _stat_root))),
        "network_denied": linux and kernel.is_denied("socket"),
        "processes_denied": linux and all(map(kernel.is_denied, ("clone", "execve"))),
        "parent_protected": linux and all(map(kernel.is_denied, ("kill", "ptrace", "process_vm_readv"))),
        "memory": _memory_is_bounded(limits),
    }


def _is_denied(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except OSError as error:
        return error.errno in (errno.EPERM, errno.EACCES)
    return False


def _open_root() -> None:
    os.close(os.open("/", os.O_RDONLY))


def _open_null() -> None:
    os.close(os.open(os.devnull, os.O_WRONLY))


def _stat_root() -> None:
    os.stat("/")


def _memory_is_bounded(limits: Limits) -> bool:
    if sys.platform != "linux":
        return False  # elsewhere the limit is accepted and does nothing
    try:
        bytearray(limits.memory)
    except MemoryError:
        return True
    return False


def _cpu_is_bounded() -> bool:
    return resource is not None and resource.getrlimit(resource.RLIMIT_CPU)[1] != resource.RLIM_INFINITY


def end_with_parent() -> None:
    """End this process within a second of its parent, also while it computes and reads no pipe."""
    parent = os.getppid()

    def end_if_orphaned(*_: object) -> None:
        if os.getppid() != parent:
            os._exit(0)

    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, end_if_orphaned)
        signal.setitimer(signal.ITIMER_REAL, 0.5, 0.5)


def on_cpu_time(seconds: float, handler: Callable[[int, Any], None]) -> None:
    """Call the handler when this process has used so much processor time, and again every half second."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGPROF, handler)
        signal.setitimer(signal.ITIMER_PROF, seconds, 0.5)

"""What the Linux kernel denies to the worker: seccomp and Landlock, through ctypes.

seccomp: an allow-list of system calls for x86-64 and arm64, as a BPF program that is made here. Every call that
is not listed fails with EPERM (libraries try some); those that only an attack makes end the process, so that its
parent learns from the signal what happened. No call can create executable memory.

Landlock, the second lock: the process gives up the file system, TCP, and signals and sockets outside its domain.

Both have a second, wider form for processes in which tools work: these read files and start threads.

Its numbers are those of `linux/landlock.h`; they are the same on every machine.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys
from collections.abc import Iterable

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: int) -> tuple[int, int]:
    """Result and `errno` of a system call."""
    ctypes.set_errno(0)
    result = int(_libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments)))
    return result, ctypes.get_errno()


def prctl(option: int, *arguments: int) -> bool:
    """Whether `prctl` succeeded."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return bool(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)) == 0)


# --- seccomp ---

# name: (number on x86-64, number on arm64), None if there is no such call
ALLOWED: dict[str, tuple[int, int]] = {
    "futex": (202, 98), "brk": (12, 214), "munmap": (11, 215), "mremap": (25, 216), "madvise": (28, 233),
    "rt_sigreturn": (15, 139), "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "sigaltstack": (131,
    132), "restart_syscall": (219, 128), "setitimer": (38, 103), "getitimer": (36, 102), "clock_gettime":
    (228, 113), "clock_getres": (229, 114), "gettimeofday": (96, 169), "getrusage": (98, 165), "times":
    (100, 153), "getpid": (39, 172), "getppid": (110, 173), "gettid": (186, 178), "sched_yield": (24, 124),
    "getrandom": (318, 278), "fstat": (5, 80), "lseek": (8, 62), "close": (3, 57), "set_robust_list": (273,
    99), "rseq": (334, 293), "exit": (60, 93), "exit_group": (231, 94),
}  # fmt: skip
NOT_EXECUTABLE = {"mmap": (9, 222), "mprotect": (10, 226)}  # allowed without PROT_EXEC, their third argument
READ, WRITE = (0, 63), (1, 64)  # allowed on the pipe alone
HOSTILE: dict[str, tuple[int, int | None]] = {
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50,
    201), "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg":
    (307, 269), "recvfrom": (45, 207), "recvmsg": (47, 212), "clone": (56, 220), "clone3": (435, 435),
    "fork": (57, None), "vfork": (58, None), "kill": (62, 129), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_open": (434, 434), "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev":
    (311, 271), "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "bpf": (321, 280), "perf_event_open": (298, 241),
    "userfaultfd": (323, 282), "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "init_module": (175, 105), "finit_module": (313, 273), "kexec_load": (246, 104), "reboot": (169, 142),
}  # fmt: skip
PROBED = {"execve": (59, 221)}
TOOLS_DENIED: dict[str, tuple[int, int | None]] = {
    **{name: HOSTILE[name] for name in (
        "connect", "bind", "listen", "accept", "accept4", "kill", "rt_sigqueueinfo", "rt_tgsigqueueinfo",
        "pidfd_open", "pidfd_send_signal", "pidfd_getfd", "ptrace", "process_vm_readv", "process_vm_writev",
        "unshare", "setns", "mount", "umount2", "pivot_root", "chroot", "bpf", "perf_event_open", "userfaultfd",
        "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter", "io_uring_register",
        "init_module", "finit_module", "kexec_load", "reboot",
    )},
    "execve": PROBED["execve"], "execveat": (322, 281), "tkill": (200, 130), "open_by_handle_at": (304, 265),
    "prlimit64": (302, 261), "sched_setaffinity": (203, 122), "setpriority": (141, 140),
}  # fmt: skip
"""What tools have no need of, and libraries that they use take an error for: for another process than the sandbox's."""
SOCKET = (41, 198)

_PROBE = 0x7FFF_FF01
"""No process, flag or address family: a hostile call with this first argument fails with EPERM under the
filter, and with another error without it. So a worker can prove that the filter holds, and live."""

_ARCHITECTURES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7), "arm64": (1, 0xC000_00B7)}
_X32 = 0x4000_0000
_MACHINE = os.uname().machine if hasattr(os, "uname") else ""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENT_0, _ARGUMENT_2 = 0, 4, 16, 32
_ALLOW, _DENY, _KILL = 0x7FFF_0000, 0x0005_0000 | errno.EPERM, 0x8000_0000
_PROT_EXEC = 4
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_SECCOMP, _SET_MODE_FILTER, _ALL_THREADS = (317, 277), 1, 1

Instruction = tuple[int, int, int, int]


def seccomp_program(machine: str, readable: int, writable: int) -> list[Instruction]:
    """The filter for a machine; the file descriptors are the only ones it may read and write.

    Raises:
        KeyError: there is no table for this machine.
    """
    column, code = _beginning(machine)
    for call, descriptor in ((READ, readable), (WRITE, writable)):
        code += _rule(call[column], _ARGUMENT_0, _EQUAL, descriptor, _ALLOW, _DENY)
    for call in NOT_EXECUTABLE.values():
        code += _rule(call[column], _ARGUMENT_2, _ANY_BIT, _PROT_EXEC, _DENY, _ALLOW)
    for number in _numbers(ALLOWED.values(), column):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ALLOW)]
    for number in _numbers(HOSTILE.values(), column):
        code += _rule(number, _ARGUMENT_0, _EQUAL, _PROBE, _DENY, _KILL)
    return [*code, (_RETURN, 0, 0, _DENY)]


def tools_program(machine: str) -> list[Instruction]:
    """The filter of a process in which tools work: it starts no program, opens no socket, and signals nobody else.

    Raises:
        KeyError: There is no table for this machine.
    """
    column, code = _beginning(machine)
    for number in (SOCKET[column], *_numbers(TOOLS_DENIED.values(), column)):
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _DENY)]
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _beginning(machine: str) -> tuple[int, list[Instruction]]:
    """The column of a machine, and the instructions that end a process of any other; then the number is loaded."""
    column, architecture = _ARCHITECTURES[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0,
        _NUMBER),
    ]  # fmt: skip
    if column == 0:
        code += [(_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _KILL)]
    return column, code


def _numbers(table: Iterable[tuple[int, int | None]], column: int) -> list[int]:
    return [number for numbers in table if (number := numbers[column]) is not None]


def _rule(call: int, argument: int, test: int, value: int, then: int, otherwise: int) -> list[Instruction]:
    """For one call, judged by one argument (its lower half); other calls pass on."""
    return [
        (_EQUAL, 0, 4, call), (_LOAD, 0, 0, argument), (test, 0, 1, value), (_RETURN, 0, 0, then),
        (_RETURN, 0, 0, otherwise),
    ]  # fmt: skip


def apply_seccomp(readable: int, writable: int) -> bool:
    """Put this process, which has `no_new_privs`, under the filter; False if the machine has none."""
    if sys.platform != "linux" or _MACHINE not in _ARCHITECTURES:
        return False
    return _install(seccomp_program(_MACHINE, readable, writable))


def apply_tools_filter() -> bool:
    """Put all threads of this process, which has `no_new_privs`, under the filter for tools."""
    if sys.platform != "linux" or _MACHINE not in _ARCHITECTURES:
        return False
    return _install(tools_program(_MACHINE), all_threads=True)


def _install(code: list[Instruction], all_threads: bool = False) -> bool:
    instructions = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(instructions)))
    if not all_threads:
        return prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))
    number = _SECCOMP[_ARCHITECTURES[_MACHINE][0]]
    result, _ = syscall(number, _SET_MODE_FILTER, _ALL_THREADS, ctypes.addressof(header))
    return result == 0


def is_denied(name: str) -> bool:
    """Whether the filter stops a call, which is made in a form that does nothing if it is not stopped."""
    if _MACHINE not in _ARCHITECTURES:
        return False
    column, _ = _ARCHITECTURES[_MACHINE]
    number = {**HOSTILE, **PROBED}[name][column]
    if number is None:
        return True
    first = 0 if name in PROBED else _PROBE  # execve of no path: EFAULT
    result, error = syscall(number, first, 0, 0, 0, 0)
    return result == -1 and error == errno.EPERM


# --- Landlock ---

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_PATH_BENEATH = 1
_VERSION_FLAG = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights each ABI knows: bits from 0
_NETWORK_FROM, _SCOPES_FROM = 4, 6
_TWO_BITS = 0b11  # bind and connect; abstract sockets and signals


class _LandlockAttributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathAttributes(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_FOLDER, _TRUNCATE, _IOCTL = 1, 2, 4, 8, 1 << 14, 1 << 15


def apply_landlock(readable: Iterable[str] = (), writable: Iterable[str] = (), network: bool = False) -> int:
    """Deny everything that the kernel's Landlock can deny; its ABI version, or 0 if there is none.

    Args:
        readable: Files and folders that may be read all the same.
        writable: Those that may be changed too.
        network: Whether TCP is left alone.
    """
    if sys.platform != "linux":
        return 0
    abi, _ = syscall(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    if abi < 1:
        return 0
    every = (1 << _FILE_RIGHTS.get(abi, 16)) - 1
    attributes = _LandlockAttributes(every, 0, 0)
    size = 8
    if abi >= _NETWORK_FROM:
        attributes.network, size = 0 if network else _TWO_BITS, 16
    if abi >= _SCOPES_FROM:
        attributes.scoped, size = _TWO_BITS, 24
    ruleset, _ = syscall(_CREATE_RULESET, ctypes.addressof(attributes), size, 0)
    if ruleset < 0:
        return 0
    for path in readable:
        _allow(ruleset, path, (_EXECUTE | _READ_FILE | _READ_FOLDER) & every, every)
    for path in writable:
        _allow(ruleset, path, every, every)
    result, _ = syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return abi if result == 0 else 0


def _allow(ruleset: int, path: str, rights: int, every: int) -> None:
    """Give rights on a file or on what lies in a folder; nothing if there is none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= (_EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL) & every
        attributes = _PathAttributes(rights, descriptor)
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.addressof(attributes), 0)
    finally:
        os.close(descriptor)

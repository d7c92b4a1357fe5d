"""The filter for arm64 against the numbers of its system calls, which are written down here a second time.

No such machine is needed: the filter is executed by the interpreter of `test_confine`.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from visprog.sandbox import kernel

from .test_confine import ALLOW, ARM, DENY, KILL, X86, judge

PROBE, EXECUTABLE, WRITABLE = 0x7FFF_FF01, 4, 2
PIPE_IN, PIPE_OUT, ANOTHER = 0, 1, 5

CALLS = {
    # Allowed, whatever the arguments are.
    "futex": 98, "brk": 214, "munmap": 215, "mremap": 216, "madvise": 233, "rt_sigreturn": 139, "rt_sigaction": 134,
    "rt_sigprocmask": 135, "sigaltstack": 132, "restart_syscall": 128, "setitimer": 103, "getitimer": 102,
    "clock_gettime": 113, "clock_getres": 114, "gettimeofday": 169, "getrusage": 165, "times": 153, "getpid": 172,
    "getppid": 173, "gettid": 178, "sched_yield": 124, "getrandom": 278, "fstat": 80, "lseek": 62, "close": 57,
    "set_robust_list": 99, "rseq": 293, "exit": 93, "exit_group": 94,
    # Allowed for some arguments.
    "read": 63, "write": 64, "mmap": 222, "mprotect": 226,
    # Ended.
    "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202, "connect": 203, "sendto": 206,
    "recvfrom": 207, "sendmsg": 211, "recvmsg": 212, "accept4": 242, "sendmmsg": 269, "clone": 220, "clone3": 435,
    "kill": 129, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "pidfd_open": 434, "pidfd_send_signal": 424,
    "pidfd_getfd": 438, "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "unshare": 97, "setns": 268,
    "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "bpf": 280, "perf_event_open": 241,
    "userfaultfd": 282, "keyctl": 219, "add_key": 217, "request_key": 218, "io_uring_setup": 425,
    "io_uring_enter": 426, "io_uring_register": 427, "init_module": 105, "finit_module": 273, "kexec_load": 104,
    "reboot": 142,
    # Denied, as everything that is not listed.
    "execve": 221, "execveat": 281, "openat": 56, "openat2": 437, "tkill": 130, "tgkill": 131, "prctl": 167,
    "memfd_create": 279, "dup": 23, "ioctl": 29, "readv": 65, "writev": 66, "pread64": 67,
    "pwrite64": 68, "sendfile": 71, "splice": 76, "seccomp": 277, "prlimit64": 261, "pkey_mprotect": 288,
    "shmget": 194, "setuid": 146, "unlinkat": 35, "mkdirat": 34, "landlock_create_ruleset": 444,
}  # fmt: skip
"""Numbers on arm64, after `include/uapi/asm-generic/unistd.h`."""

TABLE = [
    *((name, (), ALLOW) for name in ("futex", "brk", "munmap", "close", "exit_group", "getrandom", "clock_gettime")),
    ("read", (PIPE_IN, 0, 9), ALLOW), ("read", (PIPE_OUT, 0, 9), DENY), ("read", (ANOTHER, 0, 9), DENY),
    ("write", (PIPE_OUT, 0, 9), ALLOW), ("write", (PIPE_IN, 0, 9), DENY), ("write", (2, 0, 9), DENY),
    ("mmap", (0, 4096, WRITABLE), ALLOW), ("mmap", (0, 4096, WRITABLE | EXECUTABLE), DENY),
    ("mmap", (0, 4096, EXECUTABLE), DENY), ("mprotect", (0, 4096, EXECUTABLE), DENY),
    ("mprotect", (0, 4096, EXECUTABLE | 1 << 40), DENY), ("mprotect", (0, 4096, 1), ALLOW),
    *((name, (1, 2, 3), KILL) for name in ("socket", "connect", "clone", "clone3", "kill", "ptrace", "bpf", "mount")),
    *((name, (PROBE,), DENY) for name in ("socket", "clone", "ptrace", "io_uring_setup", "process_vm_readv")),
    *((name, (), DENY) for name in ("execve", "execveat", "openat", "openat2", "prctl", "memfd_create", "ioctl",
      "readv", "pread64", "sendfile", "splice", "seccomp", "prlimit64", "pkey_mprotect", "tgkill", "unlinkat", "dup")),
]  # fmt: skip
"""System call, its first arguments, and what the filter must say."""


@pytest.mark.parametrize(("name", "arguments", "verdict"), TABLE)
def test_verdicts(name: str, arguments: tuple[int, ...], verdict: int) -> None:
    assert judge("aarch64", CALLS[name], *arguments) == verdict
    assert judge("aarch64", CALLS[name], *arguments, architecture=X86) == KILL


def test_the_tables_of_the_filter_have_the_numbers_of_arm64() -> None:
    tables = {**kernel.ALLOWED, **kernel.NOT_EXECUTABLE, **kernel.HOSTILE, **kernel.PROBED}
    numbers = {name: arm for name, (_, arm) in tables.items() if arm is not None}
    numbers |= {"read": kernel.READ[1], "write": kernel.WRITE[1]}
    assert numbers == {name: CALLS[name] for name in numbers}


@pytest.mark.parametrize(
    ("header", "column"),
    [("asm-generic/unistd.h", 1), ("x86_64-linux-gnu/asm/unistd_64.h", 0)],
)
def test_the_numbers_are_those_of_the_kernel(header: str, column: int) -> None:
    """Where the headers of the kernel are installed."""
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip(f"there is no {path}")
    pattern = r"#define __NR(?:3264)?_(\w+)\s+(\d+)$"
    known = {name: int(number) for name, number in re.findall(pattern, path.read_text(), re.M)}
    tables = {**kernel.ALLOWED, **kernel.NOT_EXECUTABLE, **kernel.HOSTILE, **kernel.PROBED}
    ours = {name: numbers[column] for name, numbers in tables.items() if numbers[column] is not None}
    if column:
        ours |= {name: number for name, number in CALLS.items() if name in known}
    assert {name: known[name] for name in ours if name in known} == {
        n: v for n, v in ours.items() if n in known
    }
    assert len(ours.keys() & known.keys()) > 60


def test_the_program_can_be_loaded() -> None:
    """Rules of the kernel for a filter: short enough, jumps that stay within it, an end that returns."""
    code = kernel.seccomp_program("aarch64", readable=0, writable=1)
    assert 0 < len(code) <= 4096
    for at, (operation, then, otherwise, constant) in enumerate(code):
        struct.pack("=HBBI", operation, then, otherwise, constant)
        assert at + 1 + max(then, otherwise) < len(code) or operation == 0x06
        if operation == 0x20:
            assert constant % 4 == 0 and constant < 64
    assert code[-1][0] == 0x06 and code[1][3] == ARM

"""System calls by number, through ctypes."""

from __future__ import annotations

import ctypes

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *arguments: int) -> tuple[int, int]:
    """The result and ``errno`` of a system call."""
    ctypes.set_errno(0)
    result = int(_libc.syscall(ctypes.c_long(number), *(ctypes.c_long(argument) for argument in arguments)))
    return result, ctypes.get_errno()


def prctl(option: int, *arguments: int) -> bool:
    """Whether ``prctl`` succeeded."""
    padded = [*arguments, 0, 0, 0, 0][:4]
    return bool(_libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)) == 0)

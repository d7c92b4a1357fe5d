"""Landlock: the process gives up the file system, TCP, and signals and sockets out of its domain.

The second lock next to seccomp. Numbers are those of ``linux/landlock.h``; they are the same on every
machine.
"""

from __future__ import annotations

import ctypes
import os
import sys

_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_VERSION_FLAG = 1
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights each ABI knows: bits from 0
_NETWORK_FROM, _SCOPES_FROM = 4, 6
_TWO_BITS = 0b11  # bind and connect; abstract sockets and signals


class _Attributes(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def apply() -> int:
    """Denies everything that the kernel's Landlock can; its ABI version, or 0 where there is none."""
    if sys.platform != "linux":
        return 0
    from .libc import syscall

    abi, _ = syscall(_CREATE_RULESET, 0, 0, _VERSION_FLAG)
    if abi < 1:
        return 0
    attributes = _Attributes((1 << _FILE_RIGHTS.get(abi, 16)) - 1, 0, 0)
    size = 8
    if abi >= _NETWORK_FROM:
        attributes.network, size = _TWO_BITS, 16
    if abi >= _SCOPES_FROM:
        attributes.scoped, size = _TWO_BITS, 24
    ruleset, _ = syscall(_CREATE_RULESET, ctypes.addressof(attributes), size, 0)
    if ruleset < 0:
        return 0
    result, _ = syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return abi if result == 0 else 0

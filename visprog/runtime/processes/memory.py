"""Pixels in memory that two processes can map, so that an image crosses without a copy."""

from __future__ import annotations

import contextlib
import mmap
import os
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

CAN_SHARE = hasattr(os, "memfd_create")
"""Whether the operating system has memory that can be sealed: Linux has. Elsewhere pixels are copied."""

if CAN_SHARE:
    import fcntl

    _SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
else:
    _SEALS = 0


class _Mapping(mmap.mmap):
    """A read-only mapping that knows its file descriptor."""

    descriptor: int


def sealed(pixels: NDArray[np.uint8]) -> int:
    """A file descriptor of memory that holds the bytes of an array, which nobody can change any more.

    Raises:
        OSError: There is no memory, or no descriptor, left.
    """
    descriptor = os.memfd_create("visprog", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(np.ascontiguousarray(pixels).reshape(-1).data)
        while view:
            view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def mapped(descriptor: int, size: int) -> NDArray[np.uint8]:
    """The bytes of sealed memory as a read-only array, which keeps the descriptor for as long as it lives.

    Raises:
        ValueError: The memory is not sealed, or not of this size: its owner could take it away or change it.
        OSError: It is no such memory.
    """
    try:
        if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
            raise ValueError("shared memory that is not sealed")
        if os.fstat(descriptor).st_size != size:
            raise ValueError("shared memory of another size")
        mapping = _Mapping(descriptor, size, prot=mmap.PROT_READ)
    except BaseException:
        os.close(descriptor)
        raise
    mapping.descriptor = descriptor
    weakref.finalize(mapping, _close, descriptor)
    return np.frombuffer(mapping, np.uint8)


def descriptor_of(pixels: NDArray[Any]) -> int | None:
    """The descriptor of the memory that an array fills wholly; None if it lies elsewhere, or fills a part only."""
    base: Any = pixels
    while isinstance(base, np.ndarray):
        base = base.base
    mapping = base.obj if isinstance(base, memoryview) else base
    if not isinstance(mapping, _Mapping) or not pixels.flags.c_contiguous or pixels.nbytes != len(mapping):
        return None
    return mapping.descriptor


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)

"""Files and folders that one process at a time writes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import VisprogError


def claim(descriptor: int, path: Path) -> None:
    """Keep other processes off a file while it is open.

    Raises:
        VisprogError: Another process has it; the message names `path`.
    """
    if not _lock(descriptor, wait=False):
        raise VisprogError(f"another process is writing to {path}: wait for it, or name another file")


@contextmanager
def claimed(folder: Path, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """A folder, which is made if it is missing, for this process alone.

    Args:
        folder: Its file `.lock` is what processes wait at.
        waiting: Called if another process has the folder, before waiting for it; without it that is an error.

    Raises:
        VisprogError: Another process has it, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "ab")  # noqa: SIM115  # closed below
    except OSError as error:
        raise VisprogError(f"cannot write to {folder}: {error.strerror or error}") from None
    with file:
        if not _lock(file.fileno(), wait=False):
            if waiting is None:
                raise VisprogError(
                    f"another process is writing to {folder}: wait for it, or name another folder"
                )
            waiting()
            _lock(file.fileno(), wait=True)
        yield


def _lock(descriptor: int, *, wait: bool) -> bool:
    """Lock an open file until it is closed; False if another process has it."""
    try:
        import fcntl
    except ImportError:  # Windows, where programs run inside WSL anyway
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True

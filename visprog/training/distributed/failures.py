"""How a run of several processes ends: all of them at once, with one message, and with nothing left open."""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from accelerate import PartialState

from ..checkpoint import TrainingError

_LOST = ("closed by peer", "reset by peer", "Broken pipe", "Connection refused", "remote process exited")
"""Parts of the messages of back ends if a process is gone."""


class ProcessFailed(TrainingError):
    """Another process of the run failed, with its message."""


@contextmanager
def ending_together() -> Iterator[None]:
    """Join the processes of the run. Within, the error of the first that fails is the error of all.

    Raises:
        ProcessFailed: in the others, with the message of the first.
        TrainingError: a process was killed.
    """
    state = PartialState(cpu=not torch.accelerator.is_available())
    if state.num_processes == 1:
        yield
        return
    atexit.unregister(_leave)
    atexit.register(_leave)
    try:
        with warnings.catch_warnings():
            if not state.is_main_process:
                warnings.simplefilter("ignore")
            yield
    except Exception as error:
        _ignore_termination()
        if dist.get_backend() != "gloo":  # would wait for what the others have not sent
            atexit.unregister(_leave)
        own = f"process {state.process_index + 1} of {state.num_processes} failed: {error}"
        lost = isinstance(error, RuntimeError) and any(sign in str(error) for sign in _LOST)
        if lost:
            own = (
                "a process of the run was killed, perhaps because the memory was full; the same command resumes "
                "it from the last checkpoint"
            )
        first = _first(own)
        if first != own:
            raise ProcessFailed(first) from None
        if lost:
            raise TrainingError(own) from error
        raise


def _ignore_termination() -> None:
    """Let this process end by itself, with its message: torchrun sends SIGTERM to all as soon as one has ended."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _first(message: str) -> str:
    """The message of the process that failed first: this one, if none has before."""
    try:
        store = dist.distributed_c10d._get_default_store()
        found: bytes = store.compare_set("visprog/failed", "", message)
        return found.decode("utf-8", "replace")
    except (RuntimeError, ValueError):  # the process that kept the store is gone
        return message


def leave(code: int) -> None:
    """End a process of a run of several at once, with all output written; a process that is alone continues.

    The threads of a process group may still stand when the interpreter takes itself apart, which then ends with an
    abort instead of the exit code.
    """
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _leave() -> None:
    """As `leave`, for a caller of Python that does not."""
    if dist.is_initialized():
        dist.destroy_process_group()

"""The start of a worker process. Nothing heavy is imported here: a command starts one before it imports the rest."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from ...errors import ToolError

_BOOT = """
import gc, json, sys
gc.disable()  # what is imported stays
descriptor, sys.path[:], only, confined = json.loads(sys.argv.pop())
from visprog.sandbox import confine_tools
if only:
    from importlib import import_module
    import_module(only).get_ready()
how = confine_tools(**confined) if confined else {}
from visprog.runtime.processes.worker import main
main(descriptor, how)
"""
_SECRET = re.compile("KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True)
class Confinement:
    """How far a process is confined: it starts no programs, and changes files in a temporary folder of its own alone.

    Attributes:
        network: Whether it may open connections until it has answered its first batch, to load what it needs.
        writable: Further folders in which it may change files.
        only: Name of the one module that it works with. That is imported and gets ready, by its function `get_ready`;
            from then on no file can be opened.
        device: Path of a device that such a process can open all the same; empty for none.
    """

    network: bool = False
    writable: tuple[str, ...] = ()
    only: str = ""
    device: str = ""


DECODER = Confinement(only=f"{__package__}.decoder")
"""Confinement of processes that decode images."""
NATIVE = Confinement()
"""Confinement of processes of plain functions."""


@dataclass(frozen=True)
class Launched:
    """A process that was started, and may not be ready yet.

    Attributes:
        process: The process, which leads a session of its own.
        folder: Its temporary folder.
        socket: This end of the channel to it.
    """

    process: subprocess.Popen[bytes]
    folder: str
    socket: socket.socket

    def kill(self) -> int:
        """End it, with what it has started, and remove its folder; how it ended, as `subprocess` has it."""
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        code = self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


def launch(confinement: Confinement | None) -> Launched:
    """Start a process.

    Args:
        confinement: How far it is confined; None for what does as it likes.

    Raises:
        ToolError: It cannot be started.
    """
    early = _early.pop(confinement, None)
    if early is not None:
        return early
    try:
        ours, theirs = socket.socketpair()
    except OSError as error:
        raise ToolError(f"a process for tools cannot be started: {error}") from None
    try:
        folder = tempfile.mkdtemp(prefix="visprog-")
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _BOOT,
                json.dumps([theirs.fileno(), sys.path, *_rules(confinement, folder)]),
            ],
            stdin=subprocess.DEVNULL,
            env=_environment(confinement, folder),
            pass_fds=(theirs.fileno(),),
            start_new_session=True,  # Ctrl-C is for the host; and what it starts ends with it
        )
    except OSError as error:
        ours.close()
        raise ToolError(f"a process for tools cannot be started: {error}") from None
    finally:
        theirs.close()
    return Launched(process, folder, ours)


def launch_early(confinement: Confinement) -> None:
    """Start a process that the next `launch` with this confinement gives. One that cannot be started is tried then."""
    with contextlib.suppress(ToolError):
        _early[confinement] = launch(confinement)


_early: dict[Confinement | None, Launched] = {}


@atexit.register
def _end_early() -> None:
    while _early:
        _, launched = _early.popitem()
        launched.socket.close()
        launched.kill()


def _rules(confinement: Confinement | None, folder: str) -> tuple[str, dict[str, Any]]:
    if confinement is None:
        return "", {}
    if confinement.only:
        devices = [confinement.device] if confinement.device else []
        return confinement.only, {"readable": [], "writable": devices}
    writable = [folder, "/dev", *confinement.writable]
    return "", {"writable": writable, "network": confinement.network}


def _environment(confinement: Confinement | None, folder: str) -> dict[str, str]:
    """The variables of a process. One that opens no connections has no use for keys."""
    found = {**os.environ, "TMPDIR": folder}
    if confinement is not None and confinement.only:  # threads before it is confined would not be
        found |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if confinement == NATIVE:  # its matrices are small: threads would do nothing but wait for each other
        found.setdefault("OPENBLAS_NUM_THREADS", "1")
    if confinement is None:
        return found
    return {key: value for key, value in found.items() if confinement.network or not _SECRET.search(key)}

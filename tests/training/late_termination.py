"""A run that fails in both of its processes, which then get the SIGTERM of a launcher: see `test_processes.py`."""

from __future__ import annotations

import os
import signal
import sys

from visprog.training.distributed.failures import ending_together, leave

try:
    with ending_together():
        raise ValueError("no data")
except Exception as error:  # its own, or that of the process that failed first
    os.kill(os.getpid(), signal.SIGTERM)
    print(f"said: {error}", file=sys.stderr)
    leave(3)

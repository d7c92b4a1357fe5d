"""When something ends, on a machine that may be busy with something else."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEP = 0.02
MARGIN = 1.0
"""Seconds beyond a limit in which a run must have ended."""


@contextmanager
def ends_within(limit: float) -> Iterator[None]:
    """Check that what is done inside takes at most `limit` + 1 seconds of a machine that is there for it.

    A thread that sleeps in short steps measures for how long the machine let this process wait; other processes of the
    same run, which it starves too, are given that time as well.
    """
    over, withheld = threading.Event(), [0.0]

    def watch() -> None:
        while not over.is_set():
            start = time.monotonic()
            time.sleep(STEP)
            withheld[0] += max(0.0, time.monotonic() - start - 2 * STEP)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    start = time.monotonic()
    try:
        yield
    finally:
        took = time.monotonic() - start
        over.set()
        watcher.join()
    allowed = limit + MARGIN + 3 * withheld[0]
    assert took <= allowed, f"it took {took:.2f} s, and {allowed:.2f} s are allowed"

"""Progress of long work as one line on standard error, in terminals and notebooks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

DELAY = 1.0
"""Seconds before the line appears: short work shows nothing."""

INTERVAL = 0.1
"""Seconds between two states of the line, at least."""


class ProgressLine:
    """A line that is there while one waits, and gone whenever the program goes on, which may print."""

    def __init__(self) -> None:
        self._next = time.monotonic() + DELAY
        self._width = 0

    def show(self, text: Callable[[], str]) -> None:
        """Show a text, which is made only if it is time for it."""
        now = time.monotonic()
        if now < self._next or not is_watched():
            return
        self._next = now + INTERVAL
        line = text()
        self._write(f"\r{line}")
        self._width = len(line)

    def clear(self) -> None:
        """Remove the line."""
        if self._width:
            self._write(f"\r{' ' * self._width}\r")
            self._width = 0

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def is_watched() -> bool:
    """Whether standard error is a terminal or the output of a notebook's cell."""
    stream = sys.stderr
    if stream is None:  # a program without a console
        return False
    return type(stream).__module__.startswith("ipykernel") or stream.isatty()

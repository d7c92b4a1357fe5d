"""What goes on while a command works, on standard error if that is a terminal. Rich is imported only for a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ..files.plain_text import plain

if TYPE_CHECKING:
    from rich.text import Text


class Status:
    """What goes on at the moment, and for how long: `detect (2.1 s)…`."""

    def __init__(self, text: str) -> None:
        self.show(text)

    def show(self, text: str) -> None:
        """Replace the text; its time begins."""
        self._text, self._since = plain(text), time.monotonic()

    def __rich__(self) -> Text:
        from rich.text import Text

        seconds = time.monotonic() - self._since
        return Text(f"{self._text} ({seconds:.1f} s)…" if seconds >= 1 else f"{self._text}…")


@contextmanager
def working(what: str) -> Iterator[Status]:
    """A spinner with a status while something takes its time."""
    status = Status(what)
    if not sys.stderr.isatty():
        yield status
        return
    from rich.console import Console

    with Console(stderr=True).status(status):
        yield status


def say(message: str) -> None:
    """Print a line on standard error."""
    line = plain(f"visprog: {message}")
    if not sys.stderr.isatty():
        print(line, file=sys.stderr)
        return
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True, highlight=False, soft_wrap=True).print(Text(line, style="bold red"))

"""One program on many inputs: a worker that came to a good end of it takes the next input."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from .process import Standby

if TYPE_CHECKING:
    from .execution import Inputs, Tools, Types
    from .outcome import Outcome


class Series:
    """Run of one program, which cost a fraction of what each would in a process of its own.

    Each has its own namespace, limits and table of handles. A worker serves again only after the program has
    given it a result, and after a while it is replaced; no other program ever runs in it. So what a program could
    leave behind, should it break out of its namespace, would meet nothing but the program itself.

    Safe to use from many threads at once. Close it, or use it as a context manager, to end its workers; they also
    end with their sandbox.
    """

    def __init__(
        self, run: Callable[[Tools | None, Inputs | None, Types, object], Outcome], standby: Standby
    ) -> None:
        self._run, self._key = run, object()
        standby.open(self._key)
        self._finalizer = weakref.finalize(self, standby.end, self._key)

    def run(self, *, tools: Tools | None = None, inputs: Inputs | None = None, types: Types = ()) -> Outcome:
        """Run the program once. Arguments, result and errors are those of `Sandbox.run`."""
        return self._run(tools, inputs, types, self._key)

    def close(self) -> None:
        """End the workers that wait. Further runs have processes of their own."""
        self._finalizer()

    def __enter__(self) -> Series:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

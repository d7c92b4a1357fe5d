"""Instances of backends: built once per class and options, and held in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

Options: TypeAlias = tuple[tuple[str, Any], ...]
"""Keyword arguments of a backend's constructor, sorted by name."""


class Backend(Protocol):
    """What does the work of a model-backed tool: a class built once from configuration, called with batches.

    `__init__(self, model: str | None = None, **options)` must be quick; weights are loaded at the first call.
    One that cannot see everything says so in its attribute `sees`, a `visprog.registry.sees.Sees`.
    """

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Results, in order, for a batch of calls (arguments by name). A call that fails alone returns its
        exception in its place."""
        ...


class BackendLoader:
    """Builds backends and holds them. The host of the tools has one; a server has one of its own kind."""

    def __init__(self) -> None:
        self._held: dict[tuple[Callable[..., Backend], Options], Backend] = {}
        self._lock = threading.RLock()

    def get(self, make: Callable[..., Backend], options: Options = (), name: str = "") -> Backend:
        """The backend of a class with these options.

        Args:
            make: the class, or a function that returns a backend.
            name: for people, such as "detect:onnx".

        Raises:
            TypeError: it takes no such options.
        """
        with self._lock:
            if (make, options) not in self._held:
                self._held[make, options] = self.hold(name, make, options)
            return self._held[make, options]

    def hold(self, name: str, make: Callable[..., Backend], options: Options) -> Backend:
        """What is held for a class and options, and called with batches: here the backend itself."""
        return make(**dict(options))


BACKENDS = BackendLoader()
"""The backends of this process, for tools that are called directly and for hosts that are given no other loader."""

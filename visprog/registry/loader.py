"""Instances of backends: built once per class and options, and held in one place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from ..errors import contained
from .function import as_form, finished

Options: TypeAlias = tuple[tuple[str, Any], ...]
"""Keyword arguments of a backend's constructor, sorted by name."""


class Backend(Protocol):
    """What does the work of a model-backed tool: a class built once from configuration, called with batches.

    `__init__(self, model: str | None = None, **options)` must be quick; weights are loaded at the first call.
    One that cannot see everything says so in its attribute `sees`, a `visprog.registry.sees.Sees`. Optional too:
    `fetch()`, which downloads its weights before its first call;
    `process`, the name of the process that it works in ("host" for that of the host); `confined`, whether that needs no
    more than its weights, so that it can be confined; `at_once`, the number of batches
    that it can work on at the same time; `load()`, which loads what the first call needs, in a thread while calls may
    come; `interrupt(thread)`, which ends the batch that a thread waits for.
    """

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        """Results, in order, for a batch of calls (arguments by name). A call that fails alone returns its
        exception in its place."""
        ...


class PlainTool(Protocol):
    """What is needed of a tool to call its function."""

    @property
    def function(self) -> Callable[..., Any]: ...

    @property
    def parameters(self) -> Sequence[Any]: ...

    @property
    def alone(self) -> bool: ...


class PlainFunction:
    """A plain function as a backend: one call after another, an exception in the place of its result."""

    AT_ONCE = 64

    def __init__(self, tool: PlainTool) -> None:
        self.tool = tool
        self.at_once = 1 if tool.alone else self.AT_ONCE

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        forms = {p.name: p.form for p in self.tool.parameters}
        results: list[Any] = []
        for arguments in calls:
            given = {name: as_form(value, forms[name]) for name, value in arguments.items()}
            try:
                results.append(finished(self.tool.function(**given)))
            except BaseException as error:  # handed to the one caller that it concerns
                results.append(contained(error))
        return results


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

    def start(self) -> None:
        """Start in the background what most questions need: here nothing."""

    def hold(self, name: str, make: Callable[..., Backend], options: Options) -> Backend:
        """What is held for a class and options, and called with batches: here the backend itself."""
        return make(**dict(options))

    def plain(self, tool: PlainTool) -> Backend:
        """What does the work of a tool that is a plain function."""
        return PlainFunction(tool)


BACKENDS = BackendLoader()
"""The backends of this process, for tools that are called directly and for hosts that are given no other loader."""

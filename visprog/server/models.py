"""Models in memory: loaded when they are first needed, within a budget, the least recently used leave first."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from visprog.errors import ToolError
from visprog.models.checkpoint.cache import cached, is_hub_id
from visprog.registry import Backend, BackendLoader
from visprog.registry.loader import Options, PlainTool
from visprog.registry.sees import NOT_SAID

WEIGHTS = ("*.safetensors", "*.onnx")


@dataclass(eq=False)
class Weights:
    """One set of weights, and the backends that share it.

    Attributes:
        name: for people.
        size: in bytes; 0 where it is not known yet.
        users: calls that are using it now.
        used: when it was last used, as a running number.
        loaded: it may lie in memory.
    """

    name: str
    size: int
    users: int = 0
    used: int = 0
    loaded: bool = False
    backends: list[Managed] = field(default_factory=list)


class Models(BackendLoader):
    """Loads backends and keeps their weights within a budget.

    Backends load at their first call, which is made in the thread of the caller: others go on meanwhile. To make
    room, the weights that were not used for longest leave, never those in use; where only such are left, the
    call waits. A backend leaves by being forgotten, and by its `unload()` where it has one.

    A backend says how large it is by an attribute `footprint`, in bytes; otherwise the files of its weights are
    measured, which its attribute `folder` or `model` names (a file, a folder or an id on the hub).

    Args:
        budget: in bytes; 0 for none.
        loader: what builds the backends, such as in processes of their own; by default they work in this one.
    """

    def __init__(self, budget: int = 0, loader: BackendLoader | None = None) -> None:
        super().__init__()
        self.budget = budget
        self.loader = loader or BackendLoader()
        self._weights: dict[object, Weights] = {}
        self._changed = threading.Condition()
        self._clock = itertools.count(1)

    def hold(self, name: str, make: Callable[..., Backend], options: Options) -> Backend:
        """A backend that is built again if it had to leave memory."""

        def build() -> Backend:
            return self.loader.hold(name, make, options)

        built = build()
        key = weights_of(built) or weights_name(built) or (make, options)
        with self._changed:
            weights = self._weights.setdefault(key, Weights(name, footprint(built)))
            managed = Managed(self, weights, build, built)
            weights.backends.append(managed)
        return managed

    def plain(self, tool: PlainTool) -> Backend:
        """What does the work of a plain function, which has no weights."""
        return self.loader.plain(tool)

    @contextmanager
    def using(self, weights: Weights) -> Iterator[None]:
        """Room for the weights, which then stay until the end.

        Raises:
            ToolError: they alone are larger than the budget.
        """
        with self._changed:
            if not weights.loaded:
                self._make_room(weights)
                weights.loaded = True
            weights.users += 1
        try:
            yield
        finally:
            with self._changed:
                weights.users -= 1
                weights.used = next(self._clock)
                self._changed.notify_all()

    def measure(self, weights: Weights, backend: Backend) -> None:
        """Note the size of weights that was not known before they were loaded."""
        with self._changed:
            weights.size = weights.size or footprint(backend)

    def loaded(self) -> Mapping[str, int]:
        """Name and bytes of the weights in memory."""
        with self._changed:
            return {w.name: w.size for w in self._weights.values() if w.loaded and w.size}

    def _make_room(self, wanted: Weights) -> None:
        if not self.budget:
            return
        if wanted.size > self.budget:
            raise ToolError(
                f"{wanted.name} takes {wanted.size >> 20} MiB, more than the budget of "
                f"{self.budget >> 20} MiB for models: raise it, or choose a smaller model"
            )
        while not wanted.loaded and self._total() + wanted.size > self.budget:
            idle = [w for w in self._weights.values() if w.loaded and w.size and not w.users]
            if idle:
                self._unload(min(idle, key=lambda w: w.used))
            else:
                self._changed.wait()

    def _total(self) -> int:
        return sum(w.size for w in self._weights.values() if w.loaded)

    def _unload(self, weights: Weights) -> None:
        for managed in weights.backends:
            managed.forget()
        weights.loaded = False
        gc.collect()
        torch: Any = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


class Managed:
    """A backend that is built again where it was forgotten."""

    def __init__(
        self, models: Models, weights: Weights, build: Callable[[], Backend], backend: Backend
    ) -> None:
        self.models = models
        self.weights = weights
        self.build = build
        self.sees = getattr(backend, "sees", NOT_SAID)
        self.at_once = getattr(backend, "at_once", 1)
        self._works_in = getattr(backend, "works_in", "")
        self._backend: Backend | None = backend
        self._building = threading.Lock()

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        with self.models.using(self.weights):
            with self._building:
                backend = self._backend = self._backend or self.build()
            results = backend(calls)
            self.models.measure(self.weights, backend)
            return results

    @property
    def works_in(self) -> str:
        """The name of the process that it works in; empty if that is this one."""
        return str(getattr(self._backend, "works_in", self._works_in))

    def interrupt(self, thread: int) -> None:
        """End the batch that a thread waits for, where the backend can."""
        interrupt = getattr(self._backend, "interrupt", None)
        if interrupt is not None:
            interrupt(thread)

    def forget(self) -> None:
        """Let go of the backend, and of what it holds elsewhere."""
        unload = getattr(self._backend, "unload", None)
        if unload is not None:
            unload()
        self._backend = None


def footprint(backend: Backend) -> int:
    """Bytes that a backend takes: what it says, else the size of its weights; 0 where that is not known."""
    declared = getattr(backend, "footprint", None)
    if isinstance(declared, int):
        return declared
    path = weights_of(backend)
    if path is None:
        return 0
    files = [path] if path.is_file() else [f for kind in WEIGHTS for f in path.rglob(kind)]
    return sum(f.stat().st_size for f in files)


def weights_of(backend: Backend) -> Path | None:
    """The file or folder that a backend's weights lie in; None where it has none, or they are not here yet."""
    name = weights_name(backend)
    path = Path(name).expanduser()
    return path.resolve() if name and path.exists() else cached(name) if is_hub_id(name) else None


def weights_name(backend: Backend) -> str:
    """The file, folder or id on the hub that a backend names as its weights; empty where it names none."""
    return str(getattr(backend, "folder", None) or getattr(backend, "model", None) or "")

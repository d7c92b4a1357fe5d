"""Tools whose backends are run by something else than a plain call: a model manager, or Ray."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from visprog.registry import Backend, Registry, Tool

Options = tuple[tuple[str, Any], ...]


class Engine(Protocol):
    """Gives the backends of tools."""

    def backend(self, name: str, path: str, options: Options) -> Backend:
        """What to call instead of the backend `path` ("module:Class") built with `options`; `name` is for
        people ("detect:onnx")."""
        ...


@dataclass(frozen=True, eq=False)
class EngineTool(Tool):
    """A model-backed tool that gets its backends from an engine."""

    engine: Engine = field(kw_only=True)

    def load(self, backend: str = "", options: Options = ()) -> Backend:
        name = backend or self.default_backend
        path = self.backends.get(name, name)
        if not isinstance(path, str) or ":" not in path:
            return super().load(backend, options)  # a class, or a name that it refuses
        return self.engine.backend(f"{self.name}:{name}", path, options)


def run_by(engine: Engine, registry: Registry) -> Registry:
    """The same tools; those with backends are run by the engine."""
    return Registry(_with(engine, tool) if tool.backends else tool for tool in registry.values())


def build(path: str, options: Options) -> Backend:
    """A new backend. Raises `TypeError` where it does not take such options."""
    module, _, name = path.partition(":")
    make: Callable[..., Backend] = getattr(importlib.import_module(module), name)
    return make(**dict(options))


def _with(engine: Engine, tool: Tool) -> Tool:
    return EngineTool(**{f.name: getattr(tool, f.name) for f in fields(Tool)}, engine=engine)

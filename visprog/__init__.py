"""Ask a question about an image: a planner writes a program, vision tools run it, the answer shows its evidence."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import Agent, ask
    from .answer import Answer
    from .config import Config
    from .errors import VisprogError
    from .registry import Registry, Tool, tool
    from .values import Box, Circle, Grid, Image, Line, Located, Mask, Point, Polygon, Region

__version__ = "0.1.0"

_HOME = {
    "Agent": "agent",
    "Answer": "answer",
    "Box": "values",
    "Circle": "values",
    "Config": "config",
    "Grid": "values",
    "Image": "values",
    "Line": "values",
    "Located": "values",
    "Mask": "values",
    "Point": "values",
    "Polygon": "values",
    "Region": "values",
    "Registry": "registry",
    "Tool": "registry",
    "VisprogError": "errors",
    "ask": "agent",
    "tool": "registry",
}

__all__ = [*_HOME, "__version__"]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    # Loaded when first used: `import visprog` stays cheap, also in the sandbox worker.
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

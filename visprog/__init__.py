"""Ask a question about an image: a planner writes a program, vision tools run it, the answer shows how."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .agent import Agent as Agent
    from .agent import ask as ask
    from .answer import Answer as Answer
    from .config import Config as Config
    from .errors import VisprogError as VisprogError
    from .registry import Registry as Registry
    from .registry import Tool as Tool
    from .registry import tool as tool
    from .values import Box as Box
    from .values import Circle as Circle
    from .values import Grid as Grid
    from .values import Image as Image
    from .values import Line as Line
    from .values import Located as Located
    from .values import Mask as Mask
    from .values import Point as Point
    from .values import Polygon as Polygon
    from .values import Region as Region

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

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    # Loaded when first used: `import visprog` stays cheap, also in the sandbox worker.
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

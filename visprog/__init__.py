"""Ask a question about an image: a planner writes a program, vision tools run it, and the answer shows every step."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import check as check
    from .agent import Agent as Agent
    from .agent import ask as ask
    from .answer import Answer as Answer
    from .config import Config as Config
    from .errors import Refused as Refused
    from .errors import ToolError as ToolError
    from .errors import VisprogError as VisprogError
    from .planner import Plan as Plan
    from .planner import Planner as Planner
    from .registry import Backend as Backend
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
    "AgentChat": "chat",
    "Answer": "answer",
    "Backend": "registry",
    "Box": "values",
    "Circle": "values",
    "Config": "config",
    "Grid": "values",
    "Image": "values",
    "Line": "values",
    "Located": "values",
    "Mask": "values",
    "Plan": "planner",
    "Planner": "planner",
    "Point": "values",
    "Polygon": "values",
    "Refused": "errors",
    "Region": "values",
    "Registry": "registry",
    "Tool": "registry",
    "ToolError": "errors",
    "VisprogError": "errors",
    "ask": "agent",
    "check": "",
    "tool": "registry",
}
"""Public name → the module that defines it; empty for a subpackage."""

__all__ = [*_HOME, "__version__"]


def __getattr__(name: str) -> Any:
    # Imported at first use: `import visprog` stays fast, also in the sandbox worker.
    if name in _HOME:
        module = importlib.import_module(f"{__name__}.{_HOME[name] or name}")
        return getattr(module, name) if _HOME[name] else module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)

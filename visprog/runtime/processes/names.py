"""Names by which another process finds a tool or the class of a backend: those of what can be imported."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

from ...registry import Tool
from ...registry.function import innermost
from ...registry.loader import PlainTool


def name_of(found: PlainTool | Callable[..., Any]) -> str:
    """ "module:qualified name" of a tool, class or function; empty if another process could not import it.

    What is defined in a notebook, in the script that runs, or inside a function, has no name, and neither has what
    its module has under that name no more.
    """
    function: Any = getattr(found, "function", found)
    inner = innermost(function)
    module, qualname = getattr(inner, "__module__", None), getattr(inner, "__qualname__", "")
    loaded = sys.modules.get(module or "")
    if loaded is None or module == "__main__" or not getattr(loaded, "__file__", None):
        return ""
    there = _attribute(loaded, qualname)
    same = there is function or (isinstance(there, Tool) and there.function is function)
    return f"{module}:{qualname}" if same else ""


def find(name: str) -> Any:
    """What a name stands for, imported.

    Raises:
        ImportError: It cannot be imported.
    """
    module, _, qualname = name.partition(":")
    found = _attribute(importlib.import_module(module), qualname)
    if found is None:
        raise ImportError(f"{module} has no {qualname}")
    return found


def find_loaded(name: str) -> Tool | None:
    """The tool that a name stands for, if its module is imported already; nothing is imported for it."""
    module, _, qualname = name.partition(":")
    found = _attribute(sys.modules.get(module), qualname)
    return found if isinstance(found, Tool) else None


def _attribute(found: Any, qualname: str) -> Any:
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found

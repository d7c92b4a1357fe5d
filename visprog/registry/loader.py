"""Finding tools: the built-in ones, those of installed packages, and those that the settings name."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ToolDefinitionError, VisprogError
from .declaration import Tool, describe_function
from .registry import Registry

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ..config import Config

ENTRY_POINTS = "visprog.tools"
"""Entry points through which an installed package adds tools: each is a Tool, or a module of them."""

BUILTIN_MODULES = (
    "visprog.tools.detect",
    "visprog.tools.faces",
    "visprog.tools.segment",
    "visprog.tools.classify",
    "visprog.tools.cupl",
    "visprog.tools.caption",
    "visprog.tools.vqa",
    "visprog.tools.text",
    "visprog.tools.crop",
    "visprog.tools.color",
    "visprog.tools.shapes",
    "visprog.tools.edit",
)
"""Listed by name: the core imports none of them before they are needed, and a bare checkout works."""


def load_tools(reference: str) -> list[Tool]:
    """Tools named by "module" (all in it) or "module:attribute" (a Tool, or a list or Registry of them).

    Raises:
        ToolDefinitionError: the module or attribute cannot be found, or holds no tool.
    """
    module_name, _, attribute = reference.partition(":")
    if module_name.endswith(".py"):
        name = PurePath(module_name).stem
        raise ToolDefinitionError(
            f"tools are named by their module, '{name}', not by its file: run where it lies, or install it"
        )
    try:
        module = importlib.import_module(module_name)
    except (VisprogError, KeyboardInterrupt):
        raise
    except BaseException as error:  # another's module may fail in any way
        what = str(error) if isinstance(error, ImportError) else f"{type(error).__name__}: {error}"
        raise ToolDefinitionError(f"cannot import tools from '{module_name}': {what}") from None
    found: Any = vars(module) if not attribute else getattr(module, attribute, None)
    if isinstance(found, Tool):
        return [found]
    candidates = found.values() if isinstance(found, Mapping) else found
    tools = [t for t in candidates if isinstance(t, Tool)] if isinstance(candidates, Iterable) else []
    if attribute == "":
        tools = [t for t in tools if getattr(t, "__module__", "") == module_name]
    if not tools:
        raise ToolDefinitionError(f"'{reference}' holds no tool: decorate a function there with @tool")
    return tools


def further_tools(given: Any) -> list[Tool]:
    """The tools that somebody gives: one, several, a mapping or module of them, or their names as `load_tools` takes.

    Raises:
        ToolDefinitionError: one of them is no tool, or cannot be found.
    """
    if isinstance(given, ModuleType):
        given = given.__name__
    if isinstance(given, Mapping):
        given = given.values()
    several = given if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
    return [t for each in several for t in (load_tools(each) if isinstance(each, str) else (each,))]


def _plugins() -> list[EntryPoint]:
    """The entry points of installed packages. What lies in the working folder, which Python may search too, was not
    installed: it may have come with the folder."""
    from importlib.metadata import distributions

    here = os.path.realpath(os.curdir)
    path = [p for p in sys.path if os.path.realpath(p or os.curdir) != here]
    found = (e for d in distributions(path=path) for e in d.entry_points.select(group=ENTRY_POINTS))
    return list({(e.name, e.value): e for e in found}.values())


def _plugin(entry: EntryPoint) -> str:
    package = f" of the package '{entry.dist.name}'" if entry.dist else ""
    return f"the plugin '{entry.name}'{package} cannot be used"


@cache
def default_registry() -> Registry:
    """The built-in tools, the pure helpers, and what installed packages add through the entry points."""
    from ..values import helpers

    registry = Registry(t for module in BUILTIN_MODULES for t in load_tools(module))
    for helper in helpers.FUNCTIONS:
        registry.add(describe_function(helper, pure=True))
    for entry in _plugins():
        try:
            registry = registry | load_tools(entry.value)  # all of its tools, or none
        except VisprogError as error:
            warnings.warn(f"{_plugin(entry)}: {error}; its tools are left out", stacklevel=2)
    return registry


def chosen_registry(config: Config) -> Registry:
    """The default registry with the `extra_tools` of the settings, and without their `without_tools`.

    Raises:
        VisprogError: extra tools cannot be loaded.
        ConfigError: there is no tool to leave out by that name.
    """
    registry = default_registry() | [t for reference in config.extra_tools for t in load_tools(reference)]
    for name in config.without_tools:
        if name not in registry:
            close = difflib.get_close_matches(name, registry, 1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise ConfigError(f"without_tools: there is no tool '{name}'{hint}")
    return Registry(t for name, t in registry.items() if name not in config.without_tools)

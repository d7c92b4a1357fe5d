"""Finding tools: the built-in ones, those of installed packages, and those that the settings name."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import PurePath
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, ToolDefinitionError, VisprogError, close_match
from ..plugins import Plugin, plugins
from .declaration import Tool, describe_function
from .registry import Registry

if TYPE_CHECKING:
    from ..config import Config

TOOLS = "visprog.tools"
"""The package of the built-in tools, which lists its modules."""


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


@cache
def default_registry() -> Registry:
    """The built-in tools, the pure helpers, and what installed packages add: tools, and backends of tools."""
    from ..values.library import LIBRARY

    modules = importlib.import_module(TOOLS).MODULES
    registry = Registry(t for module in modules for t in load_tools(f"{TOOLS}.{module}"))
    for helper in LIBRARY.functions.values():
        registry.add(describe_function(helper, pure=True))
    for plugin in plugins("tools"):
        try:
            registry = registry | load_tools(plugin.reference)  # all of its tools, or none
        except VisprogError as error:
            plugin.leave_out(f"{error}; its tools are left out")
    for plugin in plugins("backends"):
        try:
            registry = _with_backend(registry, plugin)
        except VisprogError as error:
            plugin.leave_out(error)
    return registry


def _with_backend(registry: Registry, plugin: Plugin) -> Registry:
    """The registry with a backend that a package adds, under the name "TOOL.BACKEND". Its module is not imported yet.

    Raises:
        VisprogError: there is no such tool, or it has a backend of that name.
    """
    name, _, backend = plugin.name.partition(".")
    tool = registry.find(name)
    if not backend or not tool.backends:
        raise ToolDefinitionError(
            f"name the entry point 'TOOL.BACKEND', after a tool with backends, not '{plugin.name}'"
        )
    if backend in tool.backends:
        raise ToolDefinitionError(f"{name} has a backend '{backend}' already: choose another name")
    extended = replace(tool, backends={**tool.backends, backend: plugin.reference})
    return Registry(extended if each is tool else each for each in registry.values())


def chosen_registry(config: Config) -> Registry:
    """The default registry with the `extra_tools` of the settings, and without their `without_tools`.

    Raises:
        VisprogError: extra tools cannot be loaded.
        ConfigError: there is no tool to leave out by that name.
    """
    registry = default_registry() | [t for reference in config.extra_tools for t in load_tools(reference)]
    for name in config.without_tools:
        if name not in registry:
            close = close_match(name, registry)
            hint = f"; did you mean '{close}'?" if close else ""
            raise ConfigError(f"without_tools: there is no tool '{name}'{hint}")
    return Registry(t for name, t in registry.items() if name not in config.without_tools)

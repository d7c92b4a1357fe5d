"""`visprog tools` and `visprog doctor`: list the tools, and examine the installation."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import typer

from .common import BackendOption, ConfigOption, JsonOption, ToolsOption
from .result import Result
from .settings import host_in_force, load_settings, planner_in_force
from .status import working


def list_tools(
    name: Annotated[
        str | None, typer.Argument(help="Name of one tool to describe.", show_default=False)
    ] = None,
    tools: ToolsOption = None,
    backend: BackendOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> Result:
    """List the tools that programs may call, or describe one.

    \b
    visprog tools
    visprog tools detect
    visprog tools --tools my_tools:sharpness
    """
    from .terminal import print_tool, print_tools

    settings = load_settings(config, tools, backend)
    host = host_in_force(settings, planner_in_force(settings))
    registry = host.in_force
    backends = {n: host.backend_of(t) for n, t in registry.items()}
    if name is not None:
        tool = registry.find(name)
        if not json:
            options = _options(tool, backends[tool.name]).values()
            descriptions = {str(option): option.description for option in options}
            precision = _precision(tool, backends[tool.name], settings)
            print_tool(tool, backends[tool.name], descriptions, host.process_of(tool), precision)
        return Result({"status": "ok", **_described(tool, backends[tool.name], host, settings)})
    if not json:
        print_tools(registry, backends)
    found = [_described(t, backends[n], host, settings) for n, t in registry.items()]
    return Result({"status": "ok", "tools": found})


def doctor(config: ConfigOption = None, json: JsonOption = False) -> Result:
    """Show the installed packages, the planner and backends in force, and the level of the sandbox.

    \b
    visprog doctor
    visprog doctor --json
    """
    from ..errors import VisprogError
    from .doctor import report
    from .terminal import print_doctor

    with contextlib.suppress(VisprogError):  # the report names the mistake in the settings
        load_settings(config)
    with working("looking"):
        found = report(path=config)
    if not json:
        print_doctor(found)
    return Result(
        {"status": "problems" if found["problems"] else "ok", **found}, int(bool(found["problems"]))
    )


def _precision(tool: Any, backend: str, settings: Any) -> str:
    """The precision of the model of the backend in force, for people."""
    from ..config import ToolConfig
    from .doctor import precision_of

    return precision_of(tool, backend, settings.tools.get(tool.name, ToolConfig()))


def _described(tool: Any, backend: str, host: Any, settings: Any) -> dict[str, Any]:
    return {
        "name": tool.name,
        "signature": tool.signature,
        "doc": tool.doc,
        "limits": tool.limits,
        "pure": tool.pure,
        "parameters": tool.schema(),
        "sees": tool.sees.nothing or tool.sees.summary,
        "process": host.process_of(tool),
        "backend": backend,
        "default_backend": tool.default_backend,
        "backends": tool.backend_paths,
        "precision": _precision(tool, backend, settings),
        "options": {n: _described_option(o) for n, o in _options(tool, backend).items()},
    }


def _options(tool: Any, backend: str) -> dict[str, Any]:
    """Declared options of the backend in force, by name; none if it is not installed."""
    from ..errors import VisprogError
    from ..registry import backend_options

    if not tool.backends:
        return {}
    try:
        return dict(backend_options(tool, backend).known)
    except (VisprogError, ImportError):
        return {}


def _described_option(option: Any) -> dict[str, Any]:
    from ..registry.types import render

    default = {} if option.required else {"default": option.default}
    return {"type": render(option.type), **default, "description": option.description}

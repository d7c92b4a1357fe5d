"""`visprog tools` and `visprog doctor`: list the tools, and examine the installation."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any

import typer

from .common import (
    BackendOption,
    ConfigOption,
    JsonOption,
    Result,
    ToolsOption,
    load_settings,
    working,
)


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
    from ..registry import chosen_registry
    from ..report.terminal import print_tool, print_tools
    from ..runtime.host import Host

    settings = load_settings(config, tools, backend)
    host = Host(chosen_registry(settings), settings)
    registry = host.in_force
    backends = {n: host.backend_of(t) for n, t in registry.items()}
    if name is not None:
        tool = registry.find(name)
        if not json:
            print_tool(tool, backends[tool.name], _options(tool, backends[tool.name]))
        return Result({"status": "ok", **_described(tool, backends[tool.name])})
    if not json:
        print_tools(registry, backends)
    return Result({"status": "ok", "tools": [_described(t, backends[n]) for n, t in registry.items()]})


def doctor(config: ConfigOption = None, json: JsonOption = False) -> Result:
    """Show the installed packages, the planner and backends in force, and the level of the sandbox.

    \b
    visprog doctor
    visprog doctor --json
    """
    from ..errors import VisprogError
    from ..report.doctor import report
    from ..report.terminal import print_doctor

    with contextlib.suppress(VisprogError):  # the report names the mistake in the settings
        load_settings(config)
    with working("looking"):
        found = report(path=config)
    if not json:
        print_doctor(found)
    return Result(
        {"status": "problems" if found["problems"] else "ok", **found}, int(bool(found["problems"]))
    )


def _described(tool: Any, backend: str) -> dict[str, Any]:
    return {
        "name": tool.name,
        "signature": tool.signature,
        "doc": tool.doc,
        "limits": tool.limits,
        "pure": tool.pure,
        "parameters": tool.schema(),
        "sees": tool.sees.nothing or tool.sees.summary,
        "backend": backend,
        "default_backend": tool.default_backend,
        "backends": tool.backend_paths,
        "options": _options(tool, backend),
    }


def _options(tool: Any, backend: str) -> dict[str, str]:
    """The declared options of the backend in force; none if it accepts any, or is not installed."""
    from ..errors import VisprogError
    from ..registry import backend_options

    if not tool.backends:
        return {}
    try:
        known = backend_options(tool, backend)
    except (VisprogError, ImportError):
        return {}
    return {name: str(option) for name, option in (known or {}).items()}

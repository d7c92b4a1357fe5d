"""The command line with all its commands, which Typer parses."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Annotated

import typer

COMMANDS = {
    "ask": "ask:ask",
    "run": "ask:run",
    "plan": "plan:plan",
    "check": "plan:check",
    "tools": "show:list_tools",
    "models": "models:models",
    "doctor": "show:doctor",
    "trust": "trust:trust",
    "map": "map:map_command",
    "search": "search:search",
    "serve": "serve:serve",
    "train": "train:train",
    "curate": "curate:curate",
    "eval": "eval:evaluation",
    "examples": "examples:examples",
}
"""Module and name, in `visprog.commands`, of each command or group of commands."""


def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (also VISPROG_DEBUG=1).")
    ] = False,
) -> None:
    if version:
        from .. import __version__

        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def application(arguments: Sequence[str]) -> typer.Typer:
    """The application with the command that is called alone, which spares the imports of the others; else with all."""
    name = next((word for word in arguments if not word.startswith("-")), "")
    app = typer.Typer(
        help="Ask questions about images. A planner writes a program, vision tools run it, the answer shows how.",
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # drawing the help with rich costs half a second
    )
    app.callback()(_root)
    for chosen in [name] if name in COMMANDS else COMMANDS:
        module, _, attribute = COMMANDS[chosen].partition(":")
        made = getattr(importlib.import_module(f".{module}", __package__), attribute)
        if isinstance(made, typer.Typer):
            app.add_typer(made, name=chosen)
        else:
            app.command(chosen)(made)
    return app

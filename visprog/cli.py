"""The command `visprog`. A command is imported when it is called, and imports what it needs when it runs."""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from .commands.quick import quick
from .commands.result import INTERRUPTED, USAGE, Result, UsageError
from .commands.status import say


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: Words of the command line after `visprog`; those of the process by default.

    Returns:
        The exit code: 0 for success, 1 if there is no answer, 2 if the command cannot be understood, 130 if it was
        interrupted.
    """
    atexit.register(gc.freeze)  # the objects that are left at the end need not be searched for garbage
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    as_json, debug, stdout = "--json" in options, "--debug" in options, sys.stdout
    if debug:  # at any position
        arguments.remove("--debug")
    debug = debug or bool(os.environ.get("VISPROG_DEBUG"))
    # In JSON mode nothing but the object may reach standard output, also if a tool or a library prints.
    aside = contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext()
    with aside, warnings.catch_warnings():
        warnings.showwarning = _warn
        result = _run(arguments, debug)
    if as_json and result.data:
        print(json.dumps(result.data, indent=2, allow_nan=False), file=stdout)
    return result.code


def _run(arguments: list[str], debug: bool) -> Result:
    try:
        return quick(arguments) or _parsed(arguments)
    except KeyboardInterrupt:
        return Result({"status": "error", "message": "interrupted"}, INTERRUPTED)
    except BrokenPipeError:  # the reader of the output has closed it
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # the interpreter flushes it at its end
        return Result({}, 1)
    except Exception as error:
        return _failed(error, debug)


def _parsed(arguments: list[str]) -> Result:
    """Run any command."""
    import typer

    from .commands.application import application

    command = typer.main.get_command(application(arguments))
    try:
        result = command.main(args=arguments, prog_name="visprog", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    if result == INTERRUPTED:
        raise KeyboardInterrupt
    return result if isinstance(result, Result) else Result({}, int(result or 0))


def _failed(error: Exception, debug: bool) -> Result:
    """One sentence for a mistake of the user; any other error is a bug of visprog, and says so."""
    from visprog.sandbox import SandboxError

    from .errors import VisprogError

    show = getattr(error, "format_message", None)  # of the parser of the command line
    if debug and show is None:
        raise error
    if isinstance(error, VisprogError | SandboxError | UsageError):
        message, code = str(error), 2 if isinstance(error, UsageError) else 1
    elif show is not None:
        context = getattr(error, "ctx", None)
        command_path = context.command_path if context else "visprog"
        what = show().rstrip(".")
        if command_path == "visprog ask" and what.startswith("Missing argument"):
            what = "an image and a question are needed"  # one was given, and the parser takes it for the question
        message, code = f"{what}: {USAGE.get(command_path, f'see {command_path} --help')}", 2
    else:
        message, code = f"{type(error).__name__}: {error} (a bug in visprog: run again with --debug)", 1
    say(message)
    return Result({"status": "error", "message": message}, code)


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"warning: {message}")

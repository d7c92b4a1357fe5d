"""Command lines that are read without the parser of all commands, whose import alone takes longer than some answers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from .answering import Returns, ask_here, ask_server
from .result import Result

VALUES = ("--server", "--returns", "--html", "--save")
"""Options of `visprog ask` that are understood here; with any other, a command line is left to the parser."""


def quick(arguments: Sequence[str]) -> Result | None:
    """Do `visprog --version`, and `visprog ask` with a few options.

    Returns:
        The result, as the parser of all commands would have it; None if that must read the command line.
    """
    if list(arguments) == ["--version"]:
        from .. import __version__

        print(__version__)
        return Result({})
    if not arguments or arguments[0] != "ask":
        return None
    positional: list[str] = []
    given: dict[str, str] = {}
    words, as_json = iter(arguments[1:]), False
    for word in words:
        if word == "--json":
            as_json = True
        elif word == "-" or not word.startswith("-"):
            positional.append(word)
        else:
            name, equals, value = word.partition("=")
            value = value if equals else next(words, "-")
            if name not in VALUES or value.startswith("-"):
                return None
            given[name] = value
    server = given.get("--server") or os.environ.get("VISPROG_SERVER")
    returns = given.get("--returns")
    if len(positional) < 2 or (returns is not None and returns not in list(Returns)):
        return None
    html, save = (Path(given[name]) if name in given else None for name in ("--html", "--save"))
    images, question, wanted = positional[:-1], positional[-1], Returns(returns) if returns else None
    if server:
        return ask_server(server, images, question, wanted, html, save, as_json)
    return ask_here(images, question, wanted, html, save, as_json)

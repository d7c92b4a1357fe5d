"""What commands share: options, results, settings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from ..agent import Agent
    from ..config import Config
    from ..registry import Registry
    from .terminal import Status

USAGE = {
    "visprog": 'visprog ask IMAGE... "QUESTION", or see visprog --help',
    "visprog ask": 'visprog ask IMAGE... "QUESTION"',
    "visprog run": "visprog run PROGRAM.py IMAGE...",
    "visprog plan": 'visprog plan "QUESTION"',
    "visprog check": "visprog check PROGRAM.py...",
}
"""What the commands with arguments are written like; the others say it in their help."""


class UsageError(Exception):
    """The command cannot be understood; the message says how it is written."""


@dataclass(frozen=True)
class Result:
    """What a command comes to: the object that `--json` prints, and the exit code."""

    data: Mapping[str, Any]
    code: int = 0


class Group(TyperGroup):
    """A group whose first command is meant where another word than a command follows: `visprog train clip` is
    `visprog train recipe clip`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [next(iter(self.commands)), *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


class Returns(StrEnum):
    """A type that the answer must have."""

    bool = "bool"
    int = "int"
    float = "float"
    str = "str"
    list = "list"


_TYPES: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str, "list": list}


def type_of(returns: Returns | None) -> type | None:
    """The type that an option names."""
    return None if returns is None else _TYPES[returns.value]


PlannerOption = Annotated[
    str | None,
    typer.Option(
        "--planner",
        help="Who writes the program: embedded, openai:MODEL, langchain:PROVIDER:MODEL, "
        "transformers:FOLDER, replay:FILE.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings; otherwise visprog.toml, if there is one.")
]
ToolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tools", metavar="MODULE[:ATTRIBUTE]", help="Further tools, made with @tool. May be repeated."
    ),
]
BackendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", metavar="TOOL=NAME[:MODEL]", help="What does the work of a tool. May be repeated."
    ),
]
ReturnsOption = Annotated[
    Returns | None, typer.Option("--returns", help="The type that the answer must have.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HtmlOption = Annotated[Path | None, typer.Option("--html", help="Write the evidence to this file.")]
SaveOption = Annotated[
    Path | None, typer.Option("--save", help="Write an answer that is a picture to this file.")
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="VISPROG_SERVER",
        help="Let a running visprog serve answer; its token in VISPROG_TOKEN.",
    ),
]
RecordOption = Annotated[
    Path | None,
    typer.Option(
        "--record", help="Keep what the planner and the tools said in this folder.", file_okay=False
    ),
]
ReplayOption = Annotated[
    Path | None,
    typer.Option(
        "--replay", help="Take what they said from such a folder: no model is run.", file_okay=False
    ),
]
ResumeOption = Annotated[
    bool | None,
    typer.Option(
        "--resume/--fresh",
        help="Only go on with a run that is there, or remove it and start again. Without either, a run that "
        "is there is gone on with, and else a new one starts.",
    ),
]
UrlOption = Annotated[bool, typer.Option("--allow-url", help="Read pictures from http and https addresses.")]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option("--max-pixels", min=1, help="Width times height of an image; larger ones are refused."),
]


def load_settings(
    path: Path | None,
    tools: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    **given: Any,
) -> Config:
    """The settings in force, with what the command line changes."""
    from ..config import Config

    config = Config.load(path)
    for text in backends or ():
        config = config.with_backend(text)
    given = {name: value for name, value in given.items() if value}
    config = replace(config, extra_tools=(*config.extra_tools, *(tools or ())), **given)
    _import_from_here(config)
    return config


def registry_in_force(settings: Config) -> Registry:
    """The tools with what their backends can see, as planners and the check are given them."""
    from ..registry import chosen_registry
    from ..runtime.host import Host

    return Host(chosen_registry(settings), settings).in_force


def _import_from_here(config: Config) -> None:
    """Let modules of the working folder hold tools and backends, if the settings name any that are not built in.

    The folder comes last: a file in it never takes the place of an installed module.
    """
    from ..registry import default_registry

    def built_in(name: str, backend: str) -> bool:
        return not backend or name not in (tools := default_registry()) or backend in tools[name].backends

    chosen = ((name, each.backend) for name, each in config.tools.items())
    named = bool(config.extra_tools) or not all(built_in(name, backend) for name, backend in chosen)
    if named and "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())


def open_agent(
    planner: str | None,
    config: Path | None,
    tools: Sequence[str] | None,
    backends: Sequence[str] | None,
    record: Path | None = None,
    replay: Path | None = None,
    **settings: Any,
) -> Agent:
    """An agent with the settings in force, and what the command line changes of them."""
    from ..agent import Agent

    return Agent(planner, load_settings(config, tools, backends, **settings), record=record, replay=replay)


def with_standard_input(images: Sequence[str]) -> list[str | bytes]:
    """The images of a command line, with what standard input holds in the place of "-".

    Raises:
        UsageError: "-" is given twice, or nobody pipes anything in.
        ImageError: standard input is empty, or too large.
    """
    if "-" not in images:
        return list(images)
    if images.count("-") > 1:
        raise UsageError("standard input holds one image: give '-' once")
    if sys.stdin is None or sys.stdin.isatty():
        raise UsageError("'-' reads an image from standard input: pipe one in, or name a file")
    from ..errors import ImageError
    from ..files.reading import MAX_BYTES, read_stream

    try:
        data = read_stream(sys.stdin.buffer, MAX_BYTES, "standard input")
    except OSError as error:
        raise ImageError(f"cannot read standard input: {error.strerror or error}") from None
    if not data:
        raise ImageError("standard input is empty: pipe an image in")
    return [data if image == "-" else image for image in images]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Sequence[str]) -> None:
    """Refuse outputs that would overwrite what is read, or each other, before anything is asked.

    Args:
        outputs: by option, if given.
        inputs: files that are read.

    Raises:
        UsageError: two are one file, or one is a folder.
        VisprogError: one would overwrite an input.
    """
    from ..files.outputs import can_save, keep_inputs

    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        real = path.resolve()
        if real in taken:
            raise UsageError(f"{taken[real]} and {option} both name {path}")
        taken[real] = option
        keep_inputs(path, inputs)
        if path.is_dir():
            raise UsageError(f"{option} names a file to write, and {path} is a folder")
        if option == "--save" and not can_save(path):
            raise UsageError(f"{option} writes an image: end {path} in .png, .jpg or .webp")


def say(message: str) -> None:
    """A line on standard error."""
    from .terminal import complain

    complain(message)


def working(what: str) -> contextlib.AbstractContextManager[Status]:
    """A sign of life while something takes long."""
    from .terminal import working

    return working(what)


def read_program(path: Path) -> str:
    """The text of a program.

    Raises:
        VisprogError: it cannot be read.
    """
    from ..errors import VisprogError
    from ..files.plain_text import read_text

    try:
        return read_text(path)
    except OSError as error:
        raise VisprogError(f"cannot read the program {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise VisprogError(f"the program {path} {error}") from None

"""Options, results and settings that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from .answering import Returns

if TYPE_CHECKING:
    pass


class Group(TyperGroup):
    """A group of commands with a default, its first: `visprog train clip` means `visprog train recipe clip`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] != "--help"):
            args = [next(iter(self.commands)), *args]
        parsed: list[str] = super().parse_args(ctx, args)
        return parsed


PlannerOption = Annotated[
    str | None,
    typer.Option(
        "--planner",
        help="Planner that writes the program: embedded, openai:MODEL, langchain:PROVIDER:MODEL, "
        "ollama:NAME, transformers:FOLDER, replay:FILE.",
    ),
]
ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Settings file; visprog.toml by default, if it exists.")
]
ToolsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--tools",
        metavar="MODULE[:ATTRIBUTE]",
        help="Module with additional tools, made with @tool. May be repeated.",
    ),
]
BackendOption = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", metavar="TOOL=NAME[:MODEL]", help="Backend of a tool, and its model. May be repeated."
    ),
]
ReturnsOption = Annotated[Returns | None, typer.Option("--returns", help="Type that the answer must have.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="File to write the evidence to, as one HTML page.")
]
SaveOption = Annotated[
    Path | None, typer.Option("--save", help="File to write the answer to, if it is an image.")
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        envvar="VISPROG_SERVER",
        help="Address of a running visprog serve that answers; its token goes in VISPROG_TOKEN.",
    ),
]
RecordOption = Annotated[
    Path | None,
    typer.Option(
        "--record", help="Folder to record the calls of the planner and the tools in.", file_okay=False
    ),
]
ReplayOption = Annotated[
    Path | None,
    typer.Option(
        "--replay", help="Folder of a recording to replay instead of running models.", file_okay=False
    ),
]
ResumeOption = Annotated[
    bool | None,
    typer.Option(
        "--resume/--fresh",
        help="Resume an existing run (an error if there is none), or delete it and start again. By default, an "
        "existing run is resumed and otherwise a new one starts.",
    ),
]
UrlOption = Annotated[
    bool, typer.Option("--allow-url", help="Download images from http and https addresses.")
]
MaxPixelsOption = Annotated[
    int | None,
    typer.Option(
        "--max-pixels", min=1, help="Maximum width times height of an image; larger images are refused."
    ),
]


def read_program(path: Path) -> str:
    """Read the text of a program.

    Raises:
        VisprogError: The file cannot be read.
    """
    from ..errors import VisprogError
    from ..files.plain_text import read_text

    try:
        return read_text(path)
    except OSError as error:
        raise VisprogError(f"cannot read the program {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise VisprogError(f"the program {path} {error}") from None

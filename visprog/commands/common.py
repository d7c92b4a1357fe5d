"""Options, results and settings that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..config import MAX_TURNS
from .answering import Returns


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
TurnsOption = Annotated[
    int | None,
    typer.Option(
        "--turns",
        min=1,
        max=MAX_TURNS,
        help="Number of replies of a chat model per question: it looks at what its programs found. "
        "It is sent the images.",
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
ForOption = Annotated[
    float | None,
    typer.Option(
        "--for",
        metavar="SECONDS",
        help="Number of seconds for which a camera, such as camera:0, is recorded.",
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

"""`visprog ask` and `visprog run`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .answering import ask_here, ask_server, finish, listener, stdout_for_answer, type_of
from .common import (
    BackendOption,
    ConfigOption,
    ForOption,
    HtmlOption,
    JsonOption,
    MaxPixelsOption,
    PlannerOption,
    RecordOption,
    ReplayOption,
    ReturnsOption,
    SaveOption,
    ServerOption,
    ToolsOption,
    TurnsOption,
    UrlOption,
)
from .inputs import check_outputs, with_cameras, with_standard_input
from .result import USAGE, Result, UsageError
from .settings import open_agent
from .status import working


def ask(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="Path of an image or a video, a URL with --allow-url, or camera:0 with --for.",
            show_default=False,
        ),
    ],
    question: Annotated[
        str,
        typer.Argument(metavar="QUESTION", help="Question in quotes, after the images.", show_default=False),
    ],
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    html: HtmlOption = None,
    save: SaveOption = None,
    votes: Annotated[
        int | None,
        typer.Option("--votes", min=1, help="Number of programs to sample; their answers are put to a vote."),
    ] = None,
    turns: TurnsOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    allow_url: UrlOption = False,
    max_pixels: MaxPixelsOption = None,
    seconds: ForOption = None,
    server: ServerOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Answer a question about one or more images; - is standard input.

    If standard output is not a terminal, only the answer is printed.

    \b
    visprog ask street.jpg "How many people are there?"
    visprog ask before.png after.png "Which picture has more red circles?"
    visprog ask dog.jpg "Blur everything except the dog" --save blurred.png --html evidence.html
    visprog ask shelf.jpg "Is the milk left of the bread?" --planner openai:MODEL --backend detect=owlv2
    visprog ask street.mp4 "How many cars pass?"
    visprog ask camera:0 "How many people come by?" --for 60
    curl -s URL | visprog ask - "How many red octagons are there?"
    """
    if server:
        if (
            planner
            or votes
            or turns
            or backend
            or tools
            or config
            or allow_url
            or max_pixels
            or record
            or replay
            or seconds
        ):
            raise UsageError(
                "--planner, --votes, --turns, --backend, --tools, --config, --allow-url, --max-pixels, --for, "
                "--record and --replay are not for a server: give the settings to visprog serve, or ask without "
                "--server and VISPROG_SERVER"
            )
        return ask_server(server, images, question, returns, html, save, json)
    return ask_here(
        images,
        question,
        returns,
        html,
        save,
        json,
        seconds=seconds,
        planner=planner,
        config=config,
        tools=tools,
        backends=backend,
        record=record,
        replay=replay,
        votes=votes,
        turns=turns,
        allow_url=allow_url,
        max_pixels=max_pixels,
    )


def run(
    program: Annotated[
        Path, typer.Argument(metavar="PROGRAM.py", help="Program to run.", show_default=False)
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Path of an image or a video, a URL with --allow-url, or camera:0 with --for.",
            show_default=False,
        ),
    ],
    returns: ReturnsOption = None,
    html: HtmlOption = None,
    save: SaveOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    allow_url: UrlOption = False,
    max_pixels: MaxPixelsOption = None,
    seconds: ForOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Run an existing program on one or more images; - is standard input.

    \b
    visprog run count_people.py street.jpg
    visprog run program.py street.jpg --json
    """
    if program.suffix != ".py" and any(i.endswith(".py") for i in images):
        raise UsageError(f"the program comes first: {USAGE['visprog run']}")
    check_outputs({"--save": save, "--html": html}, [*images, str(program)])
    given = with_cameras(with_standard_input(images), seconds)
    with (
        open_agent(
            None, config, tools, backend, record, replay, allow_url=allow_url, max_pixels=max_pixels
        ) as agent,
        working("running") as status,
        stdout_for_answer(),
    ):
        answer = agent.run(program, *given, returns=type_of(returns), on_event=listener(status))
    return finish(answer.to_json(pictures=False), lambda: answer, html, save, json, str(program), images)

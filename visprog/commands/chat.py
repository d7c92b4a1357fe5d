"""`visprog chat`: questions about images, one after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import VisprogError
from .answering import finish, listener, stdout_for_answer, write_page
from .common import (
    BackendOption,
    ConfigOption,
    HtmlOption,
    JsonOption,
    MaxPixelsOption,
    PlannerOption,
    RecordOption,
    ReplayOption,
    SaveOption,
    ToolsOption,
    TurnsOption,
    UrlOption,
)
from .inputs import check_outputs
from .result import USAGE, Result, UsageError
from .settings import open_agent
from .status import say, working

if TYPE_CHECKING:
    from ..answer import Answer
    from ..chat import AgentChat

MAX_LINE = 100_000
"""Bytes of a line of standard input that are read as a question."""

_ENDS = ("exit", "quit")


def chat(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Path of an image, or a URL with --allow-url.", show_default=False
        ),
    ],
    planner: PlannerOption = None,
    turns: TurnsOption = None,
    prompt: Annotated[
        bool,
        typer.Option(
            "--prompt",
            help="Print the messages that a chat model would get for each question, and ask it none.",
        ),
    ] = False,
    html: HtmlOption = None,
    save: SaveOption = None,
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    allow_url: UrlOption = False,
    max_pixels: MaxPixelsOption = None,
    record: RecordOption = None,
    replay: ReplayOption = None,
    json: JsonOption = False,
) -> Result:
    """Ask about one or more images, question by question: a line of standard input each.

    With a chat model as planner a question may refer to those before it. In a terminal, an empty line or Ctrl-D ends.
    An answer that is an image is saved under the name that --save gives and the number of its question.

    \b
    visprog chat street.jpg --planner openai:MODEL
    printf 'How many cups are there?\\nAnd which is the largest?\\n' | visprog chat table.jpg --json
    """
    if "-" in images:
        raise UsageError(
            f"standard input holds the questions, so no image can be '-': {USAGE['visprog chat']}"
        )
    check_outputs({"--save": save, "--html": html}, images)
    results: list[Result] = []
    with open_agent(
        planner, config, tools, backend, record, replay, allow_url=allow_url, max_pixels=max_pixels
    ) as agent:
        talk = agent.chat(*images, turns=turns)
        for question in _questions():
            if prompt:
                results.append(_print_prompt(talk, question, json))
                continue
            try:
                with working("planning") as status, stdout_for_answer():
                    answer = talk.ask(question, on_event=listener(status))
            except VisprogError as error:  # it is no question
                say(str(error))
                results.append(Result({"status": "error", "message": str(error), "question": question}, 1))
                continue
            results.append(_finish(answer, save, json, images, len(results) + 1))
    written = html is None or write_page(talk.to_html(), html)
    fine = written and all(result.code == 0 for result in results)
    data = {"status": "answered" if fine else "error", "answers": [result.data for result in results]}
    return Result(data, 0 if fine else 1)


def _print_prompt(talk: AgentChat, question: str, as_json: bool) -> Result:
    """Print what the chat model would be sent for a question."""
    from .terminal import print_opening

    data = talk.opening(question).to_json()
    if not as_json:
        print_opening(data)
    return Result({"status": "ok", "question": question, **data})


def _finish(answer: Answer, save: Path | None, as_json: bool, images: Sequence[str], number: int) -> Result:
    """Print one answer, and save it if it is an image."""
    from ..values.image import Image

    values = answer.value if isinstance(answer.value, list) else [answer.value]
    holds_image = any(isinstance(value, Image) for value in values)
    path = save.with_stem(f"{save.stem}-{number}") if save is not None and holds_image else None
    result = finish(answer.to_json(pictures=False), lambda: answer, None, path, as_json, "program.py", images)
    sys.stdout.flush()
    return result


def _questions() -> Iterator[str]:
    """The questions of a terminal, to its end or an empty line, or the lines of standard input."""
    if sys.stdin is None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        import readline  # noqa: F401  (lines can be edited, and called back)

        ask: Callable[[], str] = partial(input, "> ")
    else:
        ask = _line
    while True:
        try:
            question = ask().strip()
        except EOFError:
            return
        if question in _ENDS or (ask is not _line and not question):
            return
        if question:
            yield question


def _line() -> str:
    """A line of standard input. Raises `EOFError` at its end."""
    line = sys.stdin.buffer.readline(MAX_LINE)
    if not line:
        raise EOFError
    return line.decode("utf-8", "replace")

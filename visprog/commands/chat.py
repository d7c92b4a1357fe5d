"""`visprog chat`: questions about images, one after another."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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
from .result import INTERRUPTED, USAGE, Result, UsageError
from .settings import open_agent
from .status import say, working

if TYPE_CHECKING:
    from ..chat import AgentChat

MAX_LINE = 100_000
"""Bytes of a line of standard input that is read as a question."""

_ENDS = ("exit", "quit")


def chat(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...",
            help="Path of an image or a video, or a URL with --allow-url.",
            show_default=False,
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
    """Ask about images or a video, question by question: a line of standard input each.

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
    interrupted = False
    with open_agent(
        planner, config, tools, backend, record, replay, allow_url=allow_url, max_pixels=max_pixels
    ) as agent:
        talk = agent.chat(*images, turns=turns)
        try:
            for question in _questions():
                number = len(results) + 1
                try:
                    if question is None:
                        raise VisprogError(f"a line of more than {MAX_LINE:,} bytes is no question")
                    if prompt:
                        results.append(_print_prompt(talk, question, json))
                    else:
                        results.append(_answer(talk, question, save, json, images, number))
                except VisprogError as error:  # it is no question
                    say(str(error))
                    data = {"status": "error", "message": str(error), "question": question or ""}
                    results.append(Result(data, 1))
        except KeyboardInterrupt:  # what was answered is kept
            interrupted = True
    written = html is None or write_page(talk.to_html(), html)
    fine = written and not interrupted and all(result.code == 0 for result in results)
    code = INTERRUPTED if interrupted else 0 if fine else 1
    said: dict[str, Any] = {"status": "answered" if fine else "error"}
    if interrupted:
        said["message"] = "interrupted"
    return Result({**said, "answers": [result.data for result in results]}, code)


def _print_prompt(talk: AgentChat, question: str, as_json: bool) -> Result:
    """Print what the chat model would be sent for a question."""
    from .terminal import print_opening

    data = talk.opening(question).to_json()
    if not as_json:
        print_opening(data)
    return Result({"status": "ok", "question": question, **data})


def _answer(
    talk: AgentChat,
    question: str,
    save: Path | None,
    as_json: bool,
    images: Sequence[str],
    number: int,
) -> Result:
    """Ask one question; print the answer, and save it if it is an image."""
    from ..values.image import Image

    with working("planning") as status, stdout_for_answer():
        answer = talk.ask(question, on_event=listener(status))
    values = answer.value if isinstance(answer.value, list) else [answer.value]
    holds_image = any(isinstance(value, Image) for value in values)
    path = save.with_stem(f"{save.stem}-{number}") if save is not None and holds_image else None
    result = finish(answer.to_json(pictures=False), lambda: answer, None, path, as_json, "program.py", images)
    sys.stdout.flush()
    return result


def _questions() -> Iterator[str | None]:
    """The questions of a terminal, to its end or an empty line, or the lines of standard input; None for one that is
    too long."""
    if sys.stdin is None:
        return
    if sys.stdin.isatty() and sys.stdout.isatty():
        import readline  # noqa: F401  (lines can be edited, and called back)

        ask: Callable[[], str | None] = partial(input, "> ")
    else:
        ask = _line
    while True:
        try:
            question = ask()
        except EOFError:
            return
        if question is None:
            yield None
            continue
        question = question.strip()
        if question in _ENDS or (ask is not _line and not question):
            return
        if question:
            yield question


def _line() -> str | None:
    """A line of standard input; None if it is too long. Raises `EOFError` at its end."""
    line = part = sys.stdin.buffer.readline(MAX_LINE + 1)
    if not line:
        raise EOFError
    while part and not part.endswith(b"\n"):
        part = sys.stdin.buffer.readline(MAX_LINE + 1)
    return line.decode("utf-8", "replace") if len(line) <= MAX_LINE else None

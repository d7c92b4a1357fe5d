"""`visprog ask` and `visprog run`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    USAGE,
    BackendOption,
    ConfigOption,
    HtmlOption,
    JsonOption,
    MaxPixelsOption,
    PlannerOption,
    RecordOption,
    ReplayOption,
    Result,
    Returns,
    ReturnsOption,
    SaveOption,
    ServerOption,
    ToolsOption,
    UrlOption,
    UsageError,
    check_outputs,
    open_agent,
    say,
    type_of,
    with_standard_input,
    working,
)

if TYPE_CHECKING:
    from ..answer import Answer
    from .terminal import RunStatus, Status


def ask(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE", help="Path of an image, or a URL with --allow-url.", show_default=False
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
    backend: BackendOption = None,
    tools: ToolsOption = None,
    config: ConfigOption = None,
    allow_url: UrlOption = False,
    max_pixels: MaxPixelsOption = None,
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
    curl -s URL | visprog ask - "How many red octagons are there?"
    """
    _check_arguments(images, question)
    check_outputs({"--save": save, "--html": html}, images)
    given = with_standard_input(images)
    if server:
        if planner or votes or backend or tools or config or allow_url or max_pixels or record or replay:
            raise UsageError(
                "--planner, --votes, --backend, --tools, --config, --allow-url, --max-pixels, --record and --replay "
                "are settings of the server: give them to visprog serve, or ask without --server and VISPROG_SERVER"
            )
        return _ask_server(server, question, given, returns, html, save, json)
    with (
        open_agent(
            planner,
            config,
            tools,
            backend,
            record,
            replay,
            votes=votes,
            allow_url=allow_url,
            max_pixels=max_pixels,
        ) as agent,
        working("planning") as status,
        _stdout_for_answer(),
    ):
        answer = agent.ask(question, *given, returns=type_of(returns), on_event=_listener(status))
    return _finish(answer, html, save, json, "program.py", images)


def run(
    program: Annotated[
        Path, typer.Argument(metavar="PROGRAM.py", help="Program to run.", show_default=False)
    ],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE...", help="Path of an image, or a URL with --allow-url.", show_default=False
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
    given = with_standard_input(images)
    with (
        open_agent(
            None, config, tools, backend, record, replay, allow_url=allow_url, max_pixels=max_pixels
        ) as agent,
        working("running") as status,
        _stdout_for_answer(),
    ):
        answer = agent.run(program, *given, returns=type_of(returns), on_event=_listener(status))
    return _finish(answer, html, save, json, str(program), images)


def _listener(status: Status) -> RunStatus | None:
    """A listener that shows the events of a run; None if nobody would see them."""
    from .terminal import RunStatus

    return RunStatus(status) if sys.stderr.isatty() else None


def _check_arguments(images: list[str], question: str) -> None:
    """Refuse the most common mistakes with images and question, each with its own message."""
    usage = USAGE["visprog ask"]
    if not question.strip():
        raise UsageError(f"the question is empty: {usage}")
    folder = next((i for i in images if _is_folder(i)), None)
    if folder is not None:
        raise UsageError(f'{folder} is a folder: visprog map "QUESTION" FOLDER asks about each image in it')
    others = [i for i in images if not _is_image(i)]
    if _is_image(question):
        why = "the question comes last" if others else "the question is missing"
        raise UsageError(f"{why}: {usage}")
    if others and others[0] != images[0] and not any(c in others[0] for c in "./\\"):
        raise UsageError(f"'{others[0]}' is not an image; put the whole question in quotes: {usage}")


def _is_image(text: str) -> bool:
    """Whether an argument names an image, whether it exists or not."""
    from ..values.endings import IMAGE_ENDINGS

    if text == "-" or (text.startswith(("http://", "https://")) and " " not in text):
        return True
    try:
        return text.lower().endswith(IMAGE_ENDINGS) or Path(text).is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):  # too long for a path
        return False


def _finish(
    answer: Answer,
    html: Path | None,
    save: Path | None,
    as_json: bool,
    path: str,
    images: Sequence[str | bytes],
) -> Result:
    """Print an answer and write the files that the options name."""
    if answer.status != "answered":
        say(f"{answer.status}: {answer.message}")
    for caution in answer.cautions:
        say(f"note: {caution}")
    if not as_json:
        from ..files.plain_text import plain
        from .terminal import print_answer, print_diagnostics

        if sys.stdout.isatty():
            print_answer(answer, path)
        elif answer.ok:
            print(plain(str(answer)))
        else:
            with contextlib.redirect_stdout(sys.stderr):
                print_diagnostics(answer.diagnostics, answer.program, path)
    written = all([_write_evidence(answer, html), _save(answer, save, images)])
    code = 0 if answer.status == "answered" and written else 1
    return Result(answer.to_json(pictures=False), code)


def _ask_server(
    url: str,
    question: str,
    images: Sequence[str | bytes],
    returns: Returns | None,
    html: Path | None,
    save: Path | None,
    as_json: bool,
) -> Result:
    """Ask a server. If only JSON is wanted, nothing that reads answers is imported."""
    from ..server.client import Client

    evidence = not as_json or html is not None or save is not None
    wanted = "" if returns is None else returns.value
    with working("asking"):
        data = Client(url).ask(question, *images, returns=wanted, evidence=evidence)
    if not evidence:
        if data["status"] != "answered":
            say(f"{data['status']}: {data['message']}")
        return Result(data, int(data["status"] != "answered"))
    from ..answer import Answer

    return _finish(Answer.from_json(data), html, save, as_json, "program.py", images)


def _write_evidence(answer: Answer, path: Path | None) -> bool:
    if path is None:
        return True
    from ..files.writing import write_text

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, answer.to_html())
    except OSError as error:
        say(f"cannot write the evidence to {path}: {error.strerror or error}")
        return False
    _notice(f"evidence: {path}")
    return True


def _stdout_for_answer() -> contextlib.AbstractContextManager[Any]:
    """Send what tools print to standard error, so that standard output holds the answer alone when it is piped."""
    return contextlib.nullcontext() if sys.stdout.isatty() else contextlib.redirect_stdout(sys.stderr)


def _notice(message: str) -> None:
    """Print a notice: on standard output if it is a terminal, otherwise on standard error."""
    if sys.stdout.isatty():
        print(message)
    else:
        say(message)


def _save(answer: Answer, path: Path | None, images: Sequence[str | bytes]) -> bool:
    """Write an answer that is one or more images to `path`; without a path, print how to keep it."""
    from ..errors import VisprogError
    from ..files.outputs import keep_inputs
    from ..values.image import Image

    values = answer.value if isinstance(answer.value, list) else [answer.value]
    found = [v for v in values if isinstance(v, Image)]
    if path is None:
        if found:
            _notice("the answer is an image: keep it with --save FILE.png")
        return True
    if not found:
        if answer.status in ("answered", "fallback"):
            say(f"the answer is not an image; nothing was written to {path}")
        return False
    for number, image in enumerate(found, 1):
        file = path if len(found) == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            keep_inputs(file, [i for i in images if isinstance(i, str)])
            file.parent.mkdir(parents=True, exist_ok=True)
            image.save(file)
        except (VisprogError, OSError) as error:
            say(str(error) if isinstance(error, VisprogError) else f"cannot write {file}: {error.strerror}")
            return False
        _notice(f"saved: {file}")
    return True

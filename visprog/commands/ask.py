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
    images: Annotated[list[str], typer.Argument(metavar="IMAGE", show_default=False)],
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Last, in quotes.", show_default=False)],
    planner: PlannerOption = None,
    returns: ReturnsOption = None,
    html: HtmlOption = None,
    save: SaveOption = None,
    votes: Annotated[
        int | None, typer.Option("--votes", min=1, help="Write so many programs, and vote.")
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

    If standard output is no terminal, only the answer is printed.

    \b
    visprog ask street.jpg "How many people are there?"
    visprog ask before.png after.png "Which picture has more red circles?"
    visprog ask dog.jpg "Blur everything except the dog" --save blurred.png --html evidence.html
    visprog ask shelf.jpg "Is the milk left of the bread?" --planner openai:MODEL --backend detect=owlv2
    curl -s URL | visprog ask - "How many red octagons are there?"
    """
    _tell_apart(images, question)
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
        _aside(),
    ):
        answer = agent.ask(question, *given, returns=type_of(returns), on_event=_listener(status))
    return _finish(answer, html, save, json, "program.py", images)


def run(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM.py", show_default=False)],
    images: Annotated[list[str], typer.Argument(metavar="IMAGE...", show_default=False)],
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
    """Run a program that you have on one or more images; - is standard input.

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
        _aside(),
    ):
        answer = agent.run(program, *given, returns=type_of(returns), on_event=_listener(status))
    return _finish(answer, html, save, json, str(program), images)


def _listener(status: Status) -> RunStatus | None:
    """Shows the events of a run; None if nobody would see them."""
    from .terminal import RunStatus

    return RunStatus(status) if sys.stderr.isatty() else None


def _tell_apart(images: list[str], question: str) -> None:
    """The most common slips with pictures and question get a sentence of their own."""
    usage = USAGE["visprog ask"]
    if not question.strip():
        raise UsageError(f"the question is empty: {usage}")
    folder = next((i for i in images if _is_folder(i)), None)
    if folder is not None:
        raise UsageError(f'{folder} is a folder: visprog map "QUESTION" FOLDER asks about each image in it')
    others = [i for i in images if not _is_picture(i)]
    if _is_picture(question):
        why = "the question comes last" if others else "the question is missing"
        raise UsageError(f"{why}: {usage}")
    if others and others[0] != images[0] and not any(c in others[0] for c in "./\\"):
        raise UsageError(f"'{others[0]}' is no picture; put the whole question in quotes: {usage}")


def _is_picture(text: str) -> bool:
    """Whether an argument means a picture, be it there or not."""
    suffixes = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".ppm")
    if text == "-" or (text.startswith(("http://", "https://")) and " " not in text):
        return True
    try:
        return text.lower().endswith(suffixes) or Path(text).is_file()
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
    """Print an answer, write what was asked for beside it."""
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
    """`ask` at a server. Where only JSON is wanted, nothing that reads answers is imported."""
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
    _tell(f"evidence: {path}")
    return True


def _aside() -> contextlib.AbstractContextManager[Any]:
    """While tools work: what they print does not get between a program that reads the answer and the answer."""
    return contextlib.nullcontext() if sys.stdout.isatty() else contextlib.redirect_stdout(sys.stderr)


def _tell(message: str) -> None:
    """What was written, beside the answer: on standard output only if a person reads it."""
    if sys.stdout.isatty():
        print(message)
    else:
        say(message)


def _save(answer: Answer, path: Path | None, images: Sequence[str | bytes]) -> bool:
    """Write the pictures that an answer is; where it is one and no file is named, say how."""
    from ..errors import VisprogError
    from ..files.outputs import keep_inputs
    from ..values.image import Image

    values = answer.value if isinstance(answer.value, list) else [answer.value]
    pictures = [v for v in values if isinstance(v, Image)]
    if path is None:
        if pictures:
            _tell("the answer is an image: keep it with --save FILE.png")
        return True
    if not pictures:
        if answer.status in ("answered", "fallback"):
            say(f"the answer is no image; nothing was written to {path}")
        return False
    for number, picture in enumerate(pictures, 1):
        file = path if len(pictures) == 1 else path.with_stem(f"{path.stem}-{number}")
        try:
            keep_inputs(file, [i for i in images if isinstance(i, str)])
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.save(file)
        except (VisprogError, OSError) as error:
            say(str(error) if isinstance(error, VisprogError) else f"cannot write {file}: {error.strerror}")
            return False
        _tell(f"saved: {file}")
    return True

"""What `visprog ask` and `visprog run` share: the check of their arguments, the answer of a server, the output.

Nothing heavy is imported here: a question to a server is answered before NumPy would be imported.
"""

from __future__ import annotations

import contextlib
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import check_outputs, with_cameras, with_standard_input
from .result import USAGE, Result, UsageError
from .settings import open_agent
from .status import Status, say, working

if TYPE_CHECKING:
    from ..answer import Answer
    from .terminal import RunStatus


class Returns(StrEnum):
    """Type that the answer must have."""

    bool = "bool"
    int = "int"
    float = "float"
    str = "str"
    list = "list"


def check_arguments(images: Sequence[str], question: str) -> None:
    """Refuse the most common mistakes with images and question, each with its own message."""
    usage = USAGE["visprog ask"]
    if not question.strip():
        raise UsageError(f"the question is empty: {usage}")
    if "" in images:
        raise UsageError(f"the path of an image is empty: {usage}")
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
    """Whether an argument names an image or a video, whether it exists or not."""
    from ..files.endings import IMAGE_ENDINGS, VIDEO_ENDINGS

    if text == "-" or (text.startswith(("http://", "https://", "camera:")) and " " not in text):
        return True
    try:
        return text.lower().endswith((*IMAGE_ENDINGS, *VIDEO_ENDINGS)) or Path(text).is_file()
    except (OSError, ValueError):  # too long for a path
        return False


def _is_folder(text: str) -> bool:
    try:
        return Path(text).is_dir()
    except (OSError, ValueError):  # too long for a path
        return False


def finish(
    data: Mapping[str, Any],
    whole: Callable[[], Answer],
    html: Path | None,
    save: Path | None,
    as_json: bool,
    path: str,
    images: Sequence[str | bytes],
) -> Result:
    """Print an answer and write the files that the options name.

    Args:
        data: JSON form of the answer, without its images.
        whole: Gives the answer itself. To print plain values it is not needed, nor what it would import.
        html: File for the evidence.
        save: File for an answer that is an image.
        as_json: Whether the answer is printed as JSON, by the caller.
        path: What to call the program.
        images: Images as they were given.
    """
    from ..report.forms import is_plain, plain_words

    status, value = data["status"], data["value"]
    if status != "answered":
        say(f"{status}: {data['message']}")
    for caution in data["cautions"]:
        say(f"note: {caution}")
    plain_value = value is None or is_plain(value)
    if not as_json:
        from ..files.plain_text import plain

        ok = status in ("answered", "fallback")
        shown = "" if not ok else plain_words(value) if plain_value else str(whole())
        if sys.stdout.isatty():
            from .terminal import print_answer

            print_answer(data, shown, path)
        elif ok:
            print(plain(shown))
        elif data["diagnostics"]:
            from .terminal import print_findings

            with contextlib.redirect_stdout(sys.stderr):
                print_findings(data, path)
    written = html is None or write_page(whole().to_html(), html)
    if save is not None or not plain_value:
        written &= _save(whole(), save, images)
    return Result(data, 0 if status == "answered" and written else 1)


def type_of(returns: Returns | None) -> Any:
    """The Python type that `--returns` names."""
    from ..registry.types import answer_type

    return answer_type(None if returns is None else returns.value)


def ask_here(
    images: Sequence[str],
    question: str,
    returns: Returns | None = None,
    html: Path | None = None,
    save: Path | None = None,
    as_json: bool = False,
    *,
    seconds: float | None = None,
    **settings: Any,
) -> Result:
    """Ask in this process; a camera is recorded for `seconds`, and `settings` are further arguments of `open_agent`."""
    check_arguments(images, question)
    check_outputs({"--save": save, "--html": html}, images)
    given = with_cameras(with_standard_input(images), seconds)
    with open_agent(**settings) as agent, working("planning") as status, stdout_for_answer():
        answer = agent.ask(question, *given, returns=type_of(returns), on_event=listener(status))
    return finish(answer.to_json(pictures=False), lambda: answer, html, save, as_json, "program.py", images)


def listener(status: Status) -> RunStatus | None:
    """A listener that shows the events of a run; None if nobody would see them."""
    if not sys.stderr.isatty():
        return None
    from .terminal import RunStatus

    return RunStatus(status)


def ask_server(
    url: str,
    images: Sequence[str],
    question: str,
    returns: Returns | None,
    html: Path | None,
    save: Path | None,
    as_json: bool,
) -> Result:
    """Ask a server. For an answer in plain values, nothing that reads answers is imported."""
    from ..server.client import Client

    check_arguments(images, question)
    check_outputs({"--save": save, "--html": html}, images)
    sent = with_standard_input(images)
    evidence = not as_json or html is not None or save is not None
    wanted = "" if returns is None else returns.value
    with working("asking"):
        given = Client(url).ask(question, *sent, returns=wanted, evidence=evidence)

    @functools.cache
    def whole() -> Answer:
        from ..answer import Answer

        return Answer.from_json(given)

    data = {name: part for name, part in given.items() if name != "pictures"}
    return finish(data, whole, html, save, as_json, "program.py", sent)


def write_page(page: str, path: Path) -> bool:
    """Write a page of evidence, and print where. Whether it could be written."""
    from ..files.writing import write_text

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
    except OSError as error:
        say(f"cannot write the evidence to {path}: {error.strerror or error}")
        return False
    _notice(f"evidence: {path}")
    return True


def stdout_for_answer() -> contextlib.AbstractContextManager[Any]:
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

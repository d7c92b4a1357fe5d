"""Programs, one a file, with their verdict in the first line.

``# ok``, ``# rejected code``, ``# error Type`` or ``# killed limit``. A hostile program must come to its
verdict and leak nothing; a benign one must give what plain CPython gives.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import math
import textwrap
from pathlib import Path
from typing import Any

import pytest

from visprog.sandbox import Limits, Outcome, Sandbox

from .conftest import Image

CORPUS = Path(__file__).parent / "corpus"
HOSTILE = sorted((CORPUS / "hostile").glob("*.py"))
BENIGN = sorted((CORPUS / "benign").glob("*.py"))


def make_tools(image: Image) -> dict[str, Any]:
    from shapes import Box, Region

    def detect(image: Image, what: str) -> list[Region]:
        return [Region(Box(10 * i, 0, 11 * i + 1, 5), what, image) for i in range(3)]

    def echo(*args: Any, **kwargs: Any) -> Any:
        return args[0] if args else kwargs

    def fail(message: str) -> None:
        raise KeyError(message)

    return {"detect": detect, "echo": echo, "fail": fail}


def verdict(source: str) -> list[str]:
    return source.partition("\n")[0].removeprefix("# ").split(" ", 1)


def reached(outcome: Outcome) -> list[str | None]:
    detail: dict[str, list[str | None]] = {
        "ok": [],
        "rejected": [diagnostic.code for diagnostic in outcome.diagnostics],
        "error": [outcome.error_type],
        "killed": [outcome.limit],
    }
    return [outcome.status, *detail[outcome.status]]


@pytest.fixture(scope="module")
def outcomes() -> Any:
    """All outcomes: run several at a time, since most of the cost is starting workers."""
    image = Image(40, 30)
    files = [*HOSTILE, *BENIGN]
    jobs = [(path.read_bytes().decode("utf-8"), {"image": image}) for path in files]
    limits = Limits(cpu=3, grace=20)
    with Sandbox(limits, library="shapes:LIBRARY", standby=3) as sandbox:
        types = [(Image, ("width", "height", "root"))]
        results = sandbox.map(jobs, tools=make_tools(image), types=types, workers=3)
        return image, dict(zip(files, results, strict=True))


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.stem)
def test_hostile(path: Path, outcomes: Any) -> None:
    source = path.read_bytes().decode("utf-8")
    outcome = outcomes[1][path]
    assert set(verdict(source)) <= set(reached(outcome)), (reached(outcome), outcome.error)
    shown = f"{outcome.value!r} {outcome.error} {outcome.stdout} {[str(d) for d in outcome.diagnostics]}"
    for leak in ("Traceback", "/visprog/", "site-packages", "object at 0x"):
        assert leak not in shown
    assert outcome.truncated == path.stem.startswith("output-")
    assert outcome.level is not None
    if outcome.status == "rejected":
        assert outcome.diagnostics and outcome.calls == 0


@pytest.mark.parametrize("path", BENIGN, ids=lambda path: path.stem)
def test_benign(path: Path, outcomes: Any) -> None:
    source = path.read_text("utf-8")
    image, results = outcomes
    outcome: Outcome = results[path]
    expected = verdict(source)
    assert set(expected) <= set(reached(outcome)), (outcome.error, [str(d) for d in outcome.diagnostics])
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            value, raised = plain(source, image), None
        except Exception as error:
            value, raised = None, type(error).__name__
    assert raised == outcome.error_type
    assert outcome.value == value
    assert typed(outcome.value) == typed(value)
    assert outcome.stdout == printed.getvalue()


def typed(value: Any) -> Any:
    """A value's types at every depth: 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: (type(key).__name__, typed(item)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(typed, value)]
    return type(value).__name__


def plain(source: str, image: Image) -> Any:
    """What CPython makes of the program."""
    from shapes import LIBRARY

    names: dict[str, Any] = {
        **make_tools(image),
        **LIBRARY.names,
        "image": image,
        "Image": Image,
        "math": math,
    }
    try:
        exec(compile(source, "plain", "exec"), names)
    except SyntaxError:
        exec("def program():\n" + textwrap.indent(source, "    "), names)
        return names["program"]()
    if "result" in names:
        return names["result"]
    function = names.get("answer")
    if function is None:
        return None
    if "image" in inspect.signature(function).parameters:
        return function(image=image)
    return function(image)

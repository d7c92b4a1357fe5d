"""Command lines that are read without the parser of all commands: what they import, and that both read alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.small_tools import REGISTRY, FakePlanner, picture
from visprog import Agent
from visprog.cli import main
from visprog.commands import ask, quick
from visprog.commands.result import Result

HEAVY = {"numpy", "rich", "PIL", "torch", "typer", "click", "pydantic", "asyncio", "yaml"}
COUNT = 'def answer(image):\n    return [len(detect(image, "dog")), 0.5, True, "a", []]\n'


@pytest.fixture(scope="module")
def replies() -> dict[str, Any]:
    """The JSON form of an answer, which the server below gives to everyone."""
    with Agent(FakePlanner(COUNT), registry=REGISTRY) as agent:
        return agent.ask("How many?", picture()).to_json(pictures=False)


@pytest.fixture(scope="module")
def url(replies: dict[str, Any]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(replies).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def imported(*arguments: str) -> tuple[set[str], str]:
    """The modules that a command imports in a process of its own, and what it prints."""
    code = (
        "import sys; from visprog.cli import main; code = main(); "
        "print(*sys.modules, file=sys.stderr); raise SystemExit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split()), done.stdout


@pytest.mark.parametrize("form", [["--json"], []])
def test_asking_a_server_imports_little(url: str, tmp_path: Path, form: list[str]) -> None:
    picture().save(tmp_path / "a.png")
    names, printed = imported("ask", str(tmp_path / "a.png"), "How many?", "--server", url, *form)
    assert not names & HEAVY
    value = [2, 0.5, True, "a", []]
    assert json.loads(printed)["value"] == value if form else printed == "2, 0.5, yes, a, nothing\n"


def test_the_version_imports_little() -> None:
    names, printed = imported("--version")
    assert not names & (HEAVY | {"http.client"}) and printed.count(".") == 2


SERVER = ["--server", "http://127.0.0.1:1"]


@pytest.mark.parametrize(
    ("arguments", "is_quick"),
    [
        (["a.png", "How many?", *SERVER], True),
        (["a.png", "b.png", "How many?", "--json", *SERVER], True),
        ([*SERVER, "--json", "a.png", "How many?"], True),
        (["a.png", "--server=http://127.0.0.1:1", "How many?"], True),
        (["-", "How many?", "--returns", "int", *SERVER], True),
        (["a.png", "How many?", "--returns=list", "--html", "x/y.html", "--save", "z.png", *SERVER], True),
        (["a.png", "How many?", "--server", "http://127.0.0.1:2", *SERVER], True),
        (["a.png", "How many?", "--html=", *SERVER], True),
        (["a.png", "", *SERVER], True),
        (["--", "a.png", "-5 or more?", *SERVER], False),
        (["a.png", *SERVER, "--", "-5 or more?"], False),
        (["a.png", "How many?", "--planner", "embedded", *SERVER], False),
        (["a.png", "How many?", "--returns", "dict", *SERVER], False),
        (["a.png", "How many?", "--json=1", *SERVER], False),
        (["a.png", "How many?", "--serv", "http://127.0.0.1:1"], False),
        (["a.png", "How many?", "--server"], False),
        (["a.png", "How many?", "--server", ""], True),
        (["a.png", "How many?", "-x", *SERVER], False),
        (["a.png", "How many?", "--help", *SERVER], False),
        (["a.png", *SERVER], False),
        (SERVER, False),
        (["a.png", "How many?"], True),
        (["a.png", "How many?", "--json", "--returns", "bool", "--save", "x.png"], True),
        (["a.png", "How many?", "--votes", "3"], False),
    ],
)
def test_both_parsers_read_alike(
    arguments: list[str],
    is_quick: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What the quick one reads it reads as the other does; the rest it leaves alone."""
    monkeypatch.delenv("VISPROG_SERVER", raising=False)
    calls: list[tuple[Any, ...]] = []

    def noted(*given: Any) -> Result:
        calls.append(given)
        return Result({})

    def noted_here(*given: Any, **settings: Any) -> Result:
        assert not any(settings.values())
        return noted("here", *given)

    for module in (quick, ask):
        monkeypatch.setattr(module, "ask_server", noted)
        monkeypatch.setattr(module, "ask_here", noted_here)
    read = quick.quick(["ask", *arguments])
    assert (read is not None) == is_quick
    if is_quick:
        monkeypatch.setattr("visprog.cli.quick", lambda arguments: None)
        assert main(["ask", *arguments]) == 0
        assert calls[0] == calls[1]


def test_the_server_may_be_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []
    monkeypatch.setattr(quick, "ask_server", lambda *given: calls.append(given) or Result({}))
    monkeypatch.setenv("VISPROG_SERVER", "http://127.0.0.1:1")
    assert quick.quick(["ask", "a.png", "How many?"]) and calls[0][0] == "http://127.0.0.1:1"
    monkeypatch.setattr(quick, "ask_here", lambda *given: calls.append(given) or Result({}))
    monkeypatch.setenv("VISPROG_SERVER", "")
    assert quick.quick(["ask", "a.png", "How many?"]) and calls[1][0] == ["a.png"]


@pytest.mark.parametrize(
    "arguments", [[], ["ask"], ["run", "a.py", "a.png"], ["--help"], ["--version", "ask"]]
)
def test_every_other_command_is_left_alone(arguments: list[str]) -> None:
    assert quick.quick(arguments) is None


@pytest.mark.parametrize("given", ["", "2"])
def test_threads_of_numpy_are_for_this_process_alone(given: str) -> None:
    code = (
        "import os; from visprog.commands.settings import _import_numpy; _import_numpy()\n"
        "print(os.environ.get('OPENBLAS_NUM_THREADS', ''))"
    )
    variables = {key: value for key, value in os.environ.items() if key != "OPENBLAS_NUM_THREADS"}
    variables |= {"OPENBLAS_NUM_THREADS": given} if given else {}
    done = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True)
    assert done.stdout.strip() == given, done.stderr


def test_no_process_outlives_a_command(tmp_path: Path) -> None:
    variables = {**os.environ, "TMPDIR": str(tmp_path)}
    image = tmp_path / "image.png"
    picture().save(image)
    for question in ("How many circles are there?", "Why?"):
        command = [sys.executable, "-m", "visprog", "ask", str(image), question]
        subprocess.run(command, env=variables, capture_output=True, timeout=60)
    assert [path for path in tmp_path.iterdir() if path != image] == []

"""`visprog ask --server` beside `visprog ask`: the same output, the same exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("python_multipart")

from tests.server.serving import PLAN, TOOLS, Served, start, stop
from tests.small_tools import picture
from visprog.cli import main


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = start(tmp_path_factory.mktemp("serve"), "--workers", "1")
    yield made
    stop(made)


@pytest.fixture
def dark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, served: Served) -> str:
    """An image, in a folder with the settings of the server."""
    for name in [n for n in os.environ if n.startswith("VISPROG_") and n != "VISPROG_SHARED"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    Path("serve_tools.py").write_text(TOOLS)
    Path("plan.py").write_text(PLAN)
    Path("own.toml").write_text('planner = "replay:plan.py"\nextra_tools = ["serve_tools"]\n')
    monkeypatch.setenv("VISPROG_CONFIG", "own.toml")
    monkeypatch.syspath_prepend(tmp_path)
    picture(30, 20, 9).save("dark.png")
    return "dark.png"


def without_time(text: str) -> list[str]:
    return [line.partition(" s · ")[2] or line for line in text.splitlines()]


def without_seconds(data: dict[str, Any]) -> dict[str, Any]:
    """The JSON form of an answer without times, and without what the cache of a server changes."""

    def timeless(part: dict[str, Any]) -> dict[str, Any]:
        calls = [{**call, "seconds": 0, "cached": False} for call in part["trace"]]
        return {**part, "seconds": 0, "trace": calls}

    return {**timeless(data), "steps": [timeless(step) for step in data["steps"]]}


def test_output_is_the_same(served: Served, dark: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["--json"], ["--returns", "str"], ["--returns", "str", "--json"]):
        local = main(["ask", dark, "How dark?", *arguments]), capsys.readouterr()
        asked = main(["ask", dark, "How dark?", *arguments, "--server", served.url]), capsys.readouterr()
        assert local[0] == asked[0] == int("str" in arguments)
        if "--json" in arguments:
            both = [without_seconds(json.loads(captured.out)) for _, captured in (local, asked)]
            assert both[0] == both[1]
        else:
            assert without_time(local[1].out) == without_time(asked[1].out)
        assert local[1].err == asked[1].err


def test_evidence_and_images_are_returned(
    served: Served, dark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ask", dark, "?", "--server", served.url, "--html", "evidence.html"]) == 0
    assert (
        "<html" in Path("evidence.html").read_text() and "evidence: evidence.html" in capsys.readouterr().err
    )
    assert main(["ask", dark, "?", "--server", served.url, "--save", "no.png"]) == 1
    assert "not an image" in capsys.readouterr().err and not Path("no.png").exists()


def test_a_mistake_gets_one_message(
    served: Served, dark: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISPROG_SERVER", "http://127.0.0.1:9")
    assert main(["ask", dark, "?"]) == 1
    assert "start one with 'visprog serve'" in capsys.readouterr().err
    monkeypatch.setenv("VISPROG_SERVER", served.url)
    assert main(["ask", "nothing.png", "?"]) == 1
    assert "no such file: nothing.png" in capsys.readouterr().err
    assert main(["ask", dark, "?", "--planner", "embedded"]) == 2
    assert "give the settings to visprog serve" in capsys.readouterr().err
    assert main(["ask", dark, "?"]) == 0

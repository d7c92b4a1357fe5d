"""`visprog eval` as it is typed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from visprog import cli
from visprog.evaluation.benchmark import BENCHMARKS
from visprog.evaluation.models.benchmark import MODEL_BENCHMARKS

from .conftest import png

PROGRAM = "def answer(image):\n    return image.width > 10\n"


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Three images with a question each; the last is not an image."""
    for number, data in enumerate((png(8), png(12), b"broken")):
        (tmp_path / f"{number}.png").write_bytes(data)
    path = tmp_path / "questions.csv"
    path.write_text("image,question,answer\n0.png,Wide?,no\n1.png,Wide?,yes\n2.png,Wide?,yes\n")
    (tmp_path / "programs.jsonl").write_text(json.dumps({"question": "Wide?", "program": PROGRAM}))
    return path


def test_a_benchmark_and_its_comparison(questions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, planner = questions.parent / "run", f"replay:{questions.parent / 'programs.jsonl'}"
    command = ["eval", "csv", str(questions), "--planner", planner, "-o", str(folder)]
    assert cli.main([*command, "--limit", "2", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["status"], printed["questions"], printed["metrics"]["accuracy"]["value"]) == ("ok", 2, 1)
    assert cli.main(command) == 0
    out = capsys.readouterr()
    assert "csv · 3 questions" in out.out and "66.7" in out.out and "report.html" in out.out
    assert "3 of 3" in out.err
    assert {f.name for f in folder.iterdir()} == {
        "run.json", "results.jsonl", "evidence.jsonl", "summary.json", "report.html"
    }  # fmt: skip
    assert cli.main(["eval", "compare", str(folder), str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["right"]["both"] == 2


def test_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(BENCHMARKS) + len(MODEL_BENCHMARKS) and all(
        len(line.split()) > 3 for line in lines
    )


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [(["eval"], 2, "eval BENCHMARK DATA"), (["eval", "csv"], 2, "eval BENCHMARK DATA"),
     (["eval", "gqq", "x"], 1, "did you mean 'gqa'"), (["eval", "gqa", "nowhere"], 1, "there is no nowhere"),
     (["eval", "compare", "nowhere", "nowhere"], 1, "not the folder of an evaluation")],
)  # fmt: skip
def test_what_is_wrong_is_said(
    arguments: list[str], code: int, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == code
    assert why in capsys.readouterr().err


def test_an_interrupt_says_how_to_resume(questions: Path) -> None:
    rows = "".join(f"1.png,Wide?,yes,{n}\n" for n in range(500))
    questions.write_text("image,question,answer,id\n" + rows)
    folder = questions.parent / "run"
    script = (
        "import signal, sys; from visprog.cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # ignored by what starts in the background
        "sys.exit(main())"
    )
    command = [sys.executable, "-c", script, "eval", "csv", str(questions), "-o", str(folder)]
    planner = ["--planner", f"replay:{questions.parent / 'programs.jsonl'}"]
    process = subprocess.Popen(
        [*command, *planner], stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    results = folder / "results.jsonl"
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not (results.exists() and results.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=90)
    assert process.returncode == cli.INTERRUPTED
    assert "run the same command again" in error
    kept = [json.loads(line)["id"] for line in results.read_text().splitlines()]
    assert kept == [str(n) for n in range(len(kept))] and kept

"""`visprog map`: what it prints, writes and returns."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.small_tools import picture
from visprog import cli
from visprog.mapping.results import Results
from visprog.values.image import Image

ROOT = Path(__file__).resolve().parents[2]
WIDE = "def answer(image):\n    return image.width > 20\n"
HALF = "def answer(image):\n    return crop(image, Box(0, 0, image.width / 2, 16))\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with five images, one of them broken, a program, and recorded programs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pictures").mkdir()
    for i in range(5):
        picture(16 + 2 * i, 16).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "pictures" / "1.png").write_bytes(b"")
    (tmp_path / "wide.py").write_text(WIDE)
    (tmp_path / "plans.jsonl").write_text(json.dumps({"question": "Is it wide?", "program": WIDE}))
    return tmp_path


def call(*arguments: str) -> int:
    return cli.main(["map", *arguments])


def answers(path: Path) -> dict[str, Any]:
    return {row["image"]: row["value"] for row in map(json.loads, path.read_text().splitlines())}


EXPECTED = {"0.png": False, "1.png": None, "2.png": False, "3.png": True, "4.png": True}


def test_a_folder_is_answered(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = call("Is it wide?", "pictures", "--planner", "replay:plans.jsonl", "--jobs", "2", "-o", "r.jsonl")
    out = capsys.readouterr().out
    assert code == 0 and answers(here / "r.jsonl") == EXPECTED
    assert out.startswith("5 images in ") and ": 4 answered, 1 error\nr.jsonl\n" in out
    assert call("Is it wide?", "pictures", "--planner", "replay:nothing.jsonl", "-o", "r.jsonl") == 1
    # What is there needs no planner that works: the program is in the file.
    picture(40, 16).save(here / "pictures" / "5.png")
    assert call("Is it wide?", "pictures", "-o", "r.jsonl", "--jobs", "1") == 0
    assert answers(here / "r.jsonl") == {**EXPECTED, "5.png": True}
    assert "; 5 were there before" in capsys.readouterr().out


def test_json_is_one_object(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("", "pictures", "--program", "wide.py", "--limit", "2", "--jobs", "1", "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["status"], data["images"], data["answered"], data["errors"]) == ("ok", 2, 1, 1)
    assert (data["output"], data["program"], data["batches"]) == ("results.jsonl", WIDE, {})
    assert call("", "pictures", "--program", "wide.py", "--jobs", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["there_before"] == 2


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["", "pictures"], "the question is empty", 2),
        (["Is it wide?", "pictures", "--program", "wide.py", "--plan-each"], "either one program", 2),
        (["Is it wide?", "nowhere", "--program", "wide.py"], "there is no folder nowhere", 1),
        (["Is it wide?", "pictures", "--program", "none.py"], "cannot read the program none.py", 1),
        (["Is it wide?", "pictures", "-o", "r.txt"], "ends in .jsonl, .csv, .parquet", 1),
        (["Is it wide?"], "Missing argument 'FOLDER'", 2),
    ],
)
def test_slips_are_named(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, code: int
) -> None:
    assert call(*arguments) == code
    assert message in capsys.readouterr().err
    assert not (here / "r.txt").exists() and not (here / "results.jsonl").exists()


def test_another_program_is_not_mixed_in(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("", "pictures", "--program", "wide.py", "--jobs", "1") == 0
    (here / "wide.py").write_text(WIDE.replace("20", "10"))
    assert call("", "pictures", "--program", "wide.py") == 1
    assert "holds the answers of another program: name another file" in capsys.readouterr().err


def test_a_recorded_run_is_replayed(here: Path) -> None:
    plan = ("--planner", "replay:plans.jsonl", "--jobs", "2")
    assert call("Is it wide?", "pictures", "-o", "a.jsonl", "--record", "run", *plan) == 0
    assert call("Is it wide?", "pictures", "-o", "b.jsonl", "--replay", "run", "--jobs", "2") == 0
    assert answers(here / "a.jsonl") == answers(here / "b.jsonl") == EXPECTED


SLOW = """
import signal, sys, time
from visprog import cli
from visprog.registry import tool
from visprog.values.image import Image

@tool
def wait(image: Image) -> int:
    "Takes its time."
    time.sleep(0.2)
    return 1

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored by what is started in the background
    sys.modules["slow"] = sys.modules["__main__"]
    sys.exit(cli.main(sys.argv[1:]))
"""


def test_interrupted_it_keeps_what_there_is(here: Path) -> None:
    (here / "slow.py").write_text(SLOW)
    (here / "wait.py").write_text("def answer(image):\n    return wait(image)\n")
    for i in range(5, 40):
        picture(16, 16, i).save(here / "pictures" / f"{i:02}.png")
    command = [
        sys.executable,
        "slow.py",
        "map",
        "",
        "pictures",
        "--program",
        "wait.py",
        "--tools",
        "slow:wait",
    ]
    with subprocess.Popen(
        [*command, "--jobs", "2"], cwd=here, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as client:  # fmt: skip
        results = here / "results.jsonl"
        while client.poll() is None and not (results.exists() and results.read_bytes().count(b"\n") > 3):
            client.send_signal(0)
        client.send_signal(signal.SIGINT)
        error = client.communicate(timeout=60)[1]
    kept = len(results.read_text().splitlines())
    assert client.returncode == 130 and 4 <= kept < 40
    assert f"interrupted: {kept} answers are kept; run the same command again to resume" in error


def test_answers_that_are_images_are_saved(here: Path) -> None:
    (here / "half.py").write_text(HALF)
    assert call("", "pictures", "--program", "half.py", "--save", "halves", "--jobs", "2") == 0
    assert {p.name: Image.open(p).width for p in (here / "halves").iterdir()} == {
        f"{i}.png.png": 8 + i for i in (0, 2, 3, 4)
    }


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("save", ["pictures", "pictures/out", "link", "out/../pictures", "link/out"])
def test_answers_are_not_saved_among_the_images(
    here: Path, capsys: pytest.CaptureFixture[str], save: str
) -> None:
    (here / "half.py").write_text(HALF)
    (here / "link").symlink_to("pictures")
    before = files(here)
    assert call("", "pictures", "--program", "half.py", "--save", save, "--jobs", "1") == 1
    assert "name another folder" in capsys.readouterr().err
    assert files(here) == before


def test_an_answer_that_cannot_be_saved_is_an_error_of_its_image(here: Path) -> None:
    (here / "half.py").write_text(HALF)
    (here / "out").mkdir()
    (here / "out" / "2.png.png").write_bytes(b"mine")
    assert call("", "pictures", "--program", "half.py", "--save", "out", "--jobs", "2") == 0
    rows = {r["image"]: r for r in map(json.loads, (here / "results.jsonl").read_text().splitlines())}
    assert "2.png.png holds something else: name another folder" in rows["2.png"]["message"]
    assert (rows["2.png"]["status"], rows["3.png"]["status"]) == ("error", "answered")
    assert (here / "out" / "2.png.png").read_bytes() == b"mine"
    (here / "out" / "2.png.png").unlink()
    assert call("", "pictures", "--program", "half.py", "--save", "out", "--jobs", "2", "--retry") == 0
    assert sorted(p.name for p in (here / "out").iterdir()) == [f"{i}.png.png" for i in (0, 2, 3, 4)]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--program", "r.csv", "-o", "r.csv"],
        ["--program", "r.csv.jsonl", "-o", "r.csv"],
        ["--program", "link.jsonl", "-o", "r.jsonl"],
        ["--planner", "replay:r.jsonl", "-o", "r.jsonl"],
        ["--config", "r.jsonl", "-o", "r.jsonl", "--program", "wide.py"],
        ["--record", "pictures/recorded", "--program", "wide.py"],
    ],
)
def test_what_is_read_is_not_written(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    for name in ("r.csv", "r.csv.jsonl", "r.jsonl"):
        (here / name).write_text(WIDE)
    (here / "link.jsonl").symlink_to("r.jsonl")
    before = files(here)
    assert call("Is it wide?", "pictures", *arguments) == 1
    assert "name another" in capsys.readouterr().err
    assert files(here) == before


def test_files_that_are_left_out_are_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("x.heic", "y.HEIC", "z.svg", "Thumbs.db", ".DS_Store"):
        (here / "pictures" / name).write_bytes(b"?")
    assert call("", "pictures", "--program", "wide.py", "--jobs", "1", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["left_out"] == {".heic": 2, ".svg": 1}
    assert "3 files left out, no images that can be read: 2 .heic (x.heic …), 1 .svg (z.svg)" in " ".join(
        printed.err.split()
    )


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_names_that_are_not_utf8_are_written_and_resumed(here: Path, ending: str) -> None:
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    odd = os.fsencode(here / "pictures") + b"/caf\xe9.png"
    os.rename(here / "pictures" / "3.png", odd)
    for there in (0, 5):
        assert call("", "pictures", "--program", "wide.py", "-o", f"r.{ending}", "--jobs", "1") == 0
        with Results(here / f"r.{ending}", "") as results:
            assert len(results) == 5 and not len(results.missing("pictures")), there


@pytest.mark.timeout(60)
def test_special_files_are_errors_of_their_own(here: Path) -> None:
    os.mkfifo(here / "pictures" / "pipe.png")
    os.mkfifo(here / "pictures" / "pipe")
    (here / "pictures" / "zero.png").symlink_to("/dev/zero")
    (here / "pictures" / "zero").symlink_to("/dev/zero")
    (here / "pictures" / "nowhere.png").symlink_to("nothing")
    (here / "pictures" / "loop.png").symlink_to("loop.png")
    with (here / "pictures" / "huge.png").open("wb") as huge:
        huge.truncate(1 << 40)
    assert call("", "pictures", "--program", "wide.py", "--jobs", "2") == 0
    rows = {r["image"]: r for r in map(json.loads, (here / "results.jsonl").read_text().splitlines())}
    special = {"pipe.png", "zero.png", "nowhere.png", "loop.png", "huge.png"}
    assert rows.keys() == EXPECTED.keys() | special
    assert all(rows[name]["status"] == "error" for name in special)

"""`visprog map` over a folder of clips: the broken ones, resuming, and what counts as a folder of videos."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from tests.video_files import frame, write_video
from visprog import cli
from visprog.mapping.map import sources
from visprog.values.video import is_video

pytest.importorskip("av", reason="videos need the extra 'video'")

SECONDS = "def answer(video):\n    return round(video.duration)\n"


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three clips, an animation and two files that are none, in the working folder."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "clips"
    folder.mkdir()
    for seconds in (1, 2, 3):
        write_video(folder / f"{seconds}.mp4", lambda t: [(10 * t, 30, (220, 30, 30))], seconds)
    write_video(folder / "4.gif", lambda t: [(10 * t, 30, (220, 30, 30))], 4, codec="gif")
    (folder / "broken.mp4").write_bytes((folder / "1.mp4").read_bytes()[:3000])
    (folder / "text.mp4").write_text("no video")
    (tmp_path / "seconds.py").write_text(SECONDS)
    return folder


def rows(path: str = "r.jsonl") -> dict[str, dict[str, Any]]:
    return {row["image"]: row for row in map(json.loads, Path(path).read_text().splitlines())}


def test_clips_are_answered_and_broken_ones_are_errors_of_their_own(
    clips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["map", "", "clips", "--program", "seconds.py", "-o", "r.jsonl", "--limit", "2"]) == 0
    assert len(rows()) == 2
    assert cli.main(["map", "", "clips", "--program", "seconds.py", "-o", "r.jsonl"]) == 0
    assert "4 videos in " in (out := capsys.readouterr().out) and "2 were there before" in out
    found = rows()
    values = {name: row["value"] for name, row in found.items()}
    assert values == {"1.mp4": 1, "2.mp4": 2, "3.mp4": 3, "4.gif": 4, "broken.mp4": None, "text.mp4": None}
    for name in ("broken.mp4", "text.mp4"):
        assert found[name]["status"] == "error" and "cannot be read as a video" in found[name]["message"]


def test_a_question_is_planned_for_videos(clips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["map", "How long is the video?", "clips", "-o", "r.jsonl", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["answered"], summary["errors"]) == (4, 2) and "def answer(video)" in summary["program"]
    assert rows()["2.mp4"]["value"] == pytest.approx(2, abs=0.1)


def test_a_folder_with_a_still_image_is_one_of_images(clips: Path) -> None:
    assert sources(clips).are_videos and sources(clips).first(1).are_videos
    PIL.Image.fromarray(frame([])).save(clips / "still.gif")
    found = sources(clips)
    assert not found.are_videos and [each.name for each in found] == ["4.gif", "still.gif"]
    assert "left out, no images that can be read: 5 .mp4" in found.notice


def test_a_file_that_is_called_a_video(clips: Path, tmp_path: Path) -> None:
    assert is_video(clips / "text.mp4") and is_video(str(tmp_path / "missing.mp4"))
    PIL.Image.fromarray(frame([])).save(tmp_path / "photo.png")
    (tmp_path / "photo.png").rename(tmp_path / "photo.mp4")
    assert not is_video(tmp_path / "photo.mp4")

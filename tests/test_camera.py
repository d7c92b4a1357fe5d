"""Cameras: recorded by a confined process, here from sources of FFmpeg that need no device."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.video_files import write_video
from visprog import camera as camera_module
from visprog.agent import Agent
from visprog.camera import open_camera
from visprog.cli import main
from visprog.errors import ImageError
from visprog.files import limits as limits_module
from visprog.files.limits import SizeLimits
from visprog.runtime.processes import camera as process_module
from visprog.values.video import Video

av = pytest.importorskip("av", reason="videos need the extra 'video'")
pytestmark = pytest.mark.skipif(
    "lavfi" not in av.formats_available, reason="this FFmpeg has no sources without a device"
)

Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Has a source of FFmpeg taken for every camera."""

    def use_source(source: str, format: str = "lavfi") -> None:
        monkeypatch.setattr(camera_module, "_device", lambda which: (source, format, {}))

    return use_source


def test_what_a_camera_shows_is_a_video_of_so_many_seconds(use: Use) -> None:
    box = "between(X,floor(T)*40,floor(T)*40+20)"
    use(f"color=size=161x119:rate=10,format=gbrp,geq=r='if({box},0,255)':g=0:b='if({box},255,0)'")
    video = open_camera(0, seconds=3)
    assert (video.width, video.height, video.name) == (161, 119, "camera 0")
    assert video.duration == pytest.approx(3, abs=0.2)
    assert [f.time for f in video.frames(1)][:3] == pytest.approx([0, 1, 2], abs=0.11)
    for second in range(3):
        red, _, blue = video.at(second + 0.5).pixels[50, second * 40 + 10].astype(int)
        assert blue > 200 and red < 60
    assert video.at(0.5).pixels[50, 100].tolist() == pytest.approx([254, 0, 0], abs=12)


def test_a_program_and_an_answer_see_a_video_like_any_other(use: Use) -> None:
    use("testsrc=size=96x64:rate=10")
    with Agent() as agent:
        answer = agent.run(
            "def answer(video):\n    return len(video.frames(every=1))\n", open_camera(0, seconds=3)
        )
    assert answer.value in (3, 4)


@pytest.mark.parametrize("given", [["camera:0"], "camera:0"])
def test_no_text_opens_a_camera(given: object, use: Use) -> None:
    use("testsrc")
    with (
        Agent(in_process=True) as agent,
        pytest.raises(ImageError, match="is a camera: say for how many seconds"),
    ):
        agent.run("def answer(video):\n    return video.duration\n", given)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="no such file"):
        Video.open("camera:0")


def test_a_camera_that_stops_or_shows_nothing(use: Use) -> None:
    use("testsrc=size=96x64:rate=10:duration=1.5")
    with pytest.raises(ImageError, match=r"camera 0 stopped after 1\.4 s, and 5 s were to be recorded"):
        open_camera(0, seconds=5)
    use("sine")
    with pytest.raises(ImageError, match=r"^camera 0 .*"):
        open_camera(0, seconds=1)
    use("nonsense")
    with pytest.raises(ImageError, match="camera 0 cannot be read"):
        open_camera(0, seconds=1)


def test_a_camera_that_delivers_no_more_is_given_up(
    use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_video(tmp_path / "clip.mkv", lambda t: [(20 * t, 40, (220, 30, 30))], 3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    ended = threading.Event()

    def deliver() -> None:
        with pipe.open("wb") as file:
            file.write(clip.read_bytes()[:-2000])
            file.flush()
            ended.wait(30)

    threading.Thread(target=deliver, daemon=True).start()
    use(str(pipe), "matroska")
    monkeypatch.setattr(process_module, "START_SECONDS", -1.0)
    with pytest.raises(ImageError, match="camera 0 cannot be read: it has not delivered 4 s after 3 s"):
        open_camera(0, seconds=4)
    ended.set()


def test_limits(use: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    use("testsrc=size=320x240:rate=30")
    for seconds in (0, -1, float("nan"), 1e6):
        with pytest.raises(ImageError, match="recorded for more than 0 s and at most"):
            open_camera(0, seconds=seconds)
    with pytest.raises(ImageError, match="320 x 240 pixels, more than 1,000"):
        open_camera(0, seconds=1, max_pixels=1000)
    monkeypatch.setattr(limits_module, "_in_force", SizeLimits(video_bytes=10_000))
    with pytest.raises(ImageError, match="video_bytes"):
        open_camera(0, seconds=3)


@pytest.mark.skipif(sys.platform != "linux", reason="names of devices are those of Linux")
@pytest.mark.parametrize("which", [71, "71", "camera:71", "/etc/passwd", "/dev/none", "a\0b", ""])
def test_a_missing_camera_is_named(which: int | str) -> None:
    with pytest.raises(ImageError, match=r"there is no camera '.*is no device\)") as missing:
        open_camera(which, seconds=1)
    assert "\n" not in str(missing.value)


@pytest.mark.skipif(sys.platform != "linux", reason="names of devices are those of Linux")
def test_a_device_that_is_no_camera_is_opened_in_the_confined_process() -> None:
    with pytest.raises(ImageError, match="camera /dev/null cannot be read: Inappropriate ioctl"):
        open_camera("/dev/null", seconds=1)


@pytest.mark.skipif(sys.platform != "linux", reason="confinement is that of Linux")
def test_the_process_opens_its_device_alone(use: Use, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mkv", lambda t: [], 2)
    with av.open(f"movie={other}", format="lavfi") as here:
        assert here.streams.video
    use(f"movie={other}")  # a filter that reads a file
    with pytest.raises(ImageError, match="camera 0 cannot be read"):
        open_camera(0, seconds=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ask", "camera:0", "How long?"], "say for how many seconds it is recorded, such as --for 10"),
        (["ask", "a.jpg", "How many?", "--for", "3"], "--for says for how many seconds a camera is recorded"),
        (["ask", "camera:0", "a.jpg", "How many?", "--for", "3"], "give one camera, and nothing else"),
        (["ask", "camera:0", "How long?", "--for", "0"], "recorded for more than 0 s"),
        (
            ["ask", "camera:0", "How long?", "--for", "3", "--server", "http://127.0.0.1:1"],
            "not for a server",
        ),
        (["ask", "camera:0"], "an image and a question are needed"),
    ],
)
def test_command_lines_that_are_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) != 0
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_question_about_a_camera(use: Use, capsys: pytest.CaptureFixture[str]) -> None:
    use("testsrc=size=96x64:rate=10")
    assert main(["ask", "camera:0", "How long is the video?", "--for", "2"]) == 0
    assert float(capsys.readouterr().out) == pytest.approx(2, abs=0.2)


def test_the_recording_leaves_no_file(use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    use("testsrc=size=96x64:rate=10")
    video = open_camera(0, seconds=1)
    assert not list(tmp_path.iterdir()) and isinstance(video.at(0.5).pixels, np.ndarray)

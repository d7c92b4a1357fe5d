"""Videos decoded in a process that is confined: it is handed the open file, and can open no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.video_files import write_video
from visprog.errors import ImageError
from visprog.runtime.processes.video_decoder import VideoDecoderProcesses
from visprog.values import Video
from visprog.values.elsewhere import decode_videos_with, video_decoder

pytest.importorskip("av", reason="videos need the extra 'video'")


@pytest.fixture(scope="module")
def processes() -> Iterator[VideoDecoderProcesses]:
    made = VideoDecoderProcesses()
    yield made
    made.pool.close()


@pytest.fixture
def elsewhere(processes: VideoDecoderProcesses) -> Iterator[VideoDecoderProcesses]:
    before = video_decoder()
    decode_videos_with(processes)
    yield processes
    decode_videos_with(before)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(
        tmp_path_factory.mktemp("video") / "clip.mp4", lambda t: [(20 * t, 40, (220, 30, 30))], 3
    )


def test_frames_are_the_same_as_here(elsewhere: VideoDecoderProcesses, clip: Path) -> None:
    there = Video.open(clip)
    found = there.frames(0.25)
    decode_videos_with(None)
    here = Video.open(clip).frames(0.25)
    assert [f.time for f in found] == [f.time for f in here]
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(found, here, strict=True))


def test_several_videos_at_once(elsewhere: VideoDecoderProcesses, clip: Path, tmp_path: Path) -> None:
    other = write_video(tmp_path / "other.mp4", lambda t: [(100 - 20 * t, 40, (30, 30, 220))], 3)
    one, two = Video.open(clip), Video.open(other)
    for time in (0.0, 2.0, 1.0):
        reds = [video.at(time).pixels[..., 0] > 180 for video in (one, two)]
        assert reds[0].sum() > 300 and not reds[1].any()
    assert elsewhere.pool.processes() == {"video decoder": 1}


def test_the_process_is_confined(elsewhere: VideoDecoderProcesses, clip: Path) -> None:
    Video.open(clip)
    with elsewhere.pool.process(elsewhere.group, 0) as process:
        assert process.how["no_new_privs"] and process.how["seccomp"]


def test_errors_come_back(elsewhere: VideoDecoderProcesses, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom" + bytes(range(256)) * 8)
    with pytest.raises(ImageError, match=r"bad\.mp4 cannot be read as a video"):
        Video.open(path)


def test_what_a_decoder_says_is_checked(elsewhere: VideoDecoderProcesses, clip: Path) -> None:
    class Liar:
        def __call__(self, calls: object) -> list[object]:
            return [[["a", 1, 2, 3], []]]

        def interrupt(self, thread: int) -> None:
            pass

    elsewhere._decoder = Liar()  # type: ignore[assignment]
    try:
        with pytest.raises(ImageError, match="broke the protocol"):
            Video.open(clip)
    finally:
        elsewhere.__init__()  # type: ignore[misc]

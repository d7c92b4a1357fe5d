"""Files as phones, cameras, browsers and accidents make them: each is read right, or refused in a clear sentence."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from tests.video_files import SIDE, frame
from visprog.agent import Agent
from visprog.errors import ImageError
from visprog.values import Video
from visprog.values.image import Image
from visprog.values.video import is_video

av = pytest.importorskip("av", reason="videos need the extra 'video'")

TIMES = [i / 25 for i in range(75)]
CODECS: set[str] = {"libx264", "libx265"} & av.codecs_available
needs_h264 = pytest.mark.skipif("libx264" not in CODECS, reason="this FFmpeg does not encode H.264")


def moving(time: float) -> NDArray[np.uint8]:
    """A frame with a red square that goes 20 pixels to the right per second."""
    return frame([(20 * time, 40, (220, 30, 30))])


def left_of_square(image: Image) -> float:
    red = (image.pixels[..., 0] > 150) & (image.pixels[..., 1] < 90)
    return float(np.flatnonzero(red.sum(0) > SIDE / 3)[0])


def write(
    path: Path,
    times: Sequence[float] = TIMES,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    pixels: Callable[[float], NDArray[np.uint8]] = moving,
    characteristics: int = 0,
    **options: str,
) -> Path:
    """A video of frames that are shown at these times, to the millisecond."""
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = pixels(0).shape[:2]
        stream.pix_fmt, stream.codec_context.time_base = pix_fmt, Fraction(1, 1000)
        stream.bit_rate = 4_000_000
        if characteristics:
            stream.codec_context.color_trc = characteristics
        for time in times:
            each: Any = av.VideoFrame.from_ndarray(pixels(time), format="rgb24").reformat(format=pix_fmt)
            each.pts, each.time_base = round(1000 * time), Fraction(1, 1000)
            made.mux(stream.encode(each))
        made.mux(stream.encode())
    return path


def is_right(video: Video, starts: float = 0.0) -> bool:
    """Whether it has three seconds, and the square is where it should be at each time, forth and back."""
    assert video.duration == pytest.approx(3, abs=0.07)
    for time in (0.0, 0.5, 1.0, 2.0, 2.9, 1.5, 0.0):
        at = video.at(time)
        assert at.time == pytest.approx(time, abs=0.05)
        assert left_of_square(at) == pytest.approx(20 * (starts + at.time), abs=1.5)
    return True


@needs_h264
@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "mov"])
@pytest.mark.parametrize("starts", [0.0, 2.0])
def test_b_frames_and_a_start_that_is_not_zero(ending: str, starts: float, tmp_path: Path) -> None:
    path = write(tmp_path / f"a.{ending}", [starts + t for t in TIMES], bf="3", g="12")
    assert is_right(Video.open(path), starts)


@needs_h264
def test_a_file_that_was_cut_off_ends_there_and_says_so(tmp_path: Path) -> None:
    data = write(tmp_path / "whole.mkv", g="12").read_bytes()
    path = tmp_path / "cut.mkv"
    path.write_bytes(data[: len(data) // 2])
    video = Video.open(path)
    assert 0.4 < video.duration < 2 and video.at(video.end).time == pytest.approx(video.end, abs=0.1)
    with Agent(in_process=True) as agent:
        answer = agent.run("def answer(video):\n    return len(video.frames(every=0.5))\n", path)
    assert answer.value in (1, 2, 3, 4)
    assert any("cut off" in said and "s are missing after" in said for said in answer.cautions)


@needs_h264
def test_a_file_whose_index_was_cut_off_is_refused(tmp_path: Path) -> None:
    data = write(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ImageError, match=r"cut\.mp4 cannot be read as a video: .*; it may be incomplete"):
        Video.open(tmp_path / "cut.mp4")


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_frames_at_uneven_times(ending: str, tmp_path: Path) -> None:
    times = [0, 0.04, 0.08, 0.5, 0.54, 1.5, 1.6, 2.8, 3.0]
    video = Video.open(write(tmp_path / f"a.{ending}", times, "mpeg4"))
    assert video.duration == pytest.approx(3.05, abs=0.1)
    assert [f.time for f in video.frames(0.02)] == pytest.approx(times, abs=0.01)
    assert video.at(1.49).time == pytest.approx(0.54, abs=0.01)
    assert left_of_square(video.at(2.0)) == pytest.approx(32, abs=1.5)


TURNS: dict[int | str, tuple[tuple[int, ...], tuple[int, int]]] = {
    90: ((0, 1, -1, 0, 120, 0), (56, 0)),
    180: ((-1, 0, 0, -1, 160, 120), (136, 56)),
    270: ((0, -1, 1, 0, 0, 160), (40, 136)),
    "mirrored": ((-1, 0, 0, 1, 160, 0), (136, 40)),
    "upside down": ((1, 0, 0, -1, 0, 120), (0, 56)),
    "mirrored and turned": ((0, 1, 1, 0, 0, 0), (40, 0)),
}
"""Degrees, clockwise, or what else → the matrix of the header, and where the square at (0, 40) is then."""


@pytest.mark.parametrize("degrees", TURNS)
def test_a_phone_that_was_turned(degrees: int | str, tmp_path: Path) -> None:
    (a, b, c, d, x, y), place = TURNS[degrees]
    data = bytearray(write(tmp_path / "a.mp4", [0, 0.5, 1], "mpeg4").read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[at : at + 36] = struct.pack(
        ">9i", a * one, b * one, 0, c * one, d * one, 0, x * one, y * one, 1 << 30
    )
    (tmp_path / "turned.mp4").write_bytes(data)
    video = Video.open(tmp_path / "turned.mp4")
    assert (video.width, video.height) == ((120, 160) if b else (160, 120)) == video.at(0).size
    red = (video.at(0).pixels[..., 0] > 150) & (video.at(0).pixels[..., 1] < 90)
    rows, columns = np.nonzero(red)
    assert (columns.min(), rows.min()) == pytest.approx(place, abs=1)


@pytest.mark.skipif("libx265" not in CODECS, reason="this FFmpeg does not encode H.265")
@pytest.mark.parametrize(("characteristics", "said"), [(16, True), (18, True), (1, False)])
def test_ten_bits_and_high_dynamic_range(characteristics: int, said: bool, tmp_path: Path) -> None:
    log = {"x265-params": "log-level=none"}
    path = write(tmp_path / "a.mp4", TIMES, "libx265", "yuv420p10le", characteristics=characteristics, **log)
    video = Video.open(path)
    assert is_right(video)
    assert any("high dynamic range" in each for each in video.source.cautions) is said


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mkv", "ffv1", "gray"),
        ("b.mkv", "ffv1", "bgr0"),
        ("c.mkv", "ffv1", "yuv444p"),
        ("d.avi", "mjpeg", "yuvj420p"),
    ],
)
def test_other_forms_of_pixels(name: str, codec: str, pix_fmt: str, tmp_path: Path) -> None:
    video = Video.open(write(tmp_path / name, codec=codec, pix_fmt=pix_fmt))
    assert video.duration == pytest.approx(3, abs=0.1) and len(video.frames(0.5)) == 7
    corner = moving(0)[100:, 100:].mean((0, 1))
    assert np.allclose(video.at(0).pixels[100:, 100:].mean((0, 1)), corner, atol=4)


def test_an_animation_whose_frames_have_times_of_their_own(tmp_path: Path) -> None:
    images = [PIL.Image.fromarray(moving(t)) for t in range(4)]
    for name in ("a.gif", "a.png"):
        images[0].save(
            tmp_path / name, save_all=True, append_images=images[1:], duration=[100, 1000, 300, 600], loop=0
        )
        video = Video.open(tmp_path / name)
        assert is_video(tmp_path / name) and video.duration == pytest.approx(2)
        assert [f.time for f in video.frames(0.05)] == pytest.approx([0, 0.1, 1.1, 1.4])
        assert [left_of_square(video.at(t)) for t in (0.05, 0.9, 1.3, 1.9)] == [0, 20, 40, 60]
    images[0].save(tmp_path / "still.png")
    assert not is_video(tmp_path / "still.png")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_a_video_of_one_frame(name: str, tmp_path: Path) -> None:
    video = Video.open(write(tmp_path / name, [0], "mpeg4"))
    assert 0 < video.duration < 0.1 and len(video.frames()) == len(video.frames(0.01)) == 1
    assert left_of_square(video.at(0)) == left_of_square(video.at(0.5)) == 0


@pytest.mark.parametrize("size", [(7, 3000), (3000, 7), (157, 119), (1, 1)])
def test_narrow_and_odd_sizes(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size

    def grey(time: float) -> NDArray[np.uint8]:
        return np.full((height, width, 3), 80, np.uint8)

    video = Video.open(write(tmp_path / "a.mkv", [0, 0.5, 1], "ffv1", "bgr0", grey))
    assert (video.width, video.height) == size == video.at(0.6).size
    assert abs(int(video.at(0.6).pixels.mean()) - 80) < 2


@needs_h264
def test_a_bare_stream_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ImageError, match=r"a\.h264 holds no frame that can be decoded with its time: .* bare stream"
    ):
        Video.open(write(tmp_path / "a.h264"))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mkv", "aac"), ("a.wav", "pcm_s16le")])
@pytest.mark.parametrize("cover", [False, True])
def test_sound_alone_is_no_video(name: str, codec: str, cover: bool, tmp_path: Path) -> None:
    if cover and not name.endswith("mp4"):
        pytest.skip("only one of these forms has covers")
    path = tmp_path / name
    with av.open(str(path), "w") as made:
        stream: Any = made.add_stream(codec, rate=48000)
        if cover:
            image: Any = made.add_stream("mjpeg", rate=1)
            image.width, image.height, image.pix_fmt = 160, 120, "yuvj420p"
            image.disposition = av.stream.Disposition.attached_pic
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 96000), np.int16), format="s16", layout="stereo")
        silence.sample_rate = 48000
        for each in av.AudioResampler(stream.codec_context.format or "fltp", "stereo", 48000).resample(
            silence
        ):
            made.mux(stream.encode(each))
        made.mux(stream.encode())
        if cover:
            made.mux(image.encode(av.VideoFrame.from_ndarray(moving(0), format="rgb24")))
    with pytest.raises(ImageError, match=rf"{name} holds no video, only sound or text"):
        Video.open(path)

"""Videos: frames at their times, parts, what is no video, and limits."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from tests.video_files import HEIGHT, SIDE, WIDTH, Square, frame, write_video
from visprog.errors import ImageError, ToolError
from visprog.files import limits as limits_module
from visprog.files.limits import SizeLimits
from visprog.program import open_images
from visprog.values import Video
from visprog.values.image import Image
from visprog.values.video import is_video, key_frames

av = pytest.importorskip("av", reason="videos need the extra 'video'")


def moving(time: float) -> list[Square]:
    """A square that goes 20 pixels to the right per second."""
    return [(20 * time, 40, (220, 30, 30))]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "clip.mp4", moving, 5)


def left_of_square(image: Image) -> float:
    """Where the red square begins."""
    red = (image.pixels[..., 0] > 180) & (image.pixels[..., 1] < 90)
    return float(np.flatnonzero(red.sum(0) > SIDE / 2)[0])


def test_facts(clip: Path) -> None:
    video = Video.open(clip)
    assert (video.width, video.height, video.fps, video.duration) == (WIDTH, HEIGHT, 10, pytest.approx(5))
    assert video.name == "clip.mp4" and repr(video) == "Video('clip.mp4', 160 x 120, 5.0 s)"


def test_frames_are_those_of_their_times(clip: Path) -> None:
    video = Video.open(str(clip))
    frames = video.frames(every=0.5)
    assert [f.time for f in frames] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 4.9])
    for each in frames:
        assert left_of_square(each) == pytest.approx(20 * each.time, abs=1.5)
    for time in (4.2, 0.31, 2.0):  # back and forth
        assert left_of_square(video.at(time)) == pytest.approx(20 * int(time * 10) / 10, abs=1.5)
    assert video.at(5.9).time == pytest.approx(4.9) and video.at(-1).time == 0
    for time in (99, -1.5, math.nan, math.inf):
        with pytest.raises(ToolError, match=r"there is no second \S+ here: it goes from 0 s to 5 s"):
            video.at(time)
    assert frames[2].name == "clip.mp4 at 1.00 s"


def test_a_crop_of_a_frame_knows_its_time(clip: Path) -> None:
    whole = Video.open(clip).at(2)
    assert whole.crop(whole.region((0, 0, 20, 20))).time == whole.time == 2


def test_parts_keep_the_times_of_the_whole(clip: Path) -> None:
    video = Video.open(clip)
    assert [f.time for f in video.between(1, 2).frames(0.5)] == pytest.approx([1, 1.5, 2])
    first, second = video.first_half(), video.second_half()
    assert (first.start, first.end, second.start, second.end) == pytest.approx((0, 2.5, 2.5, 5))
    assert second.first_half().end == pytest.approx(3.75)
    with pytest.raises(ToolError, match="nothing lies between 7 s and 9 s"):
        video.between(7, 9)
    with pytest.raises(ToolError, match="positive number of seconds"):
        video.frames(every=0)


def test_a_short_part_has_a_frame(clip: Path) -> None:
    assert len(Video.open(clip).between(2, 2).frames()) == 1


def test_an_animation_is_a_video_and_a_still_gif_is_not(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.gif", moving, 1, codec="gif")
    PIL.Image.fromarray(frame([])).save(tmp_path / "b.gif")
    assert is_video(path) and is_video(path.read_bytes()) and not is_video(tmp_path / "b.gif")
    assert len(Video.open(path).frames(0.1)) == 10


def test_frames_from_a_list_and_from_a_folder(tmp_path: Path) -> None:
    pixels = [frame([(10 * i, 40, (220, 30, 30))]) for i in range(12)]
    video = Video.open(pixels, fps=2)
    assert video.duration == 6 and [left_of_square(f) for f in video.frames(2)] == [0, 40, 80, 110]
    for i, each in enumerate(pixels):
        PIL.Image.fromarray(each).save(tmp_path / f"frame{i}.png")
    folder = Video.open(tmp_path, fps=2)
    assert left_of_square(folder.at(5.2)) == 100  # frame10 comes after frame9
    assert not is_video(tmp_path) and not is_video([tmp_path])
    with pytest.raises(ImageError, match="holds no frames"):
        Video.open([])


def test_bytes_are_read(clip: Path) -> None:
    assert is_video(clip.read_bytes()) and len(Video.open(clip.read_bytes()).frames()) == 6


def test_equal_videos_have_equal_digests(clip: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(clip.read_bytes())
    other = write_video(tmp_path / "other.mp4", moving, 2)
    assert Video.open(clip).digest == Video.open(copy).digest != Video.open(other).digest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"no video at all" * 20, "cannot be read as a video"),
        (b"#EXTM3U\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n", "cannot be read as a video"),
        (b"ffconcat version 1.0\nfile other.mp4\n", "cannot be read as a video"),
    ],
)
def test_what_is_no_video_and_what_names_other_files(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.mp4"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=message):
        Video.open(path)


def test_a_video_that_is_cut_off_ends_there(clip: Path, tmp_path: Path) -> None:
    whole = io.BytesIO(clip.read_bytes()).getvalue()
    with av.open(str(clip)) as source, av.open(str(tmp_path / "a.avi"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    data = (tmp_path / "a.avi").read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(data[: len(data) // 2])
    assert 1 < len(Video.open(path).frames(0.5)) <= 11
    path.write_bytes(whole[: len(whole) // 2])  # without its index, which is at the end
    with pytest.raises(ImageError, match="cannot be read as a video"):
        Video.open(path)


def test_missing_files_and_urls(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no such file"):
        Video.open(tmp_path / "none.mp4")
    with pytest.raises(ImageError, match="allow URLs"):
        Video.open("https://example.com/a.mp4")
    with pytest.raises(ImageError, match="cannot read a video from int"):
        Video.open(3)


def test_limits(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def use(**limits: int) -> None:
        monkeypatch.setattr(limits_module, "_in_force", SizeLimits(**limits))

    use(video_bytes=100)
    with pytest.raises(ImageError, match="video_bytes"):
        Video.open(clip)
    use(video_seconds=3)
    with pytest.raises(ImageError, match="lasts 5 s, and a video 3 s"):
        Video.open(clip)
    use(new_pixels=WIDTH * HEIGHT * 5)
    with pytest.raises(ToolError, match="too many to be held at once: take one every 1"):
        Video.open(clip).frames(0.5)
    with pytest.raises(ImageError, match="more than 1,000"):
        Video.open(clip, max_pixels=1000)


def test_a_question_is_about_one_video_or_about_images(clip: Path) -> None:
    from visprog.config import Config

    (video,) = open_images([clip], Config())
    assert isinstance(video, Video) and [f.time for f in key_frames([video])] == pytest.approx(
        [0.8, 2.5, 4.1]
    )
    with pytest.raises(ImageError, match="about one video, or about images"):
        open_images([clip, frame([])], Config())

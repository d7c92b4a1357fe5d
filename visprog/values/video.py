"""A video: frames over time, decoded when they are asked for, so that memory does not grow with its length."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import tempfile
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from ..errors import ImageError, ToolError
from ..files.endings import IMAGE_ENDINGS, VIDEO_ENDINGS
from ..files.limits import limits
from ..files.reading import printable
from ..files.writing import open_regular
from .elsewhere import OpenFile, video_decoder
from .image import MAX_PIXELS, Image, ImageLike

CHUNK_PIXELS = 16_000_000
"""Number of pixels of the frames that are decoded at once."""
FRAME_LIST_FPS = 25.0
"""Frames per second of a list or folder of frames, if nothing else is said."""
MAX_BEYOND = 1.0
"""Seconds by which a time may lie outside a video."""

CAMERA = "camera:"
"""How the name of a camera begins among the inputs of a question: "camera:0"."""

_SIGNATURE = re.compile(
    rb".{4}ftyp(?!hei|hev|mif1|msf1|crx|avi[fs])|\x1a\x45\xdf\xa3|RIFF.{4}AVI |\0\0\x01[\xb3\xba]|FLV\x01|OggS"
    rb"|\x30\x26\xb2\x75|.{4}(moov|mdat|wide|free)|\x47.{187}\x47",
    re.DOTALL,
)
"""Beginnings of video files."""


class FrameSource(Protocol):
    """Where the frames of a video come from."""

    @property
    def name(self) -> str: ...
    @property
    def seconds(self) -> float: ...
    @property
    def fps(self) -> float: ...
    @property
    def size(self) -> tuple[int, int]: ...
    @property
    def digest(self) -> str: ...
    @property
    def cautions(self) -> tuple[str, ...]:
        """What a person should know before they rely on an answer about it."""

    def read(self, after: float, step: float, number: int, end: float) -> list[Image]:
        """The frames shown at `after`, `after + step`, … before `end`, `number` at most, none twice in a row."""


@dataclass(frozen=True, eq=False)
class Video:
    """A video, or a part of one. Times are seconds from the start of the whole video.

    Attributes:
        source: Where its frames come from.
        start: Time at which it begins.
        end: Time at which it ends.
    """

    source: FrameSource = field(repr=False)
    start: float = 0.0
    end: float = 0.0

    @classmethod
    def open(
        cls,
        source: Any,
        *,
        fps: float | None = None,
        allow_url: bool = False,
        max_pixels: int | None = None,
        name: str = "video",
    ) -> Video:
        """Read a video from a file, bytes, a folder of frames, a list of frames or (only with `allow_url`) a URL.

        Args:
            source: Path of a video, an animated GIF or PNG, or a folder of images; a list of images; the bytes of a
                file; or an `OpenFile`.
            fps: Frames per second of a list or folder of frames; 25 by default.
            max_pixels: Larger frames are refused; MAX_PIXELS by default.
            name: Of bytes or an `OpenFile`.

        Raises:
            ImageError: Missing, broken, too large or too long, or no video; the message says which.
            MissingExtra: PyAV is not installed.
        """
        if isinstance(source, Video):
            return source
        most = MAX_PIXELS if max_pixels is None else max_pixels
        made: FrameSource
        if isinstance(source, str) and "://" in source:
            made = _VideoFile(_downloaded(source, allow_url), _url_name(source), most)
        elif isinstance(source, str | os.PathLike) and os.path.isdir(source):
            made = _FrameList(tuple(_frame_files(Path(source))), fps, most, Path(source).name)
        elif isinstance(source, str | os.PathLike):
            made = _VideoFile(_opened(source), printable(os.path.basename(os.fsdecode(source))), most)
        elif isinstance(source, bytes | bytearray | memoryview):
            made = _VideoFile(_unnamed([bytes(source)]), name, most)
        elif isinstance(source, OpenFile):
            made = _VideoFile(source, name, most)
        elif isinstance(source, list | tuple):
            made = _FrameList(tuple(source), fps, most, "frames")
        else:
            raise ImageError(
                f"cannot read a video from {type(source).__name__}: give a path, bytes, a folder or a list of frames"
            )
        if made.seconds > limits().video_seconds:
            raise ImageError(
                f"{made.name} lasts {made.seconds:,.0f} s, and a video {limits().video_seconds:,} s at most: cut "
                "it, or raise 'video_seconds' under [limits]"
            )
        return cls(made, 0.0, made.seconds)

    # -- what programs read and call --------------------------------------------------------------

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.end - self.start

    @property
    def width(self) -> int:
        """Of its frames, in pixels."""
        return self.source.size[0]

    @property
    def height(self) -> int:
        """Of its frames, in pixels."""
        return self.source.size[1]

    @property
    def fps(self) -> float:
        """Frames per second."""
        return self.source.fps

    @property
    def seconds(self) -> float:
        """Length of the whole video, in seconds."""
        return self.source.seconds

    @property
    def name(self) -> str:
        """Where it came from, such as a file name."""
        return self.source.name

    def frames(self, every: float = 1.0) -> list[Image]:
        """Its frames, so many seconds apart; frame.time says when.

        Raises:
            ToolError: They are too many to be held at once, or not a positive number of seconds apart.
        """
        if not 0 < every < math.inf:
            raise ToolError(f"frames are a positive number of seconds apart, not {every:g}")
        number = int(self.duration / every) + 1
        room = limits().new_pixels // max(1, self.width * self.height)
        if number > room:
            step = math.ceil(100 * self.duration / max(1, room - 1)) / 100
            raise ToolError(
                f"{number:,} frames of {self.width} x {self.height} pixels are too many to be held at once: take one "
                f"every {step:g} s, a part with between, or raise 'new_pixels' under [limits]"
            )
        return [frame for chunk in self.chunks(every) for frame in chunk]

    def at(self, time: float) -> Image:
        """The frame that is shown at a time in seconds: up to a second before its start or after its end, the first or
        last one.

        Raises:
            ToolError: It has no such time.
        """
        if not self.start - MAX_BEYOND <= time <= self.end + MAX_BEYOND:
            raise ToolError(
                f"there is no second {time:g} here: it goes from {self.start:g} s to {self.end:g} s"
            )
        time = min(max(float(time), self.start), self.end)
        found = self.source.read(time, 1.0, 1, max(time, self.end))
        if not found:
            raise ImageError(f"{self.name} has no frame at {time:g} s")
        return found[0]

    def between(self, start: float, end: float) -> Video:
        """The part from one time to another, in seconds.

        Raises:
            ToolError: Nothing lies between them.
        """
        first, last = max(float(start), self.start), min(float(end), self.end)
        if not first <= last:
            raise ToolError(
                f"nothing lies between {start:g} s and {end:g} s: it goes from {self.start:g} s to {self.end:g} s"
            )
        return Video(self.source, first, last)

    def first_half(self) -> Video:
        """The part before its middle."""
        return Video(self.source, self.start, (self.start + self.end) / 2)

    def second_half(self) -> Video:
        """The part from its middle on."""
        return Video(self.source, (self.start + self.end) / 2, self.end)

    # -- for tools --------------------------------------------------------------------------------

    @property
    def digest(self) -> str:
        """That tells its file or frames from others, in hex."""
        return self.source.digest

    def sample(self, number: int) -> list[Image]:
        """So many of its frames, evenly over its time; fewer if it has not so many.

        Raises:
            ImageError: None of them can be read.
        """
        found: dict[float, Image] = {}
        problem: ImageError | None = None
        for i in range(number):
            try:
                frame = self.at(self.start + (i + 0.5) / number * self.duration)
            except ImageError as error:  # of a file that is broken in the middle
                problem = error
            else:
                found.setdefault(frame.time, frame)
        if problem is not None and not found:
            raise problem
        return list(found.values())

    def chunks(self, step: float) -> Iterator[list[Image]]:
        """Its frames, so many seconds apart, a few at a time.

        Raises:
            ImageError: There is none that can be read.
        """
        number = max(1, min(32, CHUNK_PIXELS // max(1, self.width * self.height)))
        after, last = self.start, -1.0
        while after < self.end or last < 0:
            read = self.source.read(after, step, number, max(self.end, after))
            fresh = [frame for frame in read if frame.time > last]
            if fresh:
                last = fresh[-1].time
                yield fresh
            elif not read:
                break
            after += number * step
        if last < 0:
            raise ImageError(f"{self.name} has no frame that can be read: it is cut or broken")

    def __repr__(self) -> str:
        part = f", {self.start:g}–{self.end:g} s" if self.duration < self.source.seconds else ""
        return f"Video({self.name!r}, {self.width} x {self.height}, {self.duration:.1f} s{part})"

    def _repr_png_(self) -> bytes | None:
        return self.at(self.start)._repr_png_()


InputLike: TypeAlias = "ImageLike | Video"
"""What a question can be about: whatever `Image.open` reads, a video, or the path of one."""


def is_camera(source: Any) -> bool:
    """Whether something that a user gives names a camera, such as "camera:0"."""
    return isinstance(source, str) and source.startswith(CAMERA)


def is_video(source: Any) -> bool:
    """Whether something that a user gives is a video, by its name or its first bytes: an animated GIF or PNG is one.

    A folder or list of images is none: `Video.open` reads it as one.
    """
    if isinstance(source, Video):
        return True
    if isinstance(source, str) and "://" in source:
        return urllib.parse.urlsplit(source).path.lower().endswith(VIDEO_ENDINGS)
    if isinstance(source, bytes | bytearray | memoryview):
        return _is_moving(bytes(source[:512]), lambda: bytes(source))
    if not isinstance(source, str | os.PathLike):
        return False
    path = os.fsdecode(source)
    try:
        with open_regular(path, "rb") as file:
            start = file.read(512)
            if _is_moving(start, lambda: start + file.read(limits().file_bytes)):
                return True
    except (OSError, ValueError):
        start = b""
    # Of what is neither a video nor an image, opening it says what is wrong.
    return path.lower().endswith(VIDEO_ENDINGS) and not start.startswith(
        (b"\xff\xd8\xff", b"\x89PNG", b"GIF8")
    )


def _is_moving(start: bytes, whole: Any) -> bool:
    if start.startswith(b"GIF8"):  # a second image descriptor after a graphic control extension
        return len(re.findall(rb"\x21\xf9\x04.{4}\0[\x2c\x21]", whole(), re.DOTALL)) > 1
    if start.startswith(b"\x89PNG"):  # an animation control chunk before the pixels
        return b"acTL" in start.partition(b"IDAT")[0]
    return _SIGNATURE.match(start) is not None


class _VideoFile:
    """The frames of a file, decoded by a confined process where there is one."""

    def __init__(self, file: OpenFile, name: str, max_pixels: int) -> None:
        self.name = name
        self._file, self._max_pixels = file, max_pixels
        size = os.fstat(file.descriptor).st_size
        if size > limits().video_bytes:
            raise ImageError(
                f"{name} is larger than {limits().video_bytes / 2**20:,.0f} MiB: cut it, or raise "
                "'video_bytes' under [limits]"
            )
        if not size:
            raise ImageError(f"{name} is empty")
        facts, _ = self._read(0.0, 1.0, 0, 0.0)
        self.seconds, self.fps, self.size = float(facts[0]), float(facts[1]), (int(facts[2]), int(facts[3]))
        missing, wide_range = facts[4:]
        if not 0 <= self.seconds < 1e7 or not 0 < self.fps < 1e5:
            raise ImageError(
                f"{name} is broken: it says that it lasts {self.seconds} s at {self.fps} frames per second"
            )
        self.cautions: tuple[str, ...] = ()
        if missing:
            self.cautions += (
                f"{name} was cut off: {missing:,.1f} s are missing after {self.seconds:,.1f} s",
            )
        if wide_range:
            self.cautions += (
                f"{name} has colours of high dynamic range, which are seen paler than they are",
            )

    @cached_property
    def digest(self) -> str:
        """Of its size, beginning, middle and end: of a long file, all of it would take as long as an answer."""
        size, part = os.fstat(self._file.descriptor).st_size, 1 << 18
        sha = hashlib.sha256(str(size).encode())
        for at in sorted({0, max(0, size // 2 - part), max(0, size - part)}):
            sha.update(os.pread(self._file.descriptor, part, at))
        return sha.hexdigest()

    def read(self, after: float, step: float, number: int, end: float) -> list[Image]:
        frames = self._read(after, step, number, end)[1]
        return [_frame(image, self.name, time) for time, image in frames]

    def _read(
        self, after: float, step: float, number: int, end: float
    ) -> tuple[list[float], list[tuple[float, Image]]]:
        decode = video_decoder() or _readers_here().read
        facts, frames = decode(self._file, self.name, self._max_pixels, after, step, number, end)
        return facts, frames


@dataclass(frozen=True)
class _Remembered:
    """A video of which a recording or an answer knows, without its frames."""

    name: str
    seconds: float
    fps: float
    size: tuple[int, int]
    digest: str
    cautions: tuple[str, ...] = ()

    def read(self, after: float, step: float, number: int, end: float) -> list[Image]:
        raise ImageError(f"the frames of {self.name} were not kept: open the video again")


def read_video(data: Mapping[str, Any]) -> Video:
    """A video of its JSON form, which has no frames."""
    size = int(data["width"]), int(data["height"])
    source = _Remembered(data["name"], data["seconds"], data["fps"], size, data["digest"])
    return Video(source, data["start"], data["end"])


class _FrameList:
    """Frames that are images, or files of images, which are opened when they are asked for."""

    cautions: tuple[str, ...] = ()

    def __init__(self, frames: Sequence[Any], fps: float | None, max_pixels: int, name: str) -> None:
        if not frames:
            raise ImageError(f"{name} holds no frames: give at least one image")
        self.name = printable(name)
        self.fps = FRAME_LIST_FPS if fps is None else float(fps)
        if not 0 < self.fps < 1e5:
            raise ImageError(f"fps is a positive number of frames per second, not {self.fps:g}")
        self._frames, self._max_pixels = frames, max_pixels
        self.seconds = len(frames) / self.fps
        self.size = self._open(0).size

    @cached_property
    def digest(self) -> str:
        sha = hashlib.sha256(f"{len(self._frames)} {self.fps}".encode())
        for number, frame in enumerate(self._frames):
            if isinstance(frame, str | os.PathLike):
                status = os.stat(frame)
                sha.update(f"{os.fsdecode(frame)} {status.st_size} {status.st_mtime_ns}".encode())
            else:
                sha.update(self._open(number).digest.encode())
        return sha.hexdigest()

    def read(self, after: float, step: float, number: int, end: float) -> list[Image]:
        times = after + step * np.arange(number)
        numbers = np.floor(times[times <= end + 1e-4] * self.fps + 1e-4).astype(int)
        last = len(self._frames) - 1
        return [self._open(int(n)) for n in dict.fromkeys(np.minimum(numbers, last).tolist())]

    def _open(self, number: int) -> Image:
        image = Image.open(self._frames[number], max_pixels=self._max_pixels)
        return _frame(image, self.name, number / self.fps)


def _frame(image: Image, name: str, time: float) -> Image:
    return replace(image, name=f"{name} at {time:.2f} s", time=time)


_here: list[Any] = []


def _readers_here() -> Any:
    """What decodes video files in this process."""
    if not _here:
        from .video_file import VideoReaders

        _here.append(VideoReaders())
    return _here[0]


def _opened(path: str | os.PathLike[str]) -> OpenFile:
    shown = printable(path)
    try:
        with open_regular(path, "rb") as file:
            return OpenFile(os.dup(file.fileno()))
    except FileNotFoundError:
        raise ImageError(f"no such file: {shown}") from None
    except OSError as error:
        raise ImageError(f"cannot read {shown}: {error.strerror or error}") from None
    except ValueError:
        raise ImageError(f"'{shown}' is no path of a file") from None


def _unnamed(parts: Any) -> OpenFile:
    """A file without a name that holds these bytes."""
    with tempfile.TemporaryFile() as file:
        for part in parts:
            file.write(part)
        file.flush()
        return OpenFile(os.dup(file.fileno()))


def _downloaded(url: str, allowed: bool) -> OpenFile:
    shown = printable(url)
    if not allowed:
        raise ImageError(f"{shown} is a URL: download it first, or allow URLs (allow_url=True, --allow-url)")
    if urllib.parse.urlsplit(url).scheme.lower() not in ("http", "https"):
        raise ImageError(f"only http and https URLs are read, not {shown}")

    def parts(reply: Any) -> Iterator[bytes]:
        left = limits().video_bytes
        while part := reply.read(1 << 20):
            left -= len(part)
            if left < 0:
                raise ImageError(f"{shown} is larger than 'video_bytes' under [limits] allows")
            yield part

    try:
        with urllib.request.urlopen(url, timeout=30) as reply:
            return _unnamed(parts(reply))
    except OSError as error:
        raise ImageError(f"cannot download {shown}: {error}") from None


def _url_name(url: str) -> str:
    return printable(urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])) or printable(
        url
    )


def _frame_files(folder: Path) -> list[Path]:
    """The images of a folder, in the order of the numbers in their names."""
    try:
        files = [each for each in folder.iterdir() if each.suffix.lower() in IMAGE_ENDINGS and each.is_file()]
    except OSError as error:
        raise ImageError(f"cannot read the folder {printable(folder)}: {error.strerror or error}") from None

    def order(file: Path) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", file.name)]

    return sorted(files, key=order)


MAX_KEY_FRAMES = 3
"""Number of frames that stand for a video among the images of an answer."""


def key_frames(given: Sequence[Image | Video]) -> tuple[Image, ...]:
    """The images that a question is about; of a video a few frames, from its start to its end."""
    return tuple(
        frame for each in given for frame in ((each,) if isinstance(each, Image) else _of_video(each))
    )


def _of_video(video: Video) -> list[Image]:
    with contextlib.suppress(ImageError):
        return video.sample(MAX_KEY_FRAMES)
    return []

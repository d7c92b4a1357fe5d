"""Video files decoded by PyAV: their frames in order, each at the time at which it is shown."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ImageError, MissingExtra
from .elsewhere import OpenFile
from .image import Image

FORMATS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,apng,webp_pipe,wav"
"""Formats that are read, by FFmpeg's names: none of those that name other files."""

_EPSILON = 1e-4


@dataclass(frozen=True)
class VideoFacts:
    """What the header of a video file says.

    Attributes:
        seconds: Its length.
        fps: Frames per second.
        width, height: In pixels.
    """

    seconds: float
    fps: float
    width: int
    height: int


class VideoReader:
    """Reads one video file. Frames are decoded in order; to go back, or far ahead, it seeks the key frame before.

    Args:
        descriptor: Of the file; it is not closed.
        name: For messages.
        max_pixels: Larger frames are refused.

    Raises:
        ImageError: It is no video of a format that is read, broken, or too large.
        MissingExtra: PyAV is not installed.
    """

    def __init__(self, descriptor: int, name: str, max_pixels: int) -> None:
        self.name, self.max_pixels = name, max_pixels
        av = pyav()
        self._errors: Any = (av.error.FFmpegError, ValueError, EOFError, OSError, MemoryError)
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "pipe"}
        try:
            self._container = av.open(_Positioned(descriptor), options=options)
            streams = list(self._container.streams.video)
        except self._errors as error:
            raise ImageError(f"{name} cannot be read as a video: {_text(error)}") from None
        if not streams:
            raise ImageError(f"{name} holds no video, only sound or text")
        self._stream: Any = streams[0]
        self._stream.thread_type = "SLICE"
        self._stream.codec_context.thread_count = 1
        self._start = float((self._stream.start_time or 0) * self._stream.time_base)
        self._frames: Iterator[Any] = iter(())
        self._shown: Any = None
        self._next: Any = None
        self._check_size(self._stream.width, self._stream.height)
        self._rewind(0.0)
        self.facts = self._facts()

    def read(
        self, after: float, step: float, number: int, end: float
    ) -> list[tuple[float, NDArray[np.uint8]]]:
        """The frames that are shown at `after`, `after + step`, … before `end`; no frame twice.

        Args:
            after: Time in seconds.
            step: Seconds between two of them.
            number: Of frames, at most.
            end: Time in seconds.

        Returns:
            Time and pixels (H, W, 3) of each. Fewer than asked for at the end of the video.

        Raises:
            ImageError: The file is broken from the start, or a frame is too large.
        """
        found: list[tuple[float, NDArray[np.uint8]]] = []
        last: Any = None
        for i in range(number):
            target = after + i * step
            if target >= end + _EPSILON or not self._show(target):
                break
            if self._shown is not last:
                last = self._shown
                found.append((self._time(last), self._pixels(last)))
            if self._next is None:
                break
        return found

    def close(self) -> None:
        """Release what the decoder holds."""
        self._container.close()

    def _facts(self) -> VideoFacts:
        stream, seconds = self._stream, 0.0
        if stream.duration:
            seconds = float(stream.duration * stream.time_base)
        elif self._container.duration:
            seconds = self._container.duration / 1e6
        fps = float(stream.average_rate or stream.guessed_rate or 0) or 25.0
        if seconds <= 0:
            seconds = (stream.frames or 0) / fps
        if seconds <= 0:  # of a stream that was never finished
            seconds = self._counted()
        first = self._shown
        turned = first is not None and first.rotation % 180 != 0
        width, height = (stream.height, stream.width) if turned else (stream.width, stream.height)
        return VideoFacts(seconds, fps, width, height)

    def _counted(self) -> float:
        """Length of a file whose header does not say it."""
        last = 0.0
        while self._next is not None:
            last = self._time(self._next)
            self._advance()
        self._rewind(0.0)
        return last

    def _show(self, target: float) -> bool:
        """Go to the frame that is shown at a time; False if there is none."""
        behind = self._shown is not None and self._time(self._shown) > target + _EPSILON
        if behind or (self._next is not None and self._time(self._next) < target - 10):
            self._rewind(target)
        while self._next is not None and self._time(self._next) <= target + _EPSILON:
            self._advance()
        return self._shown is not None

    def _rewind(self, target: float) -> None:
        self._shown = self._next = None
        with contextlib.suppress(*self._errors):  # what cannot seek is read from where it is
            offset = int((target + self._start) / float(self._stream.time_base))
            self._container.seek(max(offset, 0), stream=self._stream)
        self._frames = self._decoded()
        self._advance()
        self._advance()
        if self._shown is not None and target > 0 and self._time(self._shown) > target + _EPSILON:
            with contextlib.suppress(*self._errors):  # its index is wrong: from the start
                self._container.seek(0)
            self._shown = self._next = None
            self._frames = self._decoded()
            self._advance()
            self._advance()

    def _advance(self) -> None:
        self._shown, self._next = self._next, next(self._frames, None)

    def _decoded(self) -> Iterator[Any]:
        """The frames from here on. What is broken in the middle ends the video there."""
        some = False
        try:
            for packet in self._container.demux(self._stream):
                try:
                    frames = packet.decode()
                except self._errors as error:
                    if "EOF" in type(error).__name__:
                        return
                    continue  # one broken packet
                for frame in frames:
                    if frame.time is not None:
                        some = True
                        yield frame
        except self._errors as error:
            if not some:
                raise ImageError(f"{self.name} is broken: {_text(error)}") from None

    def _time(self, frame: Any) -> float:
        return max(0.0, float(frame.time) - self._start)

    def _pixels(self, frame: Any) -> NDArray[np.uint8]:
        self._check_size(frame.width, frame.height)
        try:
            pixels: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
        except self._errors as error:
            raise ImageError(f"{self.name} cannot be decoded: {_text(error)}") from None
        quarters = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels or min(width, height) < 1:
            raise ImageError(
                f"{self.name} has frames of {width} x {height} pixels, more than {self.max_pixels:,}: make them "
                "smaller, or allow more with max_pixels (--max-pixels)"
            )


class VideoReaders:
    """The readers of the files that were read last, each where it stands."""

    MOST = 4

    def __init__(self) -> None:
        self._readers: OrderedDict[int, VideoReader] = OrderedDict()
        self._lock = threading.Lock()

    def read(
        self, file: OpenFile, name: str, max_pixels: int, after: float, step: float, number: int, end: float
    ) -> list[Any]:
        """The facts of a file as numbers, then frames as (time, image); see `VideoReader.read`."""
        with self._lock:
            reader = self._readers.pop(file.number, None) or VideoReader(file.descriptor, name, max_pixels)
            self._readers[file.number] = reader
            while len(self._readers) > self.MOST:
                self._readers.popitem(last=False)[1].close()
            facts = reader.facts
            frames = [(time, Image(pixels)) for time, pixels in reader.read(after, step, number, end)]
        return [[facts.seconds, facts.fps, facts.width, facts.height], frames]


class _Positioned(io.RawIOBase):
    """A file by its descriptor, with a position of its own: other processes share that of the descriptor."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor, self._at = descriptor, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        data = os.pread(self._descriptor, size if size >= 0 else os.fstat(self._descriptor).st_size, self._at)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0, /) -> int:
        start = (0, self._at, os.fstat(self._descriptor).st_size)[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at


def pyav() -> Any:
    """The package `av`.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import av
        import av.error
        import av.logging
    except ImportError:
        raise MissingExtra("reading videos", "video") from None
    av.logging.set_level(av.logging.PANIC)
    return av


def _text(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

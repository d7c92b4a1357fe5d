"""Video files decoded by PyAV: their frames in order, each at the time at which it is shown."""

from __future__ import annotations

import contextlib
import io
import math
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

FORMATS = "mov,mp4,matroska,webm,avi,gif,mpegts,mpeg,mpegvideo,flv,asf,ogg,h264,hevc,apng,wav"
"""Formats that are read, by FFmpeg's names: none of those that name other files."""

_EPSILON = 1e-4
_MIN_MISSING = 1.0
"""Seconds of a file that are missing if it was cut off, and not only its header rounded."""
_COVER = 0x400
"""Disposition of a stream that is the image on a cover: FFmpeg's AV_DISPOSITION_ATTACHED_PIC."""
_WIDE_RANGE = (16, 18)
"""Transfer characteristics of high dynamic range in ITU-T H.273: perceptual quantizer, hybrid log-gamma."""


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says of itself.

    Attributes:
        seconds: Its length.
        fps: Frames per second.
        width, height: In pixels.
        missing: Seconds at its end that the header promises and the file does not hold: it was cut off.
        wide_range: Whether its colours are those of a screen of high dynamic range, and not converted.
    """

    seconds: float
    fps: float
    width: int
    height: int
    missing: float
    wide_range: bool

    @property
    def numbers(self) -> list[float | int | bool]:
        """As they cross to another process."""
        return [self.seconds, self.fps, self.width, self.height, self.missing, self.wide_range]


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
        self._descriptor = descriptor
        self._frames: Iterator[Any] = iter(())
        self._shown: Any = None
        self._next: Any = None
        self._open()
        self._check_size(self._stream.width, self._stream.height)
        end, end_of_all = self._ends()
        self._from_start()
        self.facts = self._facts(end, end_of_all)

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

    def _open(self) -> None:
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "pipe"}
        try:
            self._container = pyav().open(_Positioned(self._descriptor), options=options)
            streams = [s for s in self._container.streams.video if not _is_cover(s)]
        except self._errors as error:
            raise ImageError(
                f"{self.name} cannot be read as a video: {_text(error)}; it may be incomplete, or no video at all"
            ) from None
        if not streams:
            raise ImageError(f"{self.name} holds no video, only sound or text")
        self._stream: Any = streams[0]
        self._stream.thread_type = "SLICE"
        self._stream.codec_context.thread_count = 1
        self._start = float((self._stream.start_time or 0) * self._stream.time_base)

    def _facts(self, end: float, end_of_all: float) -> VideoFacts:
        stream, first = self._stream, self._shown
        if first is None:
            raise ImageError(
                f"{self.name} holds no frame that can be decoded with its time: it is damaged, or a bare stream, which "
                "a container such as MP4 must hold"
            )
        fps = float(stream.average_rate or stream.guessed_rate or 0) or 25.0
        promised = float(stream.duration * stream.time_base) if stream.duration else self._promised()
        seconds = end or promised or (stream.frames or 0) / fps
        missing = promised - max(end, end_of_all) if end and promised else 0.0
        turned, _, _ = _orientation(first)
        width, height = (stream.height, stream.width) if turned else (stream.width, stream.height)
        curve = stream.codec_context.color_trc
        return VideoFacts(
            seconds, fps, width, height, missing if missing > _MIN_MISSING else 0.0, curve in _WIDE_RANGE
        )

    def _promised(self) -> float:
        """Seconds after its start at which the file says that it ends; 0 if it does not say it."""
        length = (self._container.duration or 0) / 1e6
        # Matroska counts from 0, wherever the first frame lies.
        from_zero = "matroska" in self._container.format.name
        return max(0.0, length - self._start) if from_zero else length

    def _ends(self) -> tuple[float, float]:
        """Seconds after its start at which the last frame ends, and the last packet of anything, by their packets."""
        last, frame_end, end_of_all = -math.inf, 0.0, 0.0
        length = (self._stream.duration or 0) * self._stream.time_base or self._promised()
        for offset in (length, 0.0):
            with contextlib.suppress(*self._errors):
                if offset > 2:  # the packets of the last seconds are enough
                    self._seek(float(offset) - 2)
                for packet in self._container.demux():
                    if packet.pts is None or packet.time_base is None:
                        continue
                    shown = float(packet.pts * packet.time_base) - self._start
                    after = shown + float((packet.duration or 0) * packet.time_base)
                    end_of_all = max(end_of_all, after)
                    if packet.stream.index == self._stream.index and shown > last:
                        last, frame_end = shown, after
            if last > -math.inf:
                break
            self._open()
        fps = float(self._stream.average_rate or self._stream.guessed_rate or 25)
        return max(0.0, frame_end if frame_end > last else last + 1 / fps), end_of_all

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
        with contextlib.suppress(*self._errors):
            self._seek(target)
            self._frames = self._decoded()
            self._advance()
            self._advance()
        if self._shown is None or self._time(self._shown) > target + _EPSILON:
            self._from_start()  # it cannot seek, or its index is wrong

    def _seek(self, target: float) -> None:
        offset = int((target + self._start) / float(self._stream.time_base))
        self._container.seek(max(offset, 0), stream=self._stream)

    def _from_start(self) -> None:
        self._container.close()
        self._open()
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
        turned, rows, columns = _orientation(frame)
        shown = pixels.transpose(1, 0, 2) if turned else pixels
        return np.ascontiguousarray(shown[::rows, ::columns])

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self.max_pixels or min(width, height) < 1:
            raise ImageError(
                f"{self.name} has frames of {width} x {height} pixels, more than {self.max_pixels:,}: make them "
                "smaller, or allow more with max_pixels (--max-pixels)"
            )


def _orientation(frame: Any) -> tuple[bool, int, int]:
    """Whether rows and columns of a frame are exchanged to show it, and 1 or -1 for the order of its rows then, and of
    its columns: from its display matrix, whose first four numbers say where its axes go."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None or len(found := np.frombuffer(bytes(matrix), np.int32)) != 9:
        return False, 1, 1
    a, b, c, d = (int(found[i]) for i in (0, 1, 3, 4))
    turned = abs(b) + abs(c) > abs(a) + abs(d)
    along_x, along_y = (c, b) if turned else (a, d)
    return turned, -1 if along_y < 0 else 1, -1 if along_x < 0 else 1


def _is_cover(stream: Any) -> bool:
    """Whether a stream is the image on the cover of an album or a book."""
    return bool(stream.disposition & _COVER)


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
        return [facts.numbers, frames]


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

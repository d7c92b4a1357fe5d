"""Cameras recorded in a process that can open nothing but the camera, and is ended when its time is up."""

from __future__ import annotations

import io
import os
import threading
import time
from fractions import Fraction
from typing import Any

from ...errors import ImageError, MissingExtra, ToolError
from ...registry import answer_each
from ...values.elsewhere import OpenFile
from .launch import Confinement
from .process import Crashed, Memory, ToolProcess, Work

START_SECONDS = 15.0
"""Seconds beyond those of the recording within which a camera must have delivered it."""
MEMORY = Memory(working=2 << 30, idle=1 << 30, images=0)
_BITS_PER_PIXEL = 0.3
"""Of the recording: much more than a film has, since colours and small objects are to be seen in it."""


def get_ready() -> None:
    """In the process, before it is confined: import and use whatever recording may need."""
    from importlib import import_module

    from ...values.video_file import pyav

    import_module(f"{__package__}.worker")
    try:
        av = pyav()
    except MissingExtra:
        return
    target = io.BytesIO()
    with av.open(target, "w", format="matroska") as container:
        stream = _stream(container, 32, 32)
        for i in range(3):
            container.mux(stream.encode(_encodable(av.VideoFrame(32, 32, "rgb24"), 0.1 * i)))
        container.mux(stream.encode())


class CameraRecorder:
    """The backend in the process: records a camera into a file that it is handed open."""

    process = "camera"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._record)

    def _record(
        self,
        device: str,
        format: str,
        options: list[list[str]],
        file: OpenFile,
        seconds: float,
        name: str,
        max_pixels: int,
        max_bytes: int,
    ) -> float:
        from ...values.video_file import pyav

        av = pyav()
        wrong: Any = (av.error.FFmpegError, ValueError, OSError)
        reached = 0.0
        try:
            with (
                av.open(device, format=format, options=dict(options)) as camera,
                io.FileIO(os.dup(file.descriptor), "wb") as target,
                av.open(target, "w", format="matroska") as recording,
            ):
                stream: Any = None
                first: float | None = None
                started = time.monotonic()
                for frame in camera.decode(video=0):
                    now = time.monotonic() - started if frame.time is None else float(frame.time)
                    if first is None:
                        if frame.width * frame.height > max_pixels:
                            raise ImageError(
                                f"{name} has frames of {frame.width} x {frame.height} pixels, more than {max_pixels:,}"
                            )
                        first, stream = now, _stream(recording, frame.width, frame.height)
                    elif now - first <= reached:
                        continue  # shown at the same time as another
                    reached = now - first
                    if reached >= seconds:
                        break
                    recording.mux(stream.encode(_encodable(frame, reached)))
                    if target.tell() > max_bytes:
                        raise ImageError(
                            f"{name} delivered more than {max_bytes / 2**20:,.0f} MiB: record fewer seconds, or "
                            "raise 'video_bytes' under [limits]"
                        )
                if stream is None:
                    raise ImageError(f"{name} delivers no images")
                recording.mux(stream.encode())
        except wrong as error:
            why = getattr(error, "strerror", None) or str(error)
            after = f" after {reached:.1f} s" if reached else ""
            raise ImageError(f"{name} cannot be read{after}: {why}") from None
        if reached < seconds:
            raise ImageError(f"{name} stopped after {reached:.1f} s, and {seconds:g} s were to be recorded")
        return reached


def record(
    device: str,
    format: str,
    options: dict[str, str],
    file: OpenFile,
    seconds: float,
    name: str,
    max_pixels: int,
    max_bytes: int,
) -> None:
    """Record a camera into an open file.

    Args:
        device: What FFmpeg opens; on Linux the path of the device.
        format: FFmpeg's name of how cameras are read on this system.
        options: Of that format.
        file: Open for writing.
        seconds: Time to record.
        name: For messages.
        max_pixels: Larger frames are refused.
        max_bytes: A larger recording is refused.

    Raises:
        ImageError: It cannot be read, stops, or delivers nothing for too long.
        MissingExtra: PyAV is not installed.
    """
    process = ToolProcess(MEMORY, Confinement(only=__name__, device=device))
    call = {
        "device": device, "format": format, "options": [list(each) for each in options.items()], "file": file,
        "seconds": seconds, "name": name, "max_pixels": max_pixels, "max_bytes": max_bytes,
    }  # fmt: skip
    late = f"it has not delivered {seconds:g} s after {seconds + START_SECONDS:g} s"
    timer = threading.Timer(seconds + START_SECONDS, process.stop, [late])
    timer.daemon = True
    try:
        process.wait()
        timer.start()
        (found,) = process.run(Work(0, f"{__name__}:CameraRecorder", "", ()), [call])
    except (Crashed, ToolError) as error:
        raise ImageError(f"{name} cannot be read: {error}") from None
    finally:
        timer.cancel()
        process.close()
    if isinstance(found, ImageError | MissingExtra):
        raise found
    if isinstance(found, Exception):
        raise ImageError(f"{name} cannot be read: {found}")


def _stream(container: Any, width: int, height: int) -> Any:
    stream = container.add_stream("mpeg4", rate=30)
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, 1000)
    stream.bit_rate = int(30 * _BITS_PER_PIXEL * width * height)
    return stream


def _encodable(frame: Any, seconds: float) -> Any:
    """A frame as the encoder takes it, to be shown at a time."""
    made = frame.reformat(format="yuv420p")
    made.pts, made.time_base = round(1000 * seconds), Fraction(1, 1000)
    return made

"""Video files decoded in processes that can do nothing else: they are handed an open file, and open no other."""

from __future__ import annotations

import contextlib
import io
import tempfile
import threading
from typing import Any

from ...errors import ImageError, MissingExtra, ToolError
from ...registry import answer_each
from ...values.elsewhere import OpenFile
from .launch import Confinement
from .pool import InProcess, ProcessGroup, ProcessPool
from .process import Memory, Work

MAX_PROCESSES = 4
"""Maximum number of processes that decode videos."""
READ_SECONDS = 60.0
"""Seconds within which a few frames must be decoded."""
MEMORY = Memory(working=4 << 30, idle=1 << 30, images=0)


def get_ready() -> None:
    """In the process, before it is confined: import and use whatever decoding may need."""
    from importlib import import_module

    import_module(f"{__package__}.worker")
    with contextlib.suppress(ImportError):
        import av

        from ...values.video_file import VideoReader

        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=5)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for _ in range(3):
                container.mux(stream.encode(av.VideoFrame(32, 32, "yuv420p")))
            container.mux(stream.encode())
        with tempfile.TemporaryFile() as file:
            file.write(buffer.getvalue())
            file.flush()
            VideoReader(file.fileno(), "video", 10_000).read(0.0, 0.2, 3, 1.0)
        with tempfile.TemporaryFile() as file, contextlib.suppress(ImageError):
            file.write(b"no video")
            file.flush()
            VideoReader(file.fileno(), "video", 10_000)


class VideoDecoder:
    """The backend in the process: decodes the files that it is handed open."""

    process = "video decoder"

    def __init__(self) -> None:
        self._readers: Any = None

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._read)

    def _read(self, **call: Any) -> list[Any]:
        if self._readers is None:
            from ...values.video_file import VideoReaders

            self._readers = VideoReaders()
        found: list[Any] = self._readers.read(**call)
        return found


class VideoDecoderProcesses:
    """Decodes video files in processes; an instance is what `visprog.values.elsewhere.decode_videos_with` takes."""

    def __init__(self) -> None:
        self.group = ProcessGroup("video decoder", MAX_PROCESSES, MEMORY, Confinement(only=__name__))
        self.pool = ProcessPool()
        self._decoder = InProcess(
            self.pool, VideoDecoder(), self.group, Work(0, f"{__name__}:VideoDecoder", "", ())
        )

    def __call__(
        self, file: OpenFile, name: str, max_pixels: int, after: float, step: float, number: int, end: float
    ) -> list[Any]:
        call = {
            "file": file, "name": name, "max_pixels": max_pixels,
            "after": after, "step": step, "number": number, "end": end,
        }  # fmt: skip
        # A batch whose process was ended is made once more.
        timers = [
            threading.Timer(n * READ_SECONDS, self._decoder.interrupt, [threading.get_ident()])
            for n in (1, 2)
        ]
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            (found,) = self._decoder([call])
        except ToolError as error:  # of the process, not of the file
            raise ImageError(f"{name} cannot be decoded: {error}") from None
        finally:
            for timer in timers:
                timer.cancel()
        if isinstance(found, ImageError | MissingExtra):
            raise found
        if isinstance(found, Exception):
            raise ImageError(f"{name} cannot be decoded: {found}")
        return _checked(found, name)


def _checked(found: Any, name: str) -> list[Any]:
    """What the process says, if it is of the form that it must have."""
    from ...values.image import Image

    match found:
        case [
            [int() | float(), int() | float(), int(), int(), int() | float(), bool()],
            list() as frames,
        ] if all(
            isinstance(f, tuple) and len(f) == 2 and isinstance(f[0], int | float) and isinstance(f[1], Image)
            for f in frames
        ):
            return list(found)
    raise ImageError(f"{name} cannot be decoded: its decoder broke the protocol")


VIDEO_DECODERS = VideoDecoderProcesses()
"""The processes of this interpreter that decode videos."""

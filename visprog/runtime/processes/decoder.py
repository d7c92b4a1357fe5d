"""Image files decoded in processes that can do nothing else: they open no file, and no connection."""

from __future__ import annotations

import contextlib
import io
from typing import Any

from ...errors import ImageError, ToolError
from ...registry import answer_each
from ...values.decode import FORMATS
from ...values.elsewhere import Kind
from ...values.image import Image
from ...values.png import decode_levels
from .launch import DECODER
from .pool import InProcess, ProcessGroup, ProcessPool
from .process import Memory, Work

MAX_PROCESSES = 8
"""Maximum number of processes that decode."""
MEMORY = Memory(working=6 << 30, idle=1 << 29, images=0)


def get_ready() -> None:
    """In the process, before it is confined: import whatever decoding may need, since no file can be read after it."""
    from importlib import import_module

    import PIL.Image

    PIL.Image.init()
    for module in (
        "AvifImagePlugin",
        "JpegImagePlugin",
        "MpoImagePlugin",
        "TiffImagePlugin",
        "WebPImagePlugin",
    ):
        import_module(f"PIL.{module}")
    import_module(f"{__package__}.worker")
    for name in FORMATS:  # what a decoder imports when it is first used
        with contextlib.suppress(Exception):
            buffer = io.BytesIO()
            PIL.Image.new("RGB", (16, 16)).save(buffer, "JPEG" if name == "MPO" else name)
            Image.decode(buffer.getvalue(), name, 1000)
    with contextlib.suppress(ImageError):
        Image.decode(b"no image", "text", 1000)


class ImageDecoder:
    """The backend in the process: decodes files that are handed to it as bytes."""

    process = "decoder"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self._decode)

    def _decode(self, kind: Kind, data: bytes, name: str, max_pixels: int, limit: int | None) -> Any:
        import PIL.Image

        PIL.Image.MAX_IMAGE_PIXELS = limit
        return Image.decode(data, name, max_pixels) if kind == "image" else decode_levels(data)


class DecoderProcesses:
    """Decodes image files in processes; an instance is what `visprog.values.elsewhere.decode_with` takes.

    A file that crashes its process twice is an `ImageError`, and is not decoded again.
    """

    def __init__(self) -> None:
        self.group = ProcessGroup("decoder", MAX_PROCESSES, MEMORY, DECODER)
        self.pool = ProcessPool()
        work = Work(0, f"{__name__}:ImageDecoder", "", ())
        self._decoder = InProcess(self.pool, ImageDecoder(), self.group, work)

    def start(self) -> None:
        """Start a process in the background, if there is none."""
        self.pool.prepare(self.group)

    def __call__(self, kind: Kind, data: bytes, name: str, max_pixels: int) -> Any:
        import PIL.Image

        call = {
            "kind": kind,
            "data": data,
            "name": name,
            "max_pixels": max_pixels,
            "limit": PIL.Image.MAX_IMAGE_PIXELS,
        }
        try:
            (found,) = self._decoder([call])
            if isinstance(found, Exception):
                raise found
        except ToolError as error:  # of the process, not of the file
            raise ImageError(f"{name} cannot be decoded: {error}") from None
        return found


DECODERS = DecoderProcesses()
"""The decoder processes of this interpreter."""

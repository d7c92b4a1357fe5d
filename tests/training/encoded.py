"""Images as files hold them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import PIL.Image

Write = Callable[[dict[str, bytes | str]], Path]


def png(width: int = 6, height: int = 4) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (width, height)).save(buffer, "png")
    return buffer.getvalue()


def turned(orientation: int, size: tuple[int, int] = (64, 48)) -> bytes:
    buffer, exif = io.BytesIO(), PIL.Image.Exif()
    exif[0x0112] = orientation
    PIL.Image.new("RGB", size).save(buffer, "jpeg", exif=exif)
    return buffer.getvalue()

"""Arrays as PNG in base64, and back: how the JSON form of values holds pixels."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .decode import blaming, open_header, too_large
from .elsewhere import decoded
from .image import MAX_PIXELS


def to_png(pixels: NDArray[Any]) -> str:
    """A bool or uint8 array (H, W) as PNG in base64; empty for one without pixels."""
    import PIL.Image

    if 0 in pixels.shape:
        return ""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "png")
    return base64.b64encode(buffer.getvalue()).decode()


def from_png(text: str) -> NDArray[Any]:
    """The reverse of `to_png`.

    Raises:
        ImageError: It is no image, or too large.
        ValueError: It is no base64.
    """
    return decode_pixels(base64.b64decode(text)) if text else np.zeros((0, 0), bool)


def decode_pixels(data: bytes) -> NDArray[Any]:
    """The pixels (H, W) of an encoded image: bool if they are bits, else grey levels in uint8.

    Raises:
        ImageError: It is no image, or too large.
    """
    found: NDArray[Any] | None = decoded("levels", data, "PNG", MAX_PIXELS)
    return decode_levels(data) if found is None else found


def decode_levels(data: bytes) -> NDArray[Any]:
    """`decode_pixels` in this process, whatever `visprog.values.elsewhere` says."""
    with blaming("PNG", MAX_PIXELS, data), open_header(data) as image:
        if image.width * image.height > MAX_PIXELS:
            raise too_large("PNG", MAX_PIXELS, image.size)
        levels = np.asarray(image.convert("L"))
        return levels > 127 if image.mode == "1" else levels

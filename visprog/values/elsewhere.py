"""Where image and video files are decoded: in this process, or in another one that a decoder's fault cannot leave."""

from __future__ import annotations

import contextlib
import itertools
import os
import weakref
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

Kind: TypeAlias = Literal["image", "levels"]
"""What is wanted of a file: an `Image`, or its levels as an array (H, W) of bool or uint8."""

Decoder: TypeAlias = Callable[[Kind, bytes, str, int], Any]
"""Decodes a file, given its bytes, its name for messages, and the maximum number of pixels."""

_decoder: Decoder | None = None


def decode_with(decoder: Decoder | None) -> None:
    """Have image files decoded by `decoder` from now on; in this process, if it is None."""
    global _decoder
    _decoder = decoder


def decoded(kind: Kind, data: bytes, name: str, max_pixels: int) -> Any:
    """What a decoder elsewhere makes of a file; None if it is to be decoded here."""
    return None if _decoder is None else _decoder(kind, data, name, max_pixels)


class OpenFile:
    """An open file, which another process may be given; it is closed when nobody holds it any more.

    Args:
        descriptor: Of the file.

    Attributes:
        number: That tells it from the others of this process.
    """

    def __init__(self, descriptor: int, number: int | None = None) -> None:
        self.descriptor = descriptor
        self.number = next(_numbers) if number is None else number
        weakref.finalize(self, _close, descriptor)


VideoDecoder: TypeAlias = Callable[..., list[Any]]
"""Reads a video file: facts and frames, as `visprog.values.video_file.VideoReaders.read`."""

_video_decoder: VideoDecoder | None = None
_numbers = itertools.count(1)


def decode_videos_with(decoder: VideoDecoder | None) -> None:
    """Have video files decoded by `decoder` from now on; in this process, if it is None."""
    global _video_decoder
    _video_decoder = decoder


def video_decoder() -> VideoDecoder | None:
    """What decodes video files elsewhere; None if it is done here."""
    return _video_decoder


def _close(descriptor: int) -> None:
    with contextlib.suppress(OSError):  # closed by its owner
        os.close(descriptor)

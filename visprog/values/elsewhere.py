"""Where image files are decoded: in this process, or in another one that a decoder's fault cannot leave."""

from __future__ import annotations

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

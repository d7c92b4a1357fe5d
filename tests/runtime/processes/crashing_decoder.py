"""Stands for a fault in a library that decodes images: certain bytes make it crash, or try to read files."""

from __future__ import annotations

import os
import signal
from typing import Any

from visprog.runtime.processes import decoder


def get_ready() -> None:
    """Get ready as the decoder does."""
    decoder.get_ready()


class CrashingDecoder(decoder.ImageDecoder):
    """The decoder, with the fault."""

    def _decode(self, kind: Any, data: bytes, name: str, max_pixels: int, limit: int | None) -> Any:
        if b"crash" in data:
            os.kill(os.getpid(), signal.SIGSEGV) if b"kill" in data else os.abort()
        if b"list" in data:
            return os.listdir("/")
        if b"read" in data:
            return open("/etc/passwd").read()
        return super()._decode(kind, data, name, max_pixels, limit)

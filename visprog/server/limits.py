"""Limits of one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLimits:
    """Limits of one request.

    Attributes:
        upload: Maximum number of bytes, without a video.
        video: Maximum number of bytes of a video; 0 if none is taken that is larger than `upload`.
        pixels: Maximum number of pixels of its images together, or of a frame of its video.
        seconds: Maximum time from its arrival to its answer.
        stall: Maximum time for its headers, and the time by which its body, or the reading of its answer, may fall
            behind `rate`, in seconds.
        rate: Least rate of its body and of the reading of its answer, in bytes per second.
    """

    upload: int = 32 << 20
    video: int = 256 << 20
    pixels: int = 50_000_000
    seconds: float = 120.0
    stall: float = 10.0
    rate: int = 64 << 10

    def transfer(self, size: int) -> float:
        """Maximum time for the transfer of `size` bytes, in seconds."""
        return self.stall + size / self.rate

"""Videos for tests, made here: squares that move before a textured wall."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 160, 120
SIDE = 24

Square = tuple[float, float, tuple[int, int, int]]
"""Left, top and colour of a square."""


def frame(squares: Iterable[Square]) -> NDArray[np.uint8]:
    """A frame (120, 160, 3) with squares on it."""
    noise = np.random.default_rng(7).integers(100, 116, (HEIGHT, WIDTH, 1))
    pixels = np.repeat(noise, 3, 2).astype(np.uint8)
    for left, top, color in squares:
        x, y = round(left), round(top)
        pixels[max(0, y) : max(0, y + SIDE), max(0, x) : max(0, x + SIDE)] = color
    return pixels


def write_video(
    path: Path,
    squares: Callable[[float], Iterable[Square]],
    seconds: float,
    fps: int = 10,
    codec: str = "mpeg4",
) -> Path:
    """A video of the squares that there are at each time."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if codec != "gif":
            stream.bit_rate = 4_000_000
        for i in range(round(seconds * fps)):
            picture = av.VideoFrame.from_ndarray(frame(squares(i / fps)), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path

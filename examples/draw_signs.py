"""Draws `signs.png`, the image that `make demo` asks about."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

SIZE, SCALE = (960, 540), 3  # drawn larger and scaled down, for smooth edges


def ring(x: float, y: float, radius: float, corners: int, turn: float) -> list[tuple[float, float]]:
    """The corners of a regular polygon."""
    angles = [turn + 2 * math.pi * i / corners for i in range(corners)]
    return [(SCALE * (x + radius * math.cos(a)), SCALE * (y + radius * math.sin(a))) for a in angles]


def main() -> None:
    image = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), "#dcebf5")
    draw = ImageDraw.Draw(image)

    def box(left: float, top: float, right: float, bottom: float, fill: str) -> None:
        draw.rectangle([left * SCALE, top * SCALE, right * SCALE, bottom * SCALE], fill=fill)

    def text(x: float, y: float, words: str, size: int, fill: str) -> None:
        font = ImageFont.load_default(size * SCALE)
        draw.text((x * SCALE, y * SCALE), words, fill=fill, font=font, anchor="mm")

    box(0, 430, 960, 540, "#8a9a5b")
    for x, top in ((200, 200), (490, 210), (770, 200)):
        box(x - 6, top, x + 6, 470, "#7d7d7d")
    draw.polygon(ring(200, 170, 110, 8, math.pi / 8), fill="#c1121f")
    text(200, 170, "STOP", 58, "white")
    draw.polygon(ring(490, 205, 115, 3, -math.pi / 2), fill="#ffb703")
    text(490, 225, "SLOW", 30, "black")
    draw.ellipse([v * SCALE for v in (665, 75, 875, 285)], fill="#1d4e89")
    text(770, 180, "ONE WAY", 36, "white")
    image.resize(SIZE, Image.Resampling.LANCZOS).save(Path(__file__).with_name("signs.png"), optimize=True)


if __name__ == "__main__":
    main()

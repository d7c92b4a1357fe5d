"""Emoji drawn as vectors, so that no font is needed."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from visprog.errors import ToolError

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw

    Draw = PIL.ImageDraw.ImageDraw

SKIN, RIM, INK, RED = "#ffd54a", "#e0a526", "#4a3413", "#e53950"
UNIT = 100
"""Side of the square, in units, on which everything is drawn, four times as fine as needed, and then reduced."""

SYNONYMS = {
    "smile": "smiley happy smiling face 🙂 😀 😊 :)",
    "laugh": "laughing grin grinning lol joy 😂 😄 :d",
    "sad": "frown unhappy cry crying 🙁 😢 :(",
    "wink": "winking 😉 ;)",
    "surprised": "surprise shocked shock wow 😮",
    "cool": "sunglasses shades 😎",
    "love": "hearts heart-eyes in-love 😍",
    "angry": "mad anger 😠 😡",
    "neutral": "😐",
    "heart": "red-heart love-heart ❤",
    "star": "⭐",
}


def emoji_name(name: str) -> str:
    """The name under which an emoji is drawn.

    Raises:
        ToolError: It is not known; the message lists those that are.
    """
    word = re.sub(r"[\s_-]+", "-", name.strip().strip("\ufe0f").lower()).removesuffix("-emoji")
    for each in (word, word.removesuffix("-face")):
        for drawn, synonyms in SYNONYMS.items():
            if each == drawn or each in synonyms.split():
                return drawn
    raise ToolError(f"the emoji '{name}' is not known: use one of {', '.join(SYNONYMS)}")


def draw_emoji(name: str, size: int) -> PIL.Image.Image:
    """An emoji as an RGBA image of size x size pixels.

    Raises:
        ToolError: The name is not known.
    """
    import PIL.Image
    import PIL.ImageDraw

    drawn = DRAWN[emoji_name(name)]
    size = max(size, 1)
    canvas = PIL.Image.new("RGBA", (4 * size, 4 * size), (255, 255, 255, 0))
    drawn(_Pen(PIL.ImageDraw.Draw(canvas), 4 * size / UNIT))
    return canvas.resize((size, size), PIL.Image.Resampling.LANCZOS)


class _Pen:
    """Draws in units of the emoji's square."""

    def __init__(self, draw: Draw, scale: float) -> None:
        self.draw = draw
        self.scale = scale

    def oval(self, x: float, y: float, rx: float, ry: float, fill: str, outline: str | None = None) -> None:
        s = self.scale
        box = [s * (x - rx), s * (y - ry), s * (x + rx), s * (y + ry)]
        self.draw.ellipse(box, fill, outline, round(3 * s) if outline else 0)

    def arc(
        self, x: float, y: float, rx: float, ry: float, start: float, end: float, width: float = 6
    ) -> None:
        """A stroke with round ends; angles in degrees, clockwise from the right."""
        turns = [math.radians(start + (end - start) * i / 40) for i in range(41)]
        self.stroke([(x + rx * math.cos(t), y + ry * math.sin(t)) for t in turns], width)

    def stroke(self, points: list[tuple[float, float]], width: float = 6) -> None:
        s = self.scale
        self.draw.line([(s * x, s * y) for x, y in points], INK, max(1, round(width * s)), joint="curve")
        for x, y in (points[0], points[-1]):
            self.oval(x, y, width / 2, width / 2, INK)

    def shape(self, points: list[tuple[float, float]], fill: str) -> None:
        self.draw.polygon([(self.scale * x, self.scale * y) for x, y in points], fill)


def _heart(x: float, y: float, size: float) -> list[tuple[float, float]]:
    def points() -> Iterator[tuple[float, float]]:
        for i in range(60):
            t = 2 * math.pi * i / 60
            across = 16 * math.sin(t) ** 3
            up = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
            yield x + size * across / 34, y - size * (up + 2.5) / 34

    return list(points())


def _star(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    turns = [math.pi * i / 5 - math.pi / 2 for i in range(10)]
    return [
        (
            x + radius * (1 if i % 2 == 0 else 0.45) * math.cos(t),
            y + radius * (1 if i % 2 == 0 else 0.45) * math.sin(t),
        )
        for i, t in enumerate(turns)
    ]


def _face(pen: _Pen, mood: str) -> None:
    pen.oval(50, 50, 49, 49, SKIN, RIM)
    left, right = 33, 67
    if mood == "cool":
        for x in (left, right):
            pen.shape([(x - 16, 33), (x + 16, 33), (x + 11, 49), (x - 11, 49)], INK)
        pen.stroke([(12, 34), (88, 34)], 5)
    elif mood == "love":
        for x in (left, right):
            pen.shape(_heart(x, 40, 26), RED)
    elif mood == "laugh":
        for x in (left, right):
            pen.arc(x, 44, 9, 10, 190, 350)
    else:
        pen.oval(left, 40, 6, 9, INK)
        if mood == "wink":
            pen.arc(right, 44, 9, 6, 190, 350)
        else:
            pen.oval(right, 40, 6, 9, INK)
    if mood == "angry":
        pen.stroke([(20, 24), (44, 34)], 5)
        pen.stroke([(80, 24), (56, 34)], 5)
    if mood in ("sad", "angry"):
        pen.arc(50, 84, 22, 18, 205, 335)
    elif mood == "surprised":
        pen.oval(50, 72, 10, 14, INK)
    elif mood == "neutral":
        pen.stroke([(32, 70), (68, 70)])
    elif mood == "laugh":
        pen.draw.pieslice([pen.scale * v for v in (24, 36, 76, 88)], 0, 180, INK)
        pen.oval(50, 80, 13, 6, RED)
    else:
        pen.arc(50, 52, 28, 26, 20, 160)


def _heart_shape(pen: _Pen) -> None:
    pen.shape(_heart(50, 50, 98), RED)


def _star_shape(pen: _Pen) -> None:
    pen.shape(_star(50, 54, 52), SKIN)


DRAWN: dict[str, Callable[[_Pen], None]] = {
    **{
        m: partial(_face, mood=m)
        for m in ("smile", "laugh", "sad", "wink", "surprised", "cool", "love", "angry", "neutral")
    },
    "heart": _heart_shape,
    "star": _star_shape,
}

"""Evidence as images with everything drawn in: places, masks, labels. They need no style and no script to be seen."""

from __future__ import annotations

import base64
import io
import math
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from .forms import one_line
from .label_layout import Rectangle, layout

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

SIDE = 640
"""Longest side of an image that is shown alone, in pixels."""

CROP_SIDE = 320
"""Longest side of a part of an image that is shown alone, in pixels."""

MAX_SHAPES = 100
"""Shapes that are drawn into one image; of the others, the caption says the number."""

MAX_LABELS = 40
MAX_BYTES = 150_000
"""Bytes of one encoded image, before base64."""

MAX_PIXELS = 100_000_000
MIN_SIDE = 128
MIN_DRAWN_SIDE = 320
"""Longest side of small images, in pixels, after scaling up: with shapes and labels on them they need more."""

INK, GIVEN = "#1c2128", "#5a6472"
COLORS = ("#d01f38", "#1766c4", "#0b7a3b", "#8430c4", "#b35400", "#00757a", "#b81d7d", "#6d5600")
"""Dark enough for white text on them, and for a line beside its white halo."""

_SYSTEM_FONTS = ("DejaVuSans.ttf", "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "arial.ttf", "msyh.ttc")
_SMOOTH = 2
"""Factor by which shapes are drawn larger and scaled down, for smooth edges."""

Line: TypeAlias = Sequence[tuple[float, float]]
"""Points (x, y) that are joined by straight segments."""


@dataclass(frozen=True)
class DrawnValue:
    """A value as it is drawn on its image, in pixels of the root image. Numbers that are not finite do no harm.

    Attributes:
        box: Rectangle around it, beside which its label is written.
        frames: Outlines of rectangles, which stay within the image.
        lines: Polylines.
        dots: Points (x, y), of the same size in every image.
        mask: PNG in base64, white where the object is, and the rectangle that it fills.
        veil: PNG in base64, and the rectangle that it fills, which is tinted the stronger the whiter it is.
        label: Text beside it.
        colored: Whether the label names a colour, which that of the lines must not contradict.
    """

    box: Rectangle
    frames: Sequence[Rectangle] = ()
    lines: Sequence[Line] = ()
    dots: Line = ()
    mask: tuple[str, Rectangle] | None = None
    veil: tuple[str, Rectangle] | None = None
    label: str = ""
    colored: bool = False


Shape: TypeAlias = tuple[DrawnValue, str]
"""What is drawn, and its colour."""


@dataclass(frozen=True)
class Figure:
    """An encoded image.

    Attributes:
        url: as a `data:` URL.
        width, height: in pixels.
    """

    url: str
    width: int
    height: int


def figure(data: bytes, frame: Rectangle, shapes: Sequence[Shape], side: int) -> Figure | None:
    """An encoded PNG or JPEG image with shapes drawn in; None if it cannot be decoded.

    Args:
        data: the image, at any scale.
        frame: the place of the whole of it, in the coordinates of the shapes.
        side: longest side of the result, in pixels, at most.
    """
    import PIL.Image

    try:
        with PIL.Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            opened.draft("RGB", (2 * side, 2 * side))
            return encode(draw(opened, frame, shapes, side))
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):  # as broken files cause
        return None


def draw(image: PIL.Image.Image, frame: Rectangle, shapes: Sequence[Shape], side: int) -> PIL.Image.Image:
    """A scaled RGB copy of an image, transparency shown as a checkerboard, with the first shapes drawn in."""
    shapes = shapes[:MAX_SHAPES]
    canvas = _scaled(image, side, MIN_DRAWN_SIDE if shapes else MIN_SIDE)
    if not shapes:
        return canvas
    pen = _Pen(canvas, frame)
    for item, color in shapes:
        pen.veil(item, color)
        pen.mask(item, color)
    for item, color in shapes:
        pen.outline(item, color)
    pen.labels(shapes)
    return pen.finish()


def encode(image: PIL.Image.Image) -> Figure:
    """An image as PNG or JPEG, whichever is smaller, of less quality if it has more than `MAX_BYTES`."""
    mime, data = smallest(image)
    url = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    return Figure(url, image.width, image.height)


def smallest(image: PIL.Image.Image) -> tuple[str, bytes]:
    """Media type and bytes of an image as PNG or JPEG; see `encode`."""
    data = _bytes(image, "png")
    mime = "image/png"
    for quality in (85, 70, 45):
        if image.mode == "RGB" and (len(data) > MAX_BYTES or quality == 85):
            packed = _bytes(image, "jpeg", quality=quality)
            if len(packed) < len(data):
                data, mime = packed, "image/jpeg"
    return mime, data


def notebook_bytes(image: PIL.Image.Image, media_type: str) -> bytes | None:
    """An image, scaled down to `SIDE`, as PNG or JPEG; None if it is larger in that format than in the other."""
    import PIL.Image

    if max(image.size) > SIDE:
        image.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
    best, data = smallest(image)
    return data if best == media_type else None


def _bytes(image: PIL.Image.Image, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _scaled(image: PIL.Image.Image, side: int, least: int) -> PIL.Image.Image:
    import PIL.Image

    longest = max(image.size)
    factor = min(max(longest, least), side) / longest
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    if image.mode not in ("RGB", "L", "1"):
        image = image.convert("RGBA")
    if factor >= 3 or (factor > 1 and image.mode == "1"):
        way = PIL.Image.Resampling.NEAREST  # the pixels of a tiny image are what one wants to see
    else:
        way = PIL.Image.Resampling.BICUBIC if factor > 1 else PIL.Image.Resampling.LANCZOS
        image = image.convert("L") if image.mode == "1" else image
    image = image.resize(size, way)
    if image.mode != "RGBA":
        return image.convert("RGB")
    canvas = _checkerboard(size)
    canvas.paste(image, mask=image.getchannel("A"))
    return canvas


def _checkerboard(size: tuple[int, int]) -> PIL.Image.Image:
    import PIL.Image

    tiles = -(-size[0] // 8), -(-size[1] // 8)
    small = PIL.Image.new("L", tiles, 255)
    small.putdata([255 if (i % tiles[0] + i // tiles[0]) % 2 else 222 for i in range(tiles[0] * tiles[1])])
    large = small.resize((8 * tiles[0], 8 * tiles[1]), PIL.Image.Resampling.NEAREST)
    return large.crop((0, 0, *size)).convert("RGB")


class _Pen:
    """Draws shapes on a canvas. Every line is a coloured one over a wider white one, so that it shows on any ground."""

    def __init__(self, canvas: PIL.Image.Image, frame: Rectangle) -> None:
        import PIL.Image
        import PIL.ImageDraw

        self.canvas = canvas
        self.left, self.top = frame[:2]
        self.scale = canvas.width / (frame[2] - frame[0]), canvas.height / (frame[3] - frame[1])
        self.overlay = PIL.Image.new("RGBA", (_SMOOTH * canvas.width, _SMOOTH * canvas.height))
        self.ink = PIL.ImageDraw.Draw(self.overlay)
        self.line = max(2.0, max(canvas.size) / 240)

    def finish(self) -> PIL.Image.Image:
        import PIL.Image

        drawn = self.overlay.resize(self.canvas.size, PIL.Image.Resampling.BOX)
        self.canvas.paste(drawn, mask=drawn.getchannel("A"))
        return self.canvas

    # -- places ----------------------------------------------------------------------------------

    def point(self, x: float, y: float) -> tuple[float, float]:
        """A position on the canvas; what lies far outside is moved nearer, since drawing it would overflow."""
        width, height = self.canvas.size
        return (
            _bounded((float(x) - self.left) * self.scale[0], -2.0 * width, 3.0 * width),
            _bounded((float(y) - self.top) * self.scale[1], -2.0 * height, 3.0 * height),
        )

    def box(self, box: Rectangle) -> Rectangle:
        """A rectangle on the canvas, cut to it."""
        points = [self.point(box[0], box[1]), self.point(box[2], box[3])]
        width, height = self.canvas.size
        xs = [_bounded(x, 0.0, width) for x, _ in points]
        ys = [_bounded(y, 0.0, height) for _, y in points]
        return min(xs), min(ys), max(xs), max(ys)

    # -- shapes ----------------------------------------------------------------------------------

    def outline(self, item: DrawnValue, color: str) -> None:
        paths = [[self.point(*p) for p in line] for line in item.lines]
        self.stroke([*map(self.frame, item.frames), *paths], color)
        for x, y in (self.point(*dot) for dot in item.dots):
            for radius, fill in ((2.5 * self.line + 1.5, "#ffffff"), (2.5 * self.line, color)):
                box = (x - radius, y - radius, x + radius, y + radius)
                self.ink.ellipse([_SMOOTH * v for v in box], fill=fill)

    def frame(self, box: Rectangle) -> Line:
        """A rectangle's outline, moved inwards where the edge of the image would hide it."""
        inset = self.line / 2 + 1
        width, height = self.canvas.size
        left, top, right, bottom = self.box(box)
        left, right = max(left, min(inset, width / 2)), min(right, max(width - inset, width / 2))
        top, bottom = max(top, min(inset, height / 2)), min(bottom, max(height - inset, height / 2))
        return [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]

    def stroke(self, paths: Iterable[Line], color: str) -> None:
        """Lines along paths on the canvas; what was given, rather than found, is dashed."""
        paths = [[(_SMOOTH * x, _SMOOTH * y) for x, y in path] for path in paths]
        for width, fill in ((self.line + 2, "#ffffff"), (self.line, color)):
            for path in paths:
                parts = _dashes(path, 4 * _SMOOTH * self.line) if color == GIVEN and fill == color else [path]
                for part in parts:
                    self.ink.line(part, fill=fill, width=round(_SMOOTH * width), joint="curve")

    def veil(self, item: DrawnValue, color: str) -> None:
        """A tint that is strongest at the whitest levels."""
        import PIL.Image

        data, box = item.veil or ("", item.box)
        if not data:
            return
        left, top, right, bottom = map(round, self.box(box))
        with PIL.Image.open(io.BytesIO(base64.b64decode(data)), formats=("PNG",)) as png:
            if png.width * png.height > MAX_PIXELS or right <= left or bottom <= top:
                return
            levels = png.convert("L").resize((right - left, bottom - top), PIL.Image.Resampling.BILINEAR)
        self.canvas.paste(color, (left, top, right, bottom), levels.point(lambda v: round(0.75 * v)))

    def mask(self, item: DrawnValue, color: str) -> None:
        """The pixels of an object, tinted, with a double contour."""
        import PIL.Image
        import PIL.ImageChops
        import PIL.ImageFilter

        data, box = item.mask or ("", item.box)
        if not data:
            return
        left, top, right, bottom = map(round, self.box(box))
        place = (left - 4, top - 4, max(right, left + 1) + 4, max(bottom, top + 1) + 4)
        with PIL.Image.open(io.BytesIO(base64.b64decode(data)), formats=("PNG",)) as png:
            if png.width * png.height > MAX_PIXELS:
                return
            inner = (place[2] - place[0] - 8, place[3] - place[1] - 8)
            pixels = PIL.Image.new("L", (inner[0] + 8, inner[1] + 8))
            pixels.paste(png.convert("L").resize(inner, PIL.Image.Resampling.BILINEAR), (4, 4))
        pixels = pixels.point(lambda v: 255 * (v > 127))
        within = PIL.ImageChops.subtract(pixels, pixels.filter(PIL.ImageFilter.MinFilter(3)))
        beyond = PIL.ImageChops.subtract(pixels.filter(PIL.ImageFilter.MaxFilter(3)), pixels)
        self.canvas.paste(color, place, pixels.point(lambda v: round(0.4 * v)))
        self.canvas.paste("#ffffff", place, beyond)
        self.canvas.paste(color, place, within)

    # -- labels ----------------------------------------------------------------------------------

    def labels(self, shapes: Sequence[Shape]) -> None:
        """White text on plates of the colour of what they name."""
        size = round(min(max(11.0, max(self.canvas.size) / 36), 18.0) * _SMOOTH)
        pad = 2 * _SMOOTH
        width = self.overlay.width - 4 * pad
        texts = [
            _written(item.label, number, size, width)
            for number, (item, _) in enumerate(shapes[:MAX_LABELS], 1)
        ]
        height = 1.25 * size / _SMOOTH + pad / _SMOOTH
        sizes = [((font.getlength(t) + 3 * pad) / _SMOOTH if t else 0.0, height) for t, font in texts]
        places = layout([self.box(item.box) for item, _ in shapes], sizes, self.canvas.size)
        for place, (text, font), (_, color) in zip(places, texts, shapes, strict=False):
            if place:
                left, top, right, bottom = (_SMOOTH * v for v in place)
                box = (left, top, right - 1, bottom - 1)
                self.ink.rounded_rectangle(box, 3 * _SMOOTH, fill=color, outline="#ffffff", width=_SMOOTH)
                middle = (left + 1.5 * pad, (top + bottom) / 2)
                self.ink.text(middle, text, fill="#ffffff", font=font, anchor="lm")


def _bounded(value: float, least: float, most: float) -> float:
    return max(least, min(value, most)) if value == value else least  # NaN is unequal to itself


def _dashes(path: Line, length: float) -> list[Line]:
    """A path cut into dashes as long as the gaps between them."""
    dashes: list[Line] = []
    for (x, y), (u, v) in pairwise(path):
        count = min(max(round(math.hypot(u - x, v - y) / length), 1), 500)
        for i in range(0, count, 2):
            a, b = i / count, (i + 1) / count
            dashes.append([(x + (u - x) * a, y + (v - y) * a), (x + (u - x) * b, y + (v - y) * b)])
    return dashes


def _written(text: str, number: int, size: int, width: float) -> tuple[str, PIL.ImageFont.FreeTypeFont]:
    """The text as far as it fits, and a font that has its characters; its number if no font has them."""
    text = one_line(text, 28)
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    found = next(
        ((t, f) for t in (text, plain) for f in _fonts(size) if all(_has_glyph(f, c) for c in t)), None
    )
    text, font = found or (f"#{number}", _fonts(size)[0])
    while len(text) > 2 and font.getlength(text) > width:
        text = text[:-2] + "…"
    return (text if font.getlength(text) <= width else ""), font


@cache
def _fonts(size: int) -> list[PIL.ImageFont.FreeTypeFont]:
    """The font that comes with Pillow, which has little more than ASCII, and those of the system."""
    import PIL.ImageFont

    found = [PIL.ImageFont.load_default(size=size)]
    for name in _SYSTEM_FONTS:
        with suppress(OSError):
            found.append(PIL.ImageFont.truetype(name, size))
    return [f for f in found if isinstance(f, PIL.ImageFont.FreeTypeFont)]


@cache
def _has_glyph(font: PIL.ImageFont.FreeTypeFont, character: str) -> bool:
    missing, mask = font.getmask("\U0010fffe"), font.getmask(character)
    return character == " " or mask.size != missing.size or bytes(mask) != bytes(missing)

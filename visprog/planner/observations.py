"""What a program found, as a chat model is shown it: in words, and as small images with numbered objects."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from ..llm.chat import ImagePart
from ..report.figures import COLORS, DrawnValue, draw, smallest
from ..report.forms import one_line, type_of, walk, window
from ..values import codec
from ..values.image import Image

QUESTION_SIDE = 1024
"""Longest side, in pixels, of the images of a question as a chat model is shown them."""

LOOK_SIDE = 640
"""The same of what a program found."""

MAX_IMAGES = 4
"""Number of images per message."""

MAX_IMAGE_BYTES = 250_000
"""Bytes of one image, before base64; a larger one is scaled down further."""

MAX_ITEMS = 50
"""Number of values of a list that are described."""

MAX_WORDS = 2_000
"""Characters of the description of a value."""

_MIN_SIDE = 64


def in_words(value: Any) -> str:
    """A value in words; the items of a list of objects on numbered lines, counted from 1."""
    hidden = len(value) - MAX_ITEMS if isinstance(value, list) else 0
    data = codec.Writer(pixels=lambda _: "").value(_first(value))
    if isinstance(data, list) and any(isinstance(item, dict) for item in data):
        lines = [f"{number}: {codec.words(item)}" for number, item in enumerate(data, 1)]
        more = [f"and {hidden} more"] if hidden > 0 else []
        text = "\n".join([*(one_line(line, 200) for line in lines), *more])
    else:
        text = codec.words(data)
    return text if len(text) <= MAX_WORDS else f"{text[: MAX_WORDS - 1]}…"


def in_images(value: Any, whole: Image | None) -> list[ImagePart]:
    """The images of a value, and those that its objects lie in with the objects drawn in, a few at most.

    The items of a list are numbered as `in_words` numbers them.

    Args:
        whole: The image that places lie in which do not say it themselves; None if that is not known.
    """
    images: dict[str, Image] = {whole.root.digest: whole.root} if whole is not None else {}
    unsaid = next(iter(images), "")

    def keep(image: Image, alone: bool) -> None:
        images.setdefault(image.digest, image)
        images.setdefault(image.root.digest, image.root)

    data = codec.Writer(keep).value(_first(value))
    shapes: dict[str, list[DrawnValue]] = {}
    alone: dict[str, None] = {}
    numbered = isinstance(data, list)
    for number, item in enumerate(data if numbered else [data], 1):
        for part in walk([item]):
            if type_of(part) == "Image":
                alone[part["digest"]] = None
            elif (drawn := codec.drawing(part)) is not None:
                root = str((part.get("image") or {}).get("root") or unsaid)
                if root not in images:
                    continue
                label = str(number) if numbered else drawn.label
                shapes.setdefault(root, []).append(replace(drawn, label=label, colored=False))
    shown = [_drawn(images[root], found) for root, found in list(shapes.items())[:MAX_IMAGES]]
    return [*shown, *(picture(images[digest], LOOK_SIDE) for digest in alone)][:MAX_IMAGES]


def _first(value: Any) -> Any:
    return value[:MAX_ITEMS] if isinstance(value, list) else value


def picture(image: Image, side: int) -> ImagePart:
    """An image, scaled down so that its longest side has at most so many pixels."""
    size = f"{image.width} × {image.height}{_when(image)}"
    if image.root is image:
        return _encoded(image, [], side, f"image {size}")
    at = window(codec.to_json(image))["box"]
    return _encoded(image, [], side, f"crop {size} at ({at[0]:.0f}, {at[1]:.0f})")


def _drawn(image: Image, shapes: list[DrawnValue]) -> ImagePart:
    objects = f"{len(shapes)} objects marked" if len(shapes) != 1 else "1 object marked"
    size = f"{image.width} × {image.height}{_when(image)}"
    return _encoded(image, shapes, LOOK_SIDE, f"image {size} with {objects}")


def _when(image: Image) -> str:
    """The time of a frame of a video, in words; empty for other images, and for the first frame."""
    return f" of second {image.time:.2f}" if image.time else ""


def _encoded(image: Image, shapes: list[DrawnValue], side: int, description: str) -> ImagePart:
    frame = (0.0, 0.0, float(image.width), float(image.height))
    colored = [(shape, COLORS[i % len(COLORS)]) for i, shape in enumerate(shapes)]
    pil = image.to_pil()
    while True:
        media_type, data = smallest(draw(pil, frame, colored, side))
        if len(data) <= MAX_IMAGE_BYTES or side <= _MIN_SIDE:
            break
        side = side * 3 // 4
    return ImagePart(data, media_type, description, _digest(image, shapes))


def _digest(image: Image, shapes: Iterable[DrawnValue]) -> str:
    """What is shown, whatever fonts and encoders make of it."""
    return hashlib.sha256(repr((image.digest, list(shapes))).encode()).hexdigest()


def quoted(text: str) -> str:
    """Text that may come from an image, marked as data: nothing in it can end the mark."""
    return f"<observation>\n{text.replace('<', '‹').replace('>', '›')}\n</observation>"

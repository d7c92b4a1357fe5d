"""Programs about whole images, run on made images and tools: what they answer can be compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from visprog.values import Box, Region
from visprog.values.helpers import NothingFound, best, largest, leftmost, rightmost, smallest

SHARPNESS = (0.8, 0.3, 0.5, 0.6)
BRIGHTNESS = (70.0, 50.0, 35.0, 20.0)
LIKENESS = (1.0, 0.9, 0.3, 0.2)
FIELDS = {"Total": "12.40", "Subtotal": "10.00", "VAT": "2.40", "Date": "1 May", "Invoice number": "77"}


@dataclass(frozen=True)
class MadeImage:
    """An image, or what edits have made of one."""

    number: int
    width: float = 640
    height: float = 480
    edits: tuple[Any, ...] = ()

    def edited(self, *edit: Any, width: float | None = None, height: float | None = None) -> MadeImage:
        return MadeImage(self.number, width or self.width, height or self.height, (*self.edits, edit))


def _resize(image: MadeImage, width: float | None = None, height: float | None = None) -> MadeImage:
    scale = width / image.width if width is not None else (height or 0) / image.height
    size = (width or image.width * scale, height or image.height * scale)
    return image.edited("resize", *size, width=size[0], height=size[1])


def _regions(*labels: str) -> list[Region]:
    return [Region(Box(10 * i, 0, 10 * i + 5 + i, 20), label, 1.0) for i, label in enumerate(labels)]


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


TOOLS: dict[str, Any] = {
    "rotate": lambda image, clockwise: image.edited("rotate", clockwise % 360),
    "resize": _resize,
    "brighten": lambda image, factor: image.edited("brighten", round(factor, 6)),
    "grayscale": lambda image: image.edited("grayscale"),
    "collage": lambda images, columns=None: images[0].edited("collage", tuple(images), columns),
    "crop": lambda image, region: image.edited("crop", region.box),
    "cover": lambda image, regions, style: image.edited("cover", tuple(regions), style),
    "remove": lambda image, regions: image.edited("remove", tuple(regions)),
    "annotate": lambda image, regions: image.edited("annotate", tuple(regions)),
    "find_faces": lambda image: _regions("face", "face"),
    "find_text": lambda image, text="": _regions("text", "text", "text"),
    "find_qr_codes": lambda image: _regions("https://a.example"),
    "find_barcodes": lambda image: _regions("4006381333931"),
    "detect": lambda image, what: _regions(*[what.removesuffix("s")] * 2),
    "sharpness": lambda image: SHARPNESS[image.number],
    "brightness": lambda image: BRIGHTNESS[image.number],
    "dominant_color": lambda image: "red",
    "area_share": lambda image, regions: 0.25 if isinstance(regions, str) else len(regions) / 10,
    "compare_images": lambda a, b: _regions(f"{a.number} and {b.number}"),
    "similar": lambda image, images: [LIKENESS[other.number] for other in images],
    "read_table": lambda image: [["a", "b"], ["1", "2"]],
    "read_fields": lambda image: FIELDS,
    **{helper.__name__: helper for helper in (best, largest, smallest, leftmost, rightmost)},
    "Box": Box,
    "NothingFound": NothingFound,
    "print": lambda text: None,
}  # fmt: skip


def answer(program: str, images: int) -> Any:
    """What a program answers about made images; the name of the error that ends it."""
    names = dict(TOOLS)
    exec(program, names)
    given = [MadeImage(number) for number in range(images)]
    try:
        return _frozen(names["answer"](given[0] if images == 1 else given))
    except NothingFound:
        return "NothingFound"


def expected(expression: str, images: int) -> Any:
    """The value of an expression of `image` or `images`."""
    argument = "image" if images == 1 else "images"
    return answer(f"def answer({argument}):\n    return {expression}\n", images)

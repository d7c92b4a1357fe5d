"""Change a picture where something was found. Each tool returns a new picture of the same size."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry import caution, tool
from visprog.registry.sees import Parsed, Sees
from visprog.values import Box, Circle, Line, Located, Polygon, Region
from visprog.values.image import Image

from .imaging.emoji import draw_emoji, emoji_name
from .segment import GrabCut

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

Pixels = NDArray[np.uint8]
Share = NDArray[np.float32]

PLATES = ("#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#e67300", "#008080", "#c2185b", "#5d4037")
"""Colours of tags, one a label."""

MAY_MISS = (
    "hidden is what was found: a face that is turned away, small or half covered, or writing that is hard to read, may "
    "have been missed, so look at the image before you share it"
)

CELLS = 6
"""To how many cells a side a covered part is reduced, at most: faces and writing are gone for good."""

EMOJI_SIDE = 512
"""Side, in pixels, of the largest emoji that is drawn; larger ones are enlarged."""


@tool
def blur_background(image: Image, keep: list[Located]) -> Image:
    """A copy of the image with everything blurred except what is in `keep`.

    Raises:
        ToolError: there is nothing to keep.
    """
    import cv2

    kept = _kept(image, keep, "blur_background")
    sigma = 0.022 * max(image.size)
    # The blur must not draw the colours of what is kept into the background: they would shine around it. So
    # what is kept, and a rim, have no weight in it.
    rim = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_odd(0.6 * sigma), _odd(0.6 * sigma)))
    weight = 1 - cv2.dilate((kept > 0.02).astype(np.float32), rim)
    pixels = image.pixels.astype(np.float32)
    far = cv2.GaussianBlur(pixels, (0, 0), sigma)
    total = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    blurred = cv2.GaussianBlur(pixels * weight[..., None], (0, 0), sigma)
    trust = np.clip(total / 0.02, 0, 1)
    background = trust * blurred / np.maximum(total, 1e-4) + (1 - trust) * far
    return _mixed(image, pixels, background, kept)


@tool
def color_pop(image: Image, keep: list[Located]) -> Image:
    """A copy of the image in grey except for what is in `keep`, which stays in colour.

    Raises:
        ToolError: there is nothing to keep.
    """
    import cv2

    kept = _kept(image, keep, "color_pop")
    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    colorless = np.repeat(grey[..., None], 3, 2).astype(np.float32)
    return _mixed(image, image.pixels.astype(np.float32), colorless, kept)


@tool(
    sees=Sees(phrases={"emoji": Parsed(emoji_name)}),
    limits="hides the regions that it is given; what a finder missed stays visible, so look at the result",
)
def cover(
    image: Image,
    regions: list[Located],
    style: Literal["box", "blur", "pixelate", "emoji"] = "box",
    emoji: str = "smile",
) -> Image:
    """A copy of the image with regions hidden: under a black box, blurred, pixelated, or under an emoji.

    Args:
        emoji: "smile", "laugh", "sad", "wink", "surprised", "cool", "love", "angry", "neutral", "heart",
            "star".

    Raises:
        ToolError: an unknown emoji.
    """
    import PIL.Image

    if style == "emoji":
        emoji = emoji_name(emoji)
    caution(MAY_MISS)
    pixels = image.pixels.copy()
    for region in regions:
        box = _cells(image.to_local(_solid(region)), image)
        if box is None:
            continue
        rows, columns = box
        part = pixels[rows, columns]
        if style == "box":
            part[:] = 0
        elif style == "emoji":
            h, w = part.shape[:2]
            side = round(max(h, w) * (1.5 if emoji in ("heart", "star") else 1.2))
            picture = PIL.Image.fromarray(pixels)
            left, top = (columns.start + columns.stop - side) // 2, (rows.start + rows.stop - side) // 2
            face, corner = _visible(draw_emoji(emoji, min(side, EMOJI_SIDE)), left, top, side, image.size)
            picture.paste(face, corner, face)
            pixels = np.array(picture)
        else:
            hidden = _blurred(part) if style == "blur" else _pixelated(part)
            inside = _outline(image, region)[rows, columns]
            part[inside] = hidden[inside]
    return _made(image, pixels)


@tool
def tag(image: Image, regions: list[Located], labels: list[str] | None = None) -> Image:
    """A copy of the image with a box around each region and its label: of `labels`, one a region, or its own.

    Raises:
        ToolError: not as many labels as regions.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    texts = [_label(r) for r in regions] if labels is None else labels
    if len(texts) != len(regions):
        raise ToolError(f"tag needs one label a region: it got {len(texts)} labels for {len(regions)}")
    if not regions:
        return _made(image, image.pixels)
    picture = PIL.Image.fromarray(image.pixels)
    draw = PIL.ImageDraw.Draw(picture)
    side = max(image.size)
    stroke = max(1, round(side / 350))
    font = PIL.ImageFont.load_default(size=max(10, round(side / 42)))
    colors = {text: PLATES[i % len(PLATES)] for i, text in enumerate(dict.fromkeys(texts))}
    taken: list[Box] = []
    for region, text in zip(regions, texts, strict=True):
        box = image.to_local(region).clip(Box(0, 0, image.width - 1, image.height - 1))
        draw.rectangle((box.left, box.top, box.right, box.bottom), outline=colors[text], width=stroke)
    for region, text in zip(regions, texts, strict=True):
        if text:
            _plate(draw, image.to_local(region), text, font, colors[text], image.size, taken)
    return _made(image, np.array(picture))


# -- what is kept --------------------------------------------------------------------------------------


def _kept(image: Image, keep: list[Located], name: str) -> Share:
    """How much of each pixel of the image is kept, 0 to 1, with soft edges.

    Raises:
        ToolError: there is nothing to keep, or none of it lies in the image.
    """
    if not keep:
        raise ToolError(f"{name} has nothing to keep: nothing was found")
    whole = np.zeros((image.height, image.width), bool)
    for region in keep:
        if region.box.intersection(image.box) is None and not isinstance(region, Line):
            continue
        if isinstance(region, Circle | Polygon | Line) or getattr(region, "mask", None) is not None:
            whole |= _outline(image, region)
        else:
            whole |= _grabcut().mask(image, region).within(image.box)
    if not whole.any():
        raise ToolError(f"{name} has nothing to keep: the regions lie outside the picture")
    return _feathered(image.pixels, whole)


@cache
def _grabcut() -> GrabCut:
    return GrabCut()


def _feathered(pixels: Pixels, mask: NDArray[np.bool_]) -> Share:
    """A mask with edges that follow the picture's own (the guided filter, He, Sun & Tang, 2010)."""
    import cv2

    radius = max(2, round(max(mask.shape) / 160))
    guide = cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    size = (2 * radius + 1, 2 * radius + 1)
    share = mask.astype(np.float32)
    mean_g, mean_s = cv2.blur(guide, size), cv2.blur(share, size)
    covariance = cv2.blur(guide * share, size) - mean_g * mean_s
    slope = covariance / (cv2.blur(guide * guide, size) - mean_g**2 + 1e-3)
    base = mean_s - slope * mean_g
    soft = cv2.blur(slope, size) * guide + cv2.blur(base, size)
    # Stretched, so that what is well inside is kept whole and what is well outside is not kept at all.
    feathered: Share = np.clip((soft - 0.15) / 0.7, 0, 1)
    return feathered


def _outline(image: Image, region: Located) -> NDArray[np.bool_]:
    """The pixels of a region in the image (H, W): of its mask or shape where it has one, else of its box."""
    import cv2

    def local(points: Any) -> NDArray[np.int32]:
        places = np.array([[p.x - image.origin.x, p.y - image.origin.y] for p in points])
        sixteenths: NDArray[np.int32] = np.round(places * 16).astype(np.int32)  # drawn with shift=4
        return sixteenths

    canvas = np.zeros((image.height, image.width), np.uint8)
    if isinstance(region, Region) and region.mask is not None and region.mask.area:
        return region.mask.within(image.box)
    if isinstance(region, Circle):
        (center,) = local([region.center]).tolist()
        cv2.circle(canvas, center, round(region.radius * 16), 1, -1, shift=4)
    elif isinstance(region, Polygon):
        cv2.fillPoly(canvas, [local(region.points)], 1, shift=4)
    elif isinstance(region, Line):
        cv2.polylines(canvas, [local(region.points)], False, 1, max(3, round(max(image.size) / 120)), shift=4)
    else:
        cells = _cells(image.to_local(region), image)
        if cells is not None:
            canvas[cells] = 1
    return canvas.astype(bool)


def _solid(region: Located) -> Box:
    """The box of a region, of at least four pixels a side: a drawn line has a box without height."""
    box = region.box
    dx, dy = max(0.0, 4 - box.width) / 2, max(0.0, 4 - box.height) / 2
    return Box(box.left - dx, box.top - dy, box.right + dx, box.bottom + dy)


def _cells(box: Box, image: Image) -> tuple[slice, slice] | None:
    """Rows and columns under a box in the image's own pixels; None where it lies outside."""
    inner = box.intersection(Box(0, 0, image.width, image.height))
    if inner is None:
        return None
    return (
        slice(int(np.floor(inner.top)), int(np.ceil(inner.bottom))),
        slice(int(np.floor(inner.left)), int(np.ceil(inner.right))),
    )


# -- what is done to pixels ----------------------------------------------------------------------------


def _mixed(image: Image, front: NDArray[np.float32], back: NDArray[np.float32], share: Share) -> Image:
    mixed = front * share[..., None] + back * (1 - share[..., None])
    return _made(image, mixed.round().clip(0, 255).astype(np.uint8))


def _made(image: Image, pixels: Pixels) -> Image:
    """A new root picture in the place of `image`."""
    return Image(pixels, image.alpha, image.name)


def _visible(
    picture: PIL.Image.Image, left: int, top: int, side: int, frame: tuple[int, int]
) -> tuple[PIL.Image.Image, tuple[int, int]]:
    """The part of a square picture, enlarged to a side, that lies in a frame (width, height), and its corner."""
    corner = max(left, 0), max(top, 0)
    size = min(left + side, frame[0]) - corner[0], min(top + side, frame[1]) - corner[1]
    scale = picture.width / side
    x, y = (corner[0] - left) * scale, (corner[1] - top) * scale
    return picture.resize(size, box=(x, y, x + size[0] * scale, y + size[1] * scale)), corner


def _blurred(part: Pixels) -> Pixels:
    """Blurred from a few cells, so that no sharpening brings back what was there."""
    import cv2

    height, width = part.shape[:2]
    few = _reduced(part, CELLS)
    smooth = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)
    blurred: Pixels = cv2.GaussianBlur(smooth, (0, 0), max(1.0, max(width, height) / 16))
    return blurred


def _pixelated(part: Pixels) -> Pixels:
    import cv2

    height, width = part.shape[:2]
    blocks: Pixels = cv2.resize(_reduced(part, CELLS), (width, height), interpolation=cv2.INTER_NEAREST)
    return blocks


def _reduced(part: Pixels, cells: int) -> Pixels:
    """The part in square cells, so many on its longer side."""
    import cv2

    height, width = part.shape[:2]
    cell = max(height, width) / cells
    size = max(1, round(width / cell)), max(1, round(height / cell))
    reduced: Pixels = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    return reduced


def _odd(length: float) -> int:
    return 2 * max(1, round(length / 2)) + 1


# -- tags ----------------------------------------------------------------------------------------------


def _label(region: Located) -> str:
    if isinstance(region, Region):
        return region.label
    kind = type(region).__name__.lower()
    color = getattr(region, "color", None)
    return f"{color} {kind}" if color else kind


def _plate(
    draw: PIL.ImageDraw.ImageDraw,
    box: Box,
    text: str,
    font: PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont,
    color: str,
    size: tuple[int, int],
    taken: list[Box],
) -> None:
    """A label above the box, or inside it, or below it: the first place that is in the picture and free."""
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    pad = max(2.0, 0.2 * (bottom - top))
    width, height = right - left + 2 * pad, bottom - top + 2 * pad
    x = min(max(box.left, 0.0), max(0.0, size[0] - width))
    places = []
    for y in (box.top - height, box.top, box.bottom - height, box.bottom):
        y = min(max(y, 0.0), max(0.0, size[1] - height))
        places.append(Box(x, y, x + width, y + height))
    place = next((p for p in places if not any(p.overlaps(t) for t in taken)), places[0])
    taken.append(place)
    draw.rectangle((place.left, place.top, place.right, place.bottom), fill=color)
    draw.text((place.left + pad - left, place.top + pad - top), text, "#ffffff", font=font)

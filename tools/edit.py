"""Edits of an image at the places of regions. Each tool returns a new image of the same size."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from visprog.errors import ToolError
from visprog.registry import caution, tool
from visprog.registry.sees import Parsed, Sees
from visprog.values import Located, Region
from visprog.values.image import Image

from .imaging.annotations import draw_annotations, draw_marks
from .imaging.blurring import blur_without
from .imaging.emoji import emoji_name
from .imaging.hiding import blurred, hide_under_emoji, pixelated
from .imaging.region_masks import check_regions, grown, region_mask, rows_and_columns, soft_mask, solid_box

MAY_MISS = (
    "hidden is what was found: a face that is turned away, small or half covered, or writing that is hard to read, may "
    "have been missed, so look at the image before you share it"
)


SOFTNESS = 0.022
"""Width of the blur of a background, as a share of the longer side of the image."""

MAX_ASPECT = 4
"""Longest side of an image, in shortest sides, by which the blur grows."""

STRIP_PIXELS = 1 << 18
"""Number of pixels that are mixed at a time."""


@tool
def blur_background(image: Image, keep: list[Located]) -> Image:
    """A copy of the image with everything blurred except what is in `keep`.

    Raises:
        ToolError: there is nothing to keep.
    """
    kept = _kept(image, keep, "blur_background")
    sigma = SOFTNESS * min(max(image.size), MAX_ASPECT * min(image.size))
    left_out = grown(kept > 0.02, 0.3 * sigma)  # what is kept, and a rim
    return _mixed(image, blur_without(image.pixels, left_out, sigma), kept)


@tool
def color_pop(image: Image, keep: list[Located]) -> Image:
    """A copy of the image in grey except for what is in `keep`, which stays in colour.

    Raises:
        ToolError: there is nothing to keep.
    """
    import cv2

    kept = _kept(image, keep, "color_pop")
    grey = cv2.cvtColor(np.ascontiguousarray(image.pixels), cv2.COLOR_RGB2GRAY)
    return _mixed(image, grey[..., None], kept)


@tool
def remove_background(image: Image, keep: list[Located]) -> Image:
    """A copy of the image with everything transparent except what is in `keep`; files that hold no transparency, such
    as JPEG, get white.

    Raises:
        ToolError: there is nothing to keep.
    """
    kept = _kept(image, keep, "remove_background")
    rgba = np.array(image.to_pil().convert("RGBA"))
    rgba[..., 3] = (rgba[..., 3] * kept).round()
    return Image.open(rgba, name=image.name)


@tool(
    sees=Sees(phrases={"emoji": Parsed(emoji_name)}),
    limits="hides the regions that it is given; what a finder missed stays visible, so look at the result",
)
def cover(
    image: Image,
    regions: list[Located],
    style: Literal["box", "blur", "pixelate", "emoji"] | None = None,
    emoji: str | None = None,
) -> Image:
    """A copy of the image with regions hidden: under a black box, blurred, pixelated, or under an emoji.

    Args:
        style: "emoji" if an emoji is given, else "box" by default.
        emoji: "smile" by default, "laugh", "sad", "wink", "surprised", "cool", "love", "angry", "neutral", "heart",
            "star".

    Raises:
        ToolError: an unknown emoji.
    """
    style = style or ("box" if emoji is None else "emoji")
    name = emoji_name("smile" if emoji is None else emoji) if style == "emoji" else ""
    check_regions(image, regions, "cover")
    caution(MAY_MISS)
    pixels = image.pixels.copy()
    for region in regions:
        window = rows_and_columns(image.to_local(solid_box(region)), image)
        if window is None:
            continue
        part = pixels[window]
        if style == "box":
            part[:] = 0
        elif style == "emoji":
            hide_under_emoji(pixels, *window, name)
        else:
            hidden = blurred(part) if style == "blur" else pixelated(part)
            inside = region_mask(image, region, window)
            part[inside] = hidden[inside]
    return _made(image, pixels)


@tool
def tag(image: Image, regions: list[Located], labels: list[str] | None = None) -> Image:
    """A copy of the image with a box around each region and its label: of `labels`, one a region, or its own.

    Raises:
        ToolError: not as many labels as regions.
    """
    texts = [_label(r) for r in regions] if labels is None else labels
    if len(texts) != len(regions):
        raise ToolError(f"tag needs one label a region: it got {len(texts)} labels for {len(regions)}")
    return _made(image, draw_annotations(image, [region.box for region in regions], texts))


@tool
def annotate(image: Image, regions: list[Located], labels: list[str] | None = None) -> Image:
    """A copy of the image with each region's box or outline, its mask tinted, and its label and score; or `labels`, one
    a region.

    Raises:
        ToolError: not as many labels as regions.
    """
    texts = [_label_and_score(r) for r in regions] if labels is None else labels
    if len(texts) != len(regions):
        raise ToolError(f"annotate needs one label a region: it got {len(texts)} labels for {len(regions)}")
    check_regions(image, regions, "annotate")
    return _made(image, draw_annotations(image, regions, texts))


@tool
def mark(image: Image, regions: list[Located]) -> Image:
    """A copy of the image with each region outlined and numbered from 1, to ask about by number: number n stands on
    `regions[n - 1]`."""
    check_regions(image, regions, "mark")
    return _made(image, draw_marks(image, regions))


def _kept(image: Image, keep: list[Located], name: str) -> NDArray[np.float32]:
    """The share (H, W), 0 to 1, of each pixel that is kept.

    Raises:
        ToolError: There is nothing to keep, or none of it lies in the image.
    """
    if not keep:
        raise ToolError(f"{name} has nothing to keep: nothing was found")
    check_regions(image, keep, name)
    kept = soft_mask(image, keep)
    if kept is None:
        raise ToolError(f"{name} has nothing to keep: the regions lie outside the image")
    return kept


def _mixed(image: Image, back: NDArray[np.uint8], share: NDArray[np.float32]) -> Image:
    """An image over a background (H, W, 1 or 3) by the share (H, W) of each pixel that is kept."""
    pixels = np.empty_like(image.pixels)
    height = max(1, STRIP_PIXELS // image.width)
    for start in range(0, image.height, height):  # not the whole image in floats
        rows = slice(start, start + height)
        part = share[rows, :, None]
        pixels[rows] = (image.pixels[rows] * part + back[rows] * (1 - part)).round()
    return _made(image, pixels)


def _made(image: Image, pixels: NDArray[np.uint8]) -> Image:
    """A new root image in the place of `image`."""
    return Image(pixels, image.alpha, image.name)


def _label_and_score(region: Located) -> str:
    label = _label(region)
    return f"{label} {region.score:.2f}".strip() if isinstance(region, Region) and region.score < 1 else label


def _label(region: Located) -> str:
    if isinstance(region, Region):
        return region.label
    kind = type(region).__name__.lower()
    color = getattr(region, "color", None)
    return f"{color} {kind}" if color else kind

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

from .imaging.emoji import emoji_name
from .imaging.hiding import blurred, pixelated, under_emoji
from .imaging.region_masks import region_mask, rows_and_columns, soft_mask, solid_box
from .imaging.tags import draw_tags

MAY_MISS = (
    "hidden is what was found: a face that is turned away, small or half covered, or writing that is hard to read, may "
    "have been missed, so look at the image before you share it"
)


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
    spread = cv2.GaussianBlur(pixels * weight[..., None], (0, 0), sigma)
    trust = np.clip(total / 0.02, 0, 1)
    background = trust * spread / np.maximum(total, 1e-4) + (1 - trust) * far
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
    if style == "emoji":
        emoji = emoji_name(emoji)
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
            pixels = under_emoji(pixels, *window, emoji)
        else:
            hidden = blurred(part) if style == "blur" else pixelated(part)
            inside = region_mask(image, region)[window]
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
    return _made(image, draw_tags(image, regions, texts) if regions else image.pixels)


def _kept(image: Image, keep: list[Located], name: str) -> NDArray[np.float32]:
    """The share (H, W), 0 to 1, of each pixel that is kept.

    Raises:
        ToolError: There is nothing to keep, or none of it lies in the image.
    """
    if not keep:
        raise ToolError(f"{name} has nothing to keep: nothing was found")
    kept = soft_mask(image, keep)
    if kept is None:
        raise ToolError(f"{name} has nothing to keep: the regions lie outside the image")
    return kept


def _odd(length: float) -> int:
    return 2 * max(1, round(length / 2)) + 1


def _mixed(
    image: Image, front: NDArray[np.float32], back: NDArray[np.float32], share: NDArray[np.float32]
) -> Image:
    mixed = front * share[..., None] + back * (1 - share[..., None])
    return _made(image, mixed.round().clip(0, 255).astype(np.uint8))


def _made(image: Image, pixels: NDArray[np.uint8]) -> Image:
    """A new root image in the place of `image`."""
    return Image(pixels, image.alpha, image.name)


def _label(region: Located) -> str:
    if isinstance(region, Region):
        return region.label
    kind = type(region).__name__.lower()
    color = getattr(region, "color", None)
    return f"{color} {kind}" if color else kind

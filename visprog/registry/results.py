"""Where results lie: everything that a tool finds is expressed in the frame of the root image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..errors import ToolError
from ..values import Located, Mask, Point
from ..values.image import Image


@dataclass(frozen=True)
class Metered:
    """What a backend returns if its answer took tokens of a chat model, which a run has a budget of.

    Attributes:
        value: The result, or the exception in its place.
        tokens: Number of tokens that the model read and wrote.
    """

    value: Any
    tokens: int


MAKE_REGION = (
    "make it with image.region((left, top, right, bottom), label, score), in the pixels of that image"
)


def alone(image: Image) -> Image:
    """A crop as a tool sees it that is given its bare pixels: an image of its own."""
    return image if image.parent is None else Image(image.pixels, image.alpha, image.name)


def images_of(arguments: Sequence[Any]) -> list[Image]:
    """The images that a call is about: those that it is given, or else those that its regions lie in."""
    flat = [v for a in arguments for v in (a if isinstance(a, list | tuple) else (a,))]
    given = [v for v in flat if isinstance(v, Image)]
    found = given or [v.image for v in flat if isinstance(getattr(v, "image", None), Image)]
    return list({id(image): image for image in found}.values())


def placed(value: Any, images: Sequence[Image], *, own_pixels: bool, tool: str) -> Any:
    """A result whose regions and shapes know their image, with coordinates in the frame of its root.

    Args:
        value: as the tool returned it.
        images: that the tool was given.
        own_pixels: the tool was given bare pixels, so that it can only have meant coordinates in these.
        tool: its name, for messages.

    Raises:
        ToolError: found in a crop, and nobody can tell in which frame.
    """
    if isinstance(value, list | tuple):
        return type(value)(placed(v, images, own_pixels=own_pixels, tool=tool) for v in value)
    if isinstance(value, dict):
        return {k: placed(v, images, own_pixels=own_pixels, tool=tool) for k, v in value.items()}
    if isinstance(value, Located) and hasattr(value, "image"):
        return _linked(value, images, own_pixels, tool)
    if isinstance(value, Located | Point) and images:
        if own_pixels and len(images) == 1:
            return images[0].to_root(value)
        _check_inside(value, images, tool)
    return value


def _linked(value: Any, images: Sequence[Image], own_pixels: bool, tool: str) -> Any:
    found_in: Image | None = value.image
    if found_in is None:
        image = images[0] if len(images) == 1 else None
        if any(each.parent is not None for each in images) and not (own_pixels and image is not None):
            raise ToolError(
                f"{tool} found something in a crop and did not say in which image it lies: {MAKE_REGION}"
            )
        return value if image is None else replace(image.to_root(value), image=image.root)
    if found_in.parent is not None:  # of a crop: its coordinates are those of that crop
        return replace(found_in.to_root(value), image=found_in.root)
    if any(found_in is image.root for image in images):
        _check_inside(value, [image for image in images if found_in is image.root], tool)
        return value
    # Of an image that was made of the pixels of another, on the way through PIL or an array.
    image = next((each for each in images if each.digest == found_in.digest), None)
    return value if image is None else replace(image.to_root(value), image=image.root)


def _check_inside(value: Any, images: Sequence[Image], tool: str) -> None:
    empty = isinstance(value, Mask) and value.pixels.size == 0
    if not empty and all(each.parent is not None and value.distance(each.box) > 0 for each in images):
        raise ToolError(
            f"{tool} found something outside the crop that it was given: if its coordinates are the crop's own, "
            f"{MAKE_REGION}, or move it with image.to_root"
        )

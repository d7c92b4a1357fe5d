"""Values that a client names in the arguments of a tool: uploaded images, and results of earlier calls."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from typing import Any

from numpy.typing import NDArray

from visprog.errors import ImageError, ToolError
from visprog.registry import Tool
from visprog.runtime.workspace import Workspace
from visprog.values import Box
from visprog.values.codec import Reader
from visprog.values.image import Image
from visprog.values.png import from_png

from .errors import Problem
from .forms import pixels_of


def arguments_of(
    tool: Tool,
    given: Mapping[str, Any],
    values: Mapping[str, Any],
    images: Mapping[str, Image],
    pixels: int,
) -> dict[str, Any]:
    """Make the arguments of a tool call from a request.

    Args:
        tool: Tool to call.
        given: Arguments by name, in the form of the tool's JSON schema: images, regions and other values are ids.
        values: Values by id, in the JSON form of answers, such as results of earlier calls. The images that they
            refer to must be among `images`.
        images: Uploaded images by id.
        pixels: Maximum number of pixels of images and masks together.

    Raises:
        Problem: 400 if an argument is wrong or an id is unknown, 413 if masks are too large.
    """
    known: dict[str, Any] = dict(images)
    reader = _reader(images.values(), pixels)
    for name, data in values.items():
        try:
            known[name] = reader.value(data)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, ImageError) as error:
            raise Problem(
                400, f"'{name:.40}' in 'values' is not a complete value: {type(error).__name__}: {error}"
            ) from None
    workspace = Workspace(known)
    types = {p.name: p.type for p in tool.parameters}

    def resolved(name: str, value: Any) -> Any:
        try:
            return workspace.resolve(types[name], value) if name in types else value
        except ToolError as error:
            raise ToolError(f"{tool.name}: '{name}' {error}") from None

    try:
        return tool.bind(**{name: resolved(name, value) for name, value in given.items()})
    except (ToolError, KeyError) as error:
        raise Problem(400, str(error)) from None


def _reader(images: Collection[Image], bound: int) -> Reader:
    """Reader of values whose images were uploaded; images and masks have `bound` pixels at most, together."""
    uploaded = {image.digest: image for image in images}
    left = bound - sum(image.width * image.height for image in images)

    def pixels(text: str) -> NDArray[Any]:
        nonlocal left
        left -= pixels_of(base64.b64decode(text))  # before anything is decoded
        if left < 0:
            raise Problem(413, f"the masks are too large: this server accepts {bound:,} pixels per request")
        return from_png(text)

    def image(form: Mapping[str, Any]) -> Image:
        whole = uploaded.get(form["digest"])
        if whole is not None:
            return whole
        root = uploaded.get(form["root"])
        if root is None:
            raise ImageError("the image that it refers to was not uploaded with this request")
        x, y = form["origin"]
        return root.crop(Box(x, y, x + form["width"], y + form["height"]))

    return Reader(image, pixels)

"""Edits that fill a part of an image anew. Each tool returns a new image of the same size."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Located
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoInpainter",
        "diffusion": "visprog.tools.backends.diffusion:DiffusionReplacer",
        "diffusers": "visprog.tools.backends.diffusers:DiffusersReplacer",
    },
    default="none",
)
def replace(image: Image, region: Located | list[Located], prompt: str) -> Image:
    """A copy of the image with what `prompt` describes drawn in the place of a region, or of each of several.

    Args:
        prompt: what is drawn there, such as "a red car".

    Raises:
        ToolError: there is no region, or it lies outside the image.
    """
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "opencv": "visprog.tools.backends.opencv:Inpainter",
        "diffusion": "visprog.tools.backends.diffusion:DiffusionRemover",
        "diffusers": "visprog.tools.backends.diffusers:DiffusersRemover",
    },
    default="opencv",
    limits="what fills the place is a guess from its surroundings, not what was behind the object",
)
def remove(image: Image, region: Located | list[Located]) -> Image:
    """A copy of the image without what is in a region, or in several: the surroundings are continued into it. A region
    with a mask, as of segment, leaves more of the image as it is than a box.

    Raises:
        ToolError: there is no region, it lies outside the image, or it covers all of it.
    """
    raise NotImplementedError  # a backend answers

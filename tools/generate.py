"""Text-to-image generation."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoGenerator",
        "dalle": "visprog.tools.backends.dalle:DalleGenerator",
        "diffusion": "visprog.tools.backends.diffusion:DiffusionGenerator",
        "diffusers": "visprog.tools.backends.diffusers:DiffusersGenerator",
    },
    default="none",
    limits="a model makes the images, which may differ from the text: compare them with match",
)
def generate(prompt: str, n: int = 1) -> list[Image]:
    """Make `n` new images of what a text describes, the best first. Equal calls give equal images."""
    raise NotImplementedError  # a backend answers

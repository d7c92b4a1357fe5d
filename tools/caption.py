"""Captioning: a sentence about an image."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoCaptioner",
        "embedded": "visprog.tools.backends.coca:CocaCaptioner",
        "coca": "visprog.tools.backends.coca:CocaCaptioner",
        "blip": "visprog.tools.backends.blip:BlipCaptioner",
        "blip2": "visprog.tools.backends.blip2:Blip2Captioner",
        "florence2": "visprog.tools.backends.florence2:Florence2Captioner",
        "llava": "visprog.tools.backends.llava:LlavaCaptioner",
        "vlm": "visprog.tools.backends.vlm:VlmCaptioner",
        "openai": "visprog.tools.backends.endpoint:EndpointCaptioner",
    },
    default="none",
)
def caption(image: Image | Region) -> str:
    """One sentence that describes an image, or an object found in it."""
    raise NotImplementedError  # a backend answers

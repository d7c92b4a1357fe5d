"""Retrieval: the images that fit a text best."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoRetriever",
        "embedded": "visprog.tools.backends.clip:EmbeddedRetriever",
        "clip": "visprog.tools.backends.clip:ClipRetriever",
        "siglip": "visprog.tools.backends.siglip:SiglipRetriever",
        "dino": "visprog.tools.backends.dino:DinoRetriever",
    },
    default="none",
)
def retrieve(images: list[Image], text: str, k: int = 5) -> list[Image]:
    """The k of many images that fit a text best, best first. They need not fit well; to decide, use verify."""
    raise NotImplementedError  # a backend answers

"""Visual question answering: free questions about an image."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoVqa",
        "embedded": "visprog.tools.backends.llava:EmbeddedVqa",
        "blip2": "visprog.tools.backends.blip2:Blip2Vqa",
        "llava": "visprog.tools.backends.llava:LlavaVqa",
        "lxmert": "visprog.tools.backends.lxmert:LxmertVqa",
        "vlm": "visprog.tools.backends.vlm:VlmVqa",
        "openai": "visprog.tools.backends.endpoint:EndpointVqa",
    },
    default="none",
)
def vqa(image: Image | Region, question: str) -> str:
    """A short answer, in words, to a question about an image or about an object found in it."""
    raise NotImplementedError  # a backend answers

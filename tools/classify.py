"""Zero-shot classification: the option that fits best, the fit of a text, and whether a statement is true."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image


@tool(
    backends={
        "basic": "visprog.tools.backends.basic:BasicClassifier",
        "embedded": "visprog.tools.backends.clip:EmbeddedClassifier",
        "clip": "visprog.tools.backends.clip:ClipClassifier",
        "siglip": "visprog.tools.backends.siglip:SiglipClassifier",
        "probe": "visprog.tools.backends.probe:ProbeClassifier",
    },
    default="basic",
)
def classify(image: Image | Region, options: list[str]) -> str:
    """The one of the options that fits an image, or an object found in it, best, spelled as given."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "basic": "visprog.tools.backends.basic:BasicMatcher",
        "embedded": "visprog.tools.backends.clip:EmbeddedMatcher",
        "albef": "visprog.tools.backends.albef:AlbefMatcher",
        "blip2": "visprog.tools.backends.blip2:Blip2Matcher",
        "clip": "visprog.tools.backends.clip:ClipMatcher",
        "siglip": "visprog.tools.backends.siglip:SiglipMatcher",
    },
    default="basic",
)
def match(image: Image | Region, text: str) -> float:
    """How well a text fits an image or an object found in it, 0 to 1. Use it to rank; to decide, use verify."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "basic": "visprog.tools.backends.basic:BasicVerifier",
        "embedded": "visprog.tools.backends.clip:EmbeddedVerifier",
        "albef": "visprog.tools.backends.albef:AlbefVerifier",
        "blip2": "visprog.tools.backends.blip2:Blip2Verifier",
        "clip": "visprog.tools.backends.clip:ClipVerifier",
        "siglip": "visprog.tools.backends.siglip:SiglipVerifier",
        "visualbert": "visprog.tools.backends.visualbert:VisualBertVerifier",
        "vlm": "visprog.tools.backends.vlm:VlmVerifier",
    },
    default="basic",
)
def verify(image: Image | Region, statement: str) -> bool:
    """True if a statement, such as "a person wearing a hat" or "red", holds for an image or an object in it."""
    raise NotImplementedError  # a backend answers

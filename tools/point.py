"""Pointing: a point on each object of a kind."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Point
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoPointer",
        "detect": "visprog.tools.backends.composed:DetectedCenters",
        "vlm": "visprog.tools.backends.pointing:VlmPointer",
        "openai": "visprog.tools.backends.pointing:EndpointPointer",
    },
    default="none",
)
def point(image: Image, what: str) -> list[Point]:
    """A point on each object or part that a phrase names: point(image, "handles of the drawers"). For boxes use
    detect."""
    raise NotImplementedError  # a backend answers

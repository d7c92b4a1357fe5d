"""Referring: which of the regions found an expression means."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region


@tool(
    backends={
        "none": "visprog.tools.backends.none:NothingSelected",
        "vilbert": "visprog.tools.backends.vilbert:VilbertSelector",
    },
    default="none",
)
def select(regions: list[Region], phrase: str) -> list[Region]:
    """Those of some regions of one image that an expression fits, best first: select(detect(image, "dogs"), "the dog
    left of the bench"). None may fit."""
    raise NotImplementedError  # a backend answers

"""Referring: which of the regions found an expression means."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region


@tool(
    backends={
        "none": "visprog.tools.backends.none:NothingSelected",
        "verify": "visprog.tools.backends.composed:VerifiedRegions",
        "vilbert": "visprog.tools.backends.vilbert:VilbertSelector",
    },
    default="verify",
)
def select(regions: list[Region], phrase: str) -> list[Region]:
    """Those of some regions of one image that an expression fits, best first: select(detect(image, "car"), "red car").
    None may fit."""
    raise NotImplementedError  # a backend answers

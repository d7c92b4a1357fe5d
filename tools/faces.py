"""Face detection."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image


@tool(
    backends={
        "best": "visprog.tools.backends.yunet:BestFaces",
        "haar": "visprog.tools.backends.cascades:HaarFaces",
        "yunet": "visprog.tools.backends.yunet:YuNetFaces",
    },
    default="best",
    limits="faces seen from the front or the side, about 20 pixels or more across; some of them are missed",
)
def find_faces(image: Image) -> list[Region]:
    """Human faces, most certain first. Each region is labelled "face"."""
    raise NotImplementedError  # a backend answers

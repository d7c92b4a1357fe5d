"""Segmentation: the exact pixels of one object whose place is known, or of all objects."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Point, Region
from visprog.values.image import Image


@tool(
    backends={
        "grabcut": "visprog.tools.backends.opencv:GrabCut",
        "embedded": "visprog.tools.backends.sam:EmbeddedSegmenter",
        "sam": "visprog.tools.backends.sam:SamSegmenter",
        "sam2": "visprog.tools.backends.sam2:Sam2Segmenter",
        "segment-anything": "visprog.tools.backends.sam:SegmentAnythingSegmenter",
    },
    default="grabcut",
)
def segment(image: Image, region: Region | Point) -> Region:
    """The same region with a mask of the exact pixels of the object in its box; for a point, the object there."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "none": "visprog.tools.backends.none:NothingSegmented",
        "embedded": "visprog.tools.backends.sam:EmbeddedEverything",
        "sam": "visprog.tools.backends.sam:SamEverything",
        "sam2": "visprog.tools.backends.sam2:Sam2Everything",
    },
    default="none",
)
def segment_everything(image: Image) -> list[Region]:
    """All objects and parts of objects in an image, whatever they are, each with a mask."""
    raise NotImplementedError  # a backend answers

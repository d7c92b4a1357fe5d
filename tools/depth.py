"""Depth: how far from the camera everything in an image is."""

from __future__ import annotations

from visprog.registry import caution, tool
from visprog.values import Depth, Located, Point
from visprog.values.depth import NO_METRES
from visprog.values.image import Image


@tool(
    backends={
        "none": "visprog.tools.backends.none:NoDepth",
        "depth-anything": "visprog.tools.backends.depth_anything:DepthEstimator",
    },
    default="none",
)
def depth(image: Image) -> Depth:
    """How far from the camera everything in an image is: depth(image).at(region) is larger for what is farther away.
    Compare values of one image with each other; nearest_to_camera chooses. A distance is depth(image).metres(region),
    which relative depth refuses."""
    raise NotImplementedError  # a backend answers


@tool(cache=False)
def depth_at(depth: Depth, where: Located | Point) -> float:
    """How far an object or a point is from the camera, to compare. Programs call it as depth.at(where).

    Raises:
        ToolError: It lies outside the image, or in another image.
    """
    if not depth.metric:
        caution(NO_METRES)
    return depth.at(where)


@tool(cache=False)
def depth_metres(depth: Depth, where: Located | Point) -> float:
    """How many metres an object or a point is from the camera. Programs call it as depth.metres(where).

    Raises:
        Refused: The depth is relative.
        ToolError: It lies outside the image, or in another image.
    """
    return depth.metres(where)

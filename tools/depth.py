"""Depth: how far from the camera everything in an image is."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Depth, Located, Point
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
    Compare values of one image with each other; nearest_to_camera chooses."""
    raise NotImplementedError  # a backend answers


@tool(cache=False)
def depth_at(depth: Depth, where: Located | Point) -> float:
    """How far an object or a point is from the camera. Programs call it as depth.at(where).

    Raises:
        ToolError: It lies outside the image, or in another image.
    """
    return depth.at(where)

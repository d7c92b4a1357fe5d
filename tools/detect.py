"""Detection: all objects of a kind."""

from __future__ import annotations

from visprog.registry import tool
from visprog.values import Region
from visprog.values.image import Image

from .imaging.tiles import in_tiles


@tool(
    backends={
        "opencv": "visprog.tools.backends.opencv:OpenCVDetector",
        "embedded": "visprog.tools.backends.owl:EmbeddedDetector",
        "onnx": "visprog.tools.backends.onnx:OnnxDetector",
        "owl": "visprog.tools.backends.owl:OwlDetector",
        "owlv2": "visprog.tools.backends.owl:OwlDetector",
        "detr": "visprog.tools.backends.detr:DetrDetector",
        "florence2": "visprog.tools.backends.florence2:Florence2Detector",
        "grounding-dino": "visprog.tools.backends.grounding_dino:GroundingDinoDetector",
        "sam3": "visprog.tools.backends.sam3:Sam3Detector",
    },
    default="opencv",
    spread=in_tiles,
)
def detect(image: Image, what: str, tiles: int = 1) -> list[Region]:
    """All objects in the image that a noun phrase names, such as "dogs" or "red car", most certain first.

    Args:
        tiles: 2 to 8 to also search so many overlapping parts along the longer side, for objects that are small in a
            large image; slower.
    """
    raise NotImplementedError  # a backend answers

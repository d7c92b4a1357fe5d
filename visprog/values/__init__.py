"""The values that programs, tools and answers are made of. Immutable, typed, cheap to copy.

One coordinate convention everywhere: pixels, origin at the top left, x to the right, y down, floats,
boxes half open. Whatever a tool finds is expressed in the frame of the *root* image, however deep the
crop it was found in, so any two results can be compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .geometry import Box, Circle, Grid, Line, Located, Point, Polygon
from .region import Region
from .track import Span, Track

if TYPE_CHECKING:
    from .depth import Depth
    from .image import Image
    from .mask import Mask
    from .video import Video

__all__ = [
    "Box",
    "Circle",
    "Depth",
    "Grid",
    "Image",
    "Line",
    "Located",
    "Mask",
    "Point",
    "Polygon",
    "Region",
    "Span",
    "Track",
    "Video",
]


def __getattr__(name: str) -> Any:
    # Depth, Image, Mask and Video need numpy; the sandbox worker, which imports this package, must not. With the images
    # come the codec, and so the ways in which what lies in them shows itself in notebooks.
    if name in ("Depth", "Image", "Mask", "Video"):
        from . import codec

        return getattr(codec, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

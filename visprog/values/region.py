"""A region: something found in an image. Standard library only: this file also runs in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .geometry import Box, Located, _finite

if TYPE_CHECKING:
    from .image import Image
    from .mask import Mask


@dataclass(frozen=True, slots=True)
class Region(Located):
    """An object found: where it lies, what it is called, how sure the finder is.

    Attributes:
        box: its place in the frame of the root image, in pixels.
        label: what it is ("dog"), or what is written there.
        score: confidence, 0 to 1.
        image: the root image that it lies in.
        mask: its exact pixels, where they are known.
    """

    box: Box = field()  # a field here, a property in Located
    label: str = ""
    score: float = 1.0
    image: Image | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.box, Box):
            raise ValueError(f"Region.box must be a Box, not {type(self.box).__name__}")
        if not isinstance(self.label, str):
            raise ValueError(f"Region.label must be a str, not {type(self.label).__name__}")
        _finite(self, "score")

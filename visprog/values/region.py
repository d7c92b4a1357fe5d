"""A region: something found in an image. Standard library only: this file also runs in the sandbox."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .geometry import Box, Located, _finite

if TYPE_CHECKING:
    from .geometry import ImageLike as Image
    from .mask import Mask


@dataclass(frozen=True, slots=True)
class Region(Located):
    """An object found: its place, label and score.

    Attributes:
        box: Place in the frame of the root image, in pixels.
        label: Phrase that was asked for ("red dog"), or the text that is written there.
        score: Confidence, 0 to 1.
        image: The root image that it lies in.
        mask: Its exact pixels, if they are known.
    """

    box: Box = field()  # a field here, a property in Located
    label: str = ""
    score: float = 1.0
    image: Image | None = None
    mask: Mask | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.box, Box):
            object.__setattr__(self, "box", _box(self.box))
        if not isinstance(self.label, str):
            raise ValueError(f"Region.label must be a str, not {type(self.label).__name__}")
        if type(self.label) is not str:  # NumPy's
            object.__setattr__(self, "label", str(self.label))
        for name, wanted in (("image", "an Image"), ("mask", "a Mask")):
            given = getattr(self, name)
            if hasattr(given, "__array_interface__"):  # of NumPy or PIL
                raise ValueError(
                    f"Region.{name} must be {wanted}, not {type(given).__name__}: make the region with "
                    "image.region(box, label, score, mask=array)"
                )
        _finite(self, "score")

    def __repr__(self) -> str:
        label = self.label if len(self.label) <= 24 else self.label[:23] + "…"
        place = str(self.box).removeprefix("Box")
        return f"Region({label!r}, box={place}, score={self.score:.2f}{', mask' if self.mask is not None else ''})"


def _box(value: Any) -> Box:
    """The box that four numbers stand for."""
    try:
        left, top, right, bottom = value
    except (TypeError, ValueError):
        raise ValueError(
            f"Region.box must be a Box or four numbers (left, top, right, bottom), not {type(value).__name__}"
        ) from None
    return Box(left, top, right, bottom)

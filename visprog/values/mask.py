"""A mask: the exact pixels of something found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..report import markup
from ..report.figures import CROP_SIDE, draw, encode
from .geometry import Box, Located


@dataclass(frozen=True, slots=True, eq=False)
class Mask(Located):
    """True where a pixel belongs to the object.

    Attributes:
        pixels: bool array (H, W) of the box's size, read-only.
        box: where the array lies in the frame of the root image; its edges are whole numbers.

    Raises:
        ValueError: the array and the box differ in size.
    """

    pixels: NDArray[np.bool_]
    box: Box = field()  # a field here, a property in Located

    def __post_init__(self) -> None:
        if self.pixels.shape != (round(self.box.height), round(self.box.width)):
            raise ValueError(f"a mask of shape {self.pixels.shape} does not fill {self.box}")
        array = np.ascontiguousarray(self.pixels, dtype=bool)
        array.setflags(write=False)
        object.__setattr__(self, "pixels", array)

    def __repr__(self) -> str:
        place = str(self.box).removeprefix("Box")
        return f"Mask(box={place}, {self.area:.0f} of {self.pixels.size} pixels)"

    def _repr_html_(self) -> str:
        import PIL.Image

        text = repr(self)
        if 0 in self.pixels.shape:
            return markup.card(text)
        frame = (self.left, self.top, self.right, self.bottom)
        figure = encode(draw(PIL.Image.fromarray(self.pixels), frame, (), CROP_SIDE))
        return markup.card(markup.image(figure, text, text))

    @classmethod
    def tight(cls, pixels: NDArray[np.bool_], left: int = 0, top: int = 0) -> Mask:
        """A mask cut to what is True in `pixels` (H, W), whose corner lies at (left, top) of the root."""
        rows, columns = np.flatnonzero(pixels.any(1)), np.flatnonzero(pixels.any(0))
        if rows.size == 0:
            return cls(np.zeros((0, 0), bool), Box(left, top, left, top))
        y0, y1, x0, x1 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
        return cls(pixels[y0:y1, x0:x1], Box(left + x0, top + y0, left + x1, top + y1))

    @property
    def area(self) -> float:
        """Number of pixels that are True."""
        return float(np.count_nonzero(self.pixels))

    def within(self, frame: Box) -> NDArray[np.bool_]:
        """The mask as a bool array (H, W) of the size of `frame` (edges whole numbers), False outside it."""
        out = np.zeros((round(frame.height), round(frame.width)), bool)
        shared = self.box.intersection(frame)
        if shared is not None:
            src, dst = shared.shift(-self.box.left, -self.box.top), shared.shift(-frame.left, -frame.top)
            out[_slices(dst)] = self.pixels[_slices(src)]
        return out


def _slices(box: Box) -> tuple[slice, slice]:
    return slice(round(box.top), round(box.bottom)), slice(round(box.left), round(box.right))

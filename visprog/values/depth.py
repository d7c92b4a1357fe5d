"""Depth: how far from the camera each part of an image is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import Refused, ToolError
from ..report import markup
from ..report.figures import CROP_SIDE, DrawnValue, draw, encode
from ..report.forms import Data
from .geometry import Box, Located, Point
from .image import Image
from .mask import Mask
from .png import from_png, to_png

INNER = 0.5
"""Share of the width and of the height of a box that counts for an object without a mask: its rim shows what is behind
the object."""


NO_METRES = (
    "the depth of this image is relative: it tells which of two is nearer, and not how many metres away it is"
)
"""Why relative depth has no distances."""


@dataclass(frozen=True, eq=False)
class Depth:
    """Distance from the camera over an image: the larger, the farther.

    Attributes:
        values: float32 array (rows, columns), read-only, spread evenly over the box: metres, or if it is not metric
            numbers from 0 (the nearest in the image) to 1 (the farthest), whose order alone has a meaning.
        box: Place of the image in the frame of its root.
        metric: Whether the values are metres.
        image: The root image.

    Raises:
        ValueError: The array is empty, is not of two dimensions, or holds what is not finite.
    """

    values: NDArray[np.float32] = field(repr=False)
    box: Box
    metric: bool = False
    image: Image | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        array = np.ascontiguousarray(self.values, dtype="<f4")
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(f"depth needs an array (rows, columns), not one of shape {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError("depth holds values that are not finite")
        array = array.view()
        array.setflags(write=False)
        object.__setattr__(self, "values", array)

    @classmethod
    def of(cls, image: Image, values: Any, *, metric: bool = False, inverse: bool = False) -> Depth:
        """What a model says of an image.

        Args:
            values: array (rows, columns) over the whole image, at any resolution.
            metric: Whether the values are metres. If not, they are scaled to 0…1.
            inverse: Whether larger values are nearer, as those of models of relative (inverse) depth are.

        Raises:
            ValueError: As the class, or metres are said to be inverse.
        """
        array = np.asarray(values, dtype=np.float32)
        if metric and inverse:
            raise ValueError("metres grow with the distance: they are not inverse")
        if not metric and array.size and np.isfinite(array).all():
            span = float(array.max() - array.min())
            array = (array - array.min()) / span if span > 0 else np.zeros_like(array)
            array = 1 - array if inverse else array
        return cls(array, image.box, metric, image.root)

    def metres(self, where: Located | Point) -> float:
        """Distance of an object or a point from the camera in metres; relative depth refuses.

        Raises:
            Refused: The values are not metres.
            ToolError: As `at`.
        """
        if not self.metric:
            raise Refused(NO_METRES)
        return self.at(where)

    def at(self, where: Located | Point) -> float:
        """How far an object or a point is, to compare: larger is farther; metres if `metric`, else 0 (the nearest in
        the image) to 1, which tell an order alone. The median over the mask, or over the middle of the box, so that
        what is behind an object counts little.

        Raises:
            ToolError: It lies outside the image, or in another image.
        """
        image = getattr(where, "image", None)
        if self.image is not None and image is not None and image.root.digest != self.image.digest:
            raise ToolError("Depth.at was given a region of another image: measure the depth of that image")
        box = where.box
        if self.box.distance(where) > 0:
            raise ToolError(f"Depth.at was given {box}, which lies outside the image, {self.box}")
        mask = where if isinstance(where, Mask) else getattr(where, "mask", None)
        found = self._under_mask(mask) if mask is not None and mask.area else self._inside(box)
        return float(np.median(found))

    def _inside(self, box: Box) -> NDArray[np.float32]:
        """The values in the middle of a box; the nearest one of a box that is smaller than the cell of a value."""
        margin_x, margin_y = box.width * (1 - INNER) / 2, box.height * (1 - INNER) / 2
        inner = Box(box.left + margin_x, box.top + margin_y, box.right - margin_x, box.bottom - margin_y)
        return self.values[self._cells(inner.clip(self.box))]

    def _under_mask(self, mask: Mask) -> NDArray[np.float32]:
        """The values whose cells have their middle in a mask, or those around its middle if there are none."""
        rows, columns = self._cells(mask.box.clip(self.box))
        x = self.box.left + (np.arange(columns.start, columns.stop) + 0.5) / self._scale[0] - mask.box.left
        y = self.box.top + (np.arange(rows.start, rows.stop) + 0.5) / self._scale[1] - mask.box.top
        height, width = mask.pixels.shape
        inside = ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]
        i, j = np.clip(y, 0, height - 1).astype(int), np.clip(x, 0, width - 1).astype(int)
        found = self.values[rows, columns][mask.pixels[np.ix_(i, j)] & inside]
        return found if found.size else self._inside(mask.box)

    def _cells(self, box: Box) -> tuple[slice, slice]:
        """Rows and columns of the values whose cells a box covers; at least one of each."""
        scale_x, scale_y = self._scale
        return (
            _covered(
                (box.top - self.box.top) * scale_y, (box.bottom - self.box.top) * scale_y, len(self.values)
            ),
            _covered(
                (box.left - self.box.left) * scale_x,
                (box.right - self.box.left) * scale_x,
                self.values.shape[1],
            ),
        )

    @property
    def _scale(self) -> tuple[float, float]:
        """Values per pixel, along x and y."""
        rows, columns = self.values.shape
        return columns / self.box.width, rows / self.box.height

    @cached_property
    def key(self) -> tuple[Any, ...]:
        """What two depths of the same content share."""
        return self.values.shape, self.values.tobytes(), self.box, self.metric

    def __repr__(self) -> str:
        unit = "m" if self.metric else "relative"
        span = f"{self.values.min():.3g} to {self.values.max():.3g}"
        return f"Depth({span} {unit}, box={str(self.box).removeprefix('Box')})"

    def _repr_html_(self) -> str:
        import PIL.Image

        text = repr(self)
        frame = (self.box.left, self.box.top, self.box.right, self.box.bottom)
        figure = encode(draw(PIL.Image.fromarray(nearness(self.values)), frame, (), CROP_SIDE))
        return markup.card(markup.image(figure, text, text))


def _covered(start: float, end: float, count: int) -> slice:
    first = min(max(math.floor(start), 0), count - 1)
    return slice(first, max(min(math.ceil(end), count), first + 1))


def nearness(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Grey levels (rows, columns) for the eye: white is the nearest of an image, black the farthest."""
    near, far = np.percentile(values, (1, 99))
    levels: NDArray[np.uint8] = (255 * np.clip((far - values) / max(float(far - near), 1e-6), 0, 1)).astype(
        np.uint8
    )
    return levels


def as_bytes(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The bytes of depth values, as levels (rows, 4 * columns) that a PNG can hold exactly."""
    return np.ascontiguousarray(values, dtype="<f4").view(np.uint8)


def from_bytes(levels: NDArray[Any]) -> NDArray[np.float32]:
    """The reverse of `as_bytes`.

    Raises:
        ValueError: They are not the bytes of depth values.
    """
    if levels.dtype != np.uint8 or levels.ndim != 2 or levels.shape[1] % 4:
        raise ValueError("these are not the bytes of depth values")
    return np.ascontiguousarray(levels).view("<f4")


def draw_depth(data: Data) -> DrawnValue:
    """A JSON form as it is drawn: the nearer, the stronger the colour."""
    left, top, right, bottom = map(float, data["box"])
    box = (left, top, right, bottom)
    levels = to_png(nearness(from_bytes(from_png(str(data["values"])))))
    return DrawnValue(box, veil=(levels, box), label="near")


def depth_words(data: Data) -> str:
    """How a JSON form reads."""
    box = ", ".join(f"{float(v):.0f}" for v in data["box"])
    return f"depth in metres over ({box})" if data["metric"] else f"relative depth over ({box})"

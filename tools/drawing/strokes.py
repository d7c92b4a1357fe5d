"""The parts of a drawing: areas of flat colour, strokes, and the curves that run along both.

An image is read in four steps. Flat colours are found (a small palette). Areas are where a colour is wider
than a pen. Ink is what is neither area nor the soft edge between two areas. Curves are the centre lines of
the ink and the outlines of the areas, as chains of points with sub-pixel places; circles, straight sides and
polygons are fitted to these, never to pixels.

Everything here is in *working* pixels: the image scaled to a convenient size. `Drawing.place` leads back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.values import Box, Point
from visprog.values.image import Image

from ..imaging.flatness import is_drawing
from .ground import ground_of, length, noise_of, palette_of, peak, ringing_of
from .islands import enlargement, islands
from .layers import absorb, separate
from .skeleton import chains, thin
from .solids import Solid, solids

Array = NDArray[Any]
MAX_ISLAND_SIDE, MIN_ISLAND_SIDE = 1300, 700
"""Islands whose longer side has more pixels than the first are read at a smaller size, with fewer than the second at
twice their size."""

PEN_WIDTH = 4.4
"""Width of a pen, in pixels of the image: a wider piece is an area, unless it is long for its width."""

CONTRAST_RANGE = 8.0, 60.0
"""Levels per channel by which the ground may vary: a clean one, and a noisy one."""

MAX_GROUND_DISTANCE = 20.0
"""Distance of two colours, in RGB levels, up to which one of the palette is the ground's."""

MAX_CURVES, MAX_CURVES_ON_PAPER, MAX_CURVES_IN_TEXTURE = 8000, 1500, 50
"""Number of curves of a drawing in a few flat colours; of another, at least `MIN_PAPER_SHARE` of which is ground; and
of any other image. A photograph or a texture has far more."""

MIN_PAPER_SHARE = 0.7

MAX_RINGING = 10.0
"""Levels beyond which a variation near edges is not left by JPEG."""

DETAIL_NOISE = 8.0
"""Noise, in levels, from which it may be fine detail all over the image, if its colours are few and flat."""

MAX_NOISE = 60.0
"""Standard deviation of the noise, in levels, beyond which nothing can be read."""

UNREADABLE = (
    "shapes can be found in drawings and diagrams alone, and this image is a photograph or has a texture: crop the "
    "part that is drawn, or use detect, segment or vqa"
)

MIN_STRENGTH = 0.4
"""Share of its full contrast at which a fading stroke ends."""

MIN_AREA, MIN_OUTLINE, MIN_RUN = 12, 10, 6
"""Number of pixels of an area, of points of its outline, and of points of an open part of it, at least."""


@dataclass(frozen=True, eq=False)
class Curve:
    """A chain of points without junctions.

    Attributes:
        points: (N, 2) x, y; a pixel's centre has whole coordinates.
        tangents: (N, 2) unit vectors along the chain.
        closed: the last point joins the first.
        width: of the stroke; 0 for the outline of an area.
    """

    points: Array
    tangents: Array
    closed: bool
    width: float


@dataclass(frozen=True, eq=False)
class Drawing:
    """An image, or an island of it, read as a drawing.

    Attributes:
        image: The part of the image that it was read from.
        rgb: (H, W, 3) float32, at working size.
        scale: Working pixels per pixel of the image.
        ink: (H, W) bool, strokes.
        areas: (H, W) int32, Number of the area that each pixel lies in; 0 for ink and soft edges, 1 for the
            background.
        curves: centre lines of the ink and outlines of the areas.
        strength: (H, W) float32, Amount of ink of a pixel: 1 in the middle of a stroke, less at its soft
        rim.
        solids: the small shapes; `curves` holds no outlines of those that are areas.
    """

    image: Image
    rgb: Array
    scale: float
    ink: Array
    areas: Array
    curves: tuple[Curve, ...]
    strength: Array
    solids: tuple[Solid, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the working image."""
        return self.ink.shape[0], self.ink.shape[1]

    def place(self, x: float, y: float) -> Point:
        """A working position in the frame of the root image."""
        origin = self.image.origin
        return Point(float((x + 0.5) / self.scale + origin.x), float((y + 0.5) / self.scale + origin.y))

    def sample(self, points: Array) -> Array:
        """(N, 3) colours at (N, 2) working positions, the nearest pixel's."""
        height, width = self.size
        x = np.clip(np.rint(points[:, 0]).astype(int), 0, width - 1)
        y = np.clip(np.rint(points[:, 1]).astype(int), 0, height - 1)
        return np.asarray(self.rgb[y, x])


@lru_cache(maxsize=2)  # a program often asks for several kinds of shape in one image
def read_drawing(image: Image) -> tuple[Drawing, ...]:
    """Take an image apart into ink, areas and curves, island by island.

    Each island is read at a size that suits it, so that its reading does not depend on the canvas.

    Raises:
        Refused: The image is a photograph, or has a texture.
    """
    factor = enlargement(image.pixels)
    pixels = image.pixels[::factor, ::factor]
    noise = noise_of(pixels)
    if noise > DETAIL_NOISE and is_drawing(image.root):
        noise = 0.0
    if noise > MAX_NOISE:
        raise Refused(UNREADABLE)
    ground = ground_of(pixels, noise)
    ringing = min(2 * ringing_of(pixels, ground), MAX_RINGING)
    found: list[Drawing] = []
    for box in islands(pixels, ground, np.clip(4 * max(noise, ringing), *CONTRAST_RANGE)):
        left, top, right, bottom = (factor * v for v in (box.left, box.top, box.right, box.bottom))
        part = image.crop(image.to_root(Box(left, top, right, bottom)))
        island = _island(part, factor, ground, noise, ringing)
        if island is None:
            raise Refused(UNREADABLE)
        found.append(island)
    curves = sum(len(d.curves) for d in found)
    painted = sum(np.count_nonzero(d.areas != 1) / d.scale**2 for d in found)
    least = (1 - MIN_PAPER_SHARE) * image.width * image.height
    if _too_many(curves, image) or (
        curves > MAX_CURVES_IN_TEXTURE and painted > least and not is_drawing(image.root)
    ):
        raise Refused(UNREADABLE)
    return tuple(found)


def _island(image: Image, factor: int, ground: Array, noise: float, ringing: float) -> Drawing | None:
    """A part of an image, read; None if it has no flat colours, or too many curves.

    Args:
        factor: Number by which its pixels were enlarged.
    """
    pixels = image.pixels[::factor, ::factor]
    rgb, scale, noise = _working(pixels, max(noise, ringing))
    tolerance = 22 + 3.5 * noise
    height, width = rgb.shape[:2]
    pen = round(max(7, PEN_WIDTH * scale, 0.011 * max(height, width))) | 1
    palette, _ = palette_of(rgb, noise, tolerance)
    palette, number = _with(palette, ground)
    parts = separate(rgb, palette, number, tolerance, pen, max(2, round(2.5 * scale)))
    if parts is None:
        return None
    areas, ink = parts
    if ringing:
        absorb(rgb, areas, ink, ground, 1.5 * scale)
    if _too_many(int(areas.max()) + cv2.connectedComponents(ink.astype(np.uint8))[0], image):
        return None
    small: list[Solid] = []
    if scale >= 1:
        small, rests = solids(pixels, rgb, areas, ink, ground)
        areas[np.isin(areas, rests)] = 0
    strength = _strength(rgb, ink)
    edges = _outlines(
        rgb, np.where(np.isin(areas, [s.number for s in small if s.number]), 0, areas), ink, noise
    )
    ink &= strength > MIN_STRENGTH
    curves = (*stroke_curves(ink), *edges)
    return Drawing(image, rgb, scale / factor, ink, areas, curves, strength, tuple(small))


def _too_many(curves: int, image: Image) -> bool:
    """Whether an image has more curves than a drawing of its kind."""
    return curves > MAX_CURVES_IN_TEXTURE and curves > (
        MAX_CURVES if is_drawing(image.root) else MAX_CURVES_ON_PAPER
    )


def _with(palette: Array, ground: Array) -> tuple[Array, int]:
    """A palette in which one colour, the number of which comes with it, is the ground's."""
    distance = np.linalg.norm(palette - ground, axis=1)
    number = int(distance.argmin())
    if distance[number] < MAX_GROUND_DISTANCE:
        return palette, number
    return np.concatenate([palette, ground[None]]), len(palette)


def _strength(rgb: Array, ink: Array) -> Array:
    """Strength (H, W) of the ink: the contrast with what lies beside the stroke, as a share of the most nearby."""
    out = ink.astype(np.float32)
    if ink.all() or not ink.any():
        return out
    x, y, w, h = cv2.boundingRect(ink.astype(np.uint8))
    window = slice(max(y - 8, 0), y + h + 8), slice(max(x - 8, 0), x + w + 8)
    away = cv2.dilate(ink[window].astype(np.uint8), np.ones((3, 3), np.uint8))
    if away.all():
        return out
    rgb = rgb[window]
    _, nearest = cv2.distanceTransformWithLabels(away, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    colors = np.zeros((int(nearest.max()) + 1, 3), np.float32)
    beside = away == 0
    colors[nearest[beside]] = rgb[beside]
    vector = np.pad(rgb - colors[nearest], ((2, 2), (2, 2), (0, 0)))
    stride = vector.shape[1]
    vector = vector.reshape(-1, 3)
    contrast = length(vector)
    places = np.flatnonzero(np.pad(away, 2))
    mine, size = vector[places], contrast[places]
    most = size.copy()
    for step in (dy * stride + dx for dy in range(-2, 3) for dx in range(-2, 3)):
        other, far = vector[places + step], contrast[places + step]
        # a pixel can be the soft rim of ink of a like colour only
        alike = (
            mine[:, 0] * other[:, 0] + mine[:, 1] * other[:, 1] + mine[:, 2] * other[:, 2] > 0.9 * size * far
        )
        most = np.where(alike, np.maximum(most, far), most)
    full = np.zeros(len(contrast), np.float32)
    full[places] = size / np.maximum(most, 1.0)
    out[window] = full.reshape(-1, stride)[2:-2, 2:-2]
    return out


def _working(pixels: Array, noise: float) -> tuple[Array, float, float]:
    """An image at the size at which it is read, float32, with little noise: (rgb, scale, noise that is left)."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    rgb = pixels.astype(np.float32)
    scale = 1.0
    if longest > MAX_ISLAND_SIDE:
        scale = MAX_ISLAND_SIDE / longest
        noise *= scale
        rgb = cv2.resize(rgb, _scaled(width, height, scale), interpolation=cv2.INTER_AREA)
    if noise > 2:  # before it is spread over several pixels, where it would pass for areas
        rgb = cv2.bilateralFilter(rgb, 5, 20 + 5 * noise, 1.5)
        noise /= 2
    if longest < MIN_ISLAND_SIDE:
        scale = 2.0
        rgb = cv2.resize(rgb, _scaled(width, height, scale), interpolation=cv2.INTER_LINEAR)
    return rgb, scale, noise


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def stroke_curves(ink: Array) -> list[Curve]:
    """The centre lines of ink."""
    skeleton = thin(ink)
    depth = cv2.distanceTransform(np.pad(ink.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    curves = []
    for points, closed in chains(skeleton, depth):
        thickness = 2 * float(np.median(depth[points[:, 1], points[:, 0]])) - 1
        curves.append(make_curve(points.astype(np.float64), closed, max(thickness, 1.0)))
    return curves


def make_curve(points: Array, closed: bool, width: float) -> Curve:
    """A curve through pixels: places smoothed lightly, tangents over a few pixels each way."""
    reach = min(4, max(1, len(points) // 3))
    if closed:
        ahead, behind = np.roll(points, -reach, 0), np.roll(points, reach, 0)
    else:
        index = np.arange(len(points))
        ahead = points[np.minimum(index + reach, len(points) - 1)]
        behind = points[np.maximum(index - reach, 0)]
    tangents = ahead - behind
    tangents /= np.maximum(np.linalg.norm(tangents, axis=1, keepdims=True), 1e-9)
    return Curve(points, tangents, closed, width)


def _outlines(rgb: Array, areas: Array, ink: Array, noise: float) -> list[Curve]:
    """Outlines of areas, without the parts along a stroke, at the edge of the image, or without contrast."""
    kernel = np.ones((7, 7), np.uint8)
    contrast = peak(cv2.dilate(rgb, kernel) - cv2.erode(rgb, kernel)) > 14 + 5 * noise
    usable = contrast & (cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    usable[:2], usable[-2:], usable[:, :2], usable[:, -2:] = False, False, False, False
    curves: list[Curve] = []
    top = int(areas.max())
    if top < 2:
        return curves
    # pixels sorted by area, so that each is searched in its own window
    ys, xs = np.nonzero(areas > 1)
    numbers = areas[ys, xs]
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(2, top + 2))
    for i in range(top - 1):
        members = order[starts[i] : starts[i + 1]]
        if len(members) < MIN_AREA:
            continue
        x0, x1, y0, y1 = xs[members].min(), xs[members].max(), ys[members].min(), ys[members].max()
        part = np.pad((areas[y0 : y1 + 1, x0 : x1 + 1] == i + 2).astype(np.uint8), 1)
        outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            points = outline[:, 0].astype(np.float64) + np.array([x0 - 1, y0 - 1])
            if len(points) >= MIN_OUTLINE:
                good = usable[points[:, 1].astype(int), points[:, 0].astype(int)]
                curves += _usable_curves(_outer_edge(points), good)
    return curves


def _outer_edge(points: Array) -> Array:
    """A contour (N, 2) through the centres of the outermost pixels, moved half a pixel outward to their edge."""
    tangents = make_curve(points, True, 0.0).tangents
    outward = np.stack([-tangents[:, 1], tangents[:, 0]], 1)
    x, y = points[:, 0], points[:, 1]
    area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    return np.asarray(points + outward * (-0.5 if area > 0 else 0.5))


def _usable_curves(points: Array, good: Array) -> list[Curve]:
    """The runs of good points (N,) bool of a closed contour (N, 2), as curves; a closed curve if all are good."""
    if good.all():
        return [make_curve(points, True, 0.0)]
    if not good.any():
        return []
    first = int(np.flatnonzero(~good)[0])
    points, good = np.roll(points, -first, 0), np.roll(good, -first)
    steps = np.flatnonzero(np.diff(np.r_[0, good.astype(int), 0]))
    runs = zip(steps[::2], steps[1::2], strict=True)
    return [make_curve(points[begin:end], False, 0.0) for begin, end in runs if end - begin >= MIN_RUN]

"""What a drawing is made of: areas of flat colour, strokes, and the curves that run along both.

A picture is read in four steps. Flat colours are found (a small palette). Areas are where a colour is wider
than a pen. Ink is what is neither area nor the soft edge between two areas. Curves are the centre lines of
the ink and the outlines of the areas, as chains of points with sub-pixel places; circles, straight sides and
polygons are fitted to these, never to pixels.

Everything here is in *working* pixels: the picture scaled to a convenient size. `Drawing.place` leads back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.errors import Refused
from visprog.values import Point
from visprog.values.image import Image

from .flatness import is_drawing
from .islands import islands
from .skeleton import chains, thin
from .solids import Solid, solids

Array = NDArray[Any]
LONGEST, SHORTEST = 1300, 700
"""Islands whose longer side has more pixels than the first are read at a smaller size, with fewer than the second at
twice their size."""

PEN = 4.4
"""Pixels of the image across a pen: what is wider is an area, unless it is long for its width."""

SAMPLE = 500_000
"""Number of pixels from which the noise and the ground's colour are measured."""

LEAST_CONTRAST = 8.0
"""Levels of a channel by which a clean ground may vary."""

SAME = 20.0
"""Distance of two colours, in RGB levels, up to which one of the palette is the ground's."""

MOST_CURVES, MOST_ON_PAPER, MOST_IN_TEXTURE = 8000, 1500, 50
"""Curves that an image may have: a drawing in a few flat colours; another, of which at least PAPER is ground; and any
other. A photograph or a texture has far more."""

PAPER = 0.7

MOST_NOISE = 25.0
"""Standard deviation of the noise, in levels, beyond which nothing else can be told."""

UNREADABLE = (
    "shapes can be found in drawings and diagrams alone, and this image is a photograph or has a texture: crop the "
    "part that is drawn, or use detect, segment or vqa"
)

HALF = 0.4
"""A stroke ends where it has faded to this share of its full contrast."""


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
    """A picture, read.

    Attributes:
        image: where it comes from.
        rgb: (H, W, 3) float32, at working size.
        scale: working pixels for each pixel of the image.
        ink: (H, W) bool, strokes.
        areas: (H, W) int32, number of the area that each pixel lies in; 0 for ink and soft edges, 1 for the
            background.
        curves: centre lines of the ink and outlines of the areas.
        strength: (H, W) float32, how much ink a pixel holds: 1 in the middle of a stroke, less at its soft
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
        """(height, width) of the working picture."""
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
def read(image: Image) -> tuple[Drawing, ...]:
    """Take an image apart into ink, areas and curves, island by island.

    Each island is read at a size that suits it, so that what is seen of it does not depend on the canvas.

    Raises:
        Refused: the image is a photograph, or has a texture.
    """
    noise = _noise(image.pixels)
    if noise > MOST_NOISE:
        raise Refused(UNREADABLE)
    ground = _ground(image.pixels, noise)
    noise = max(noise, 2 * _ringing(image.pixels, ground))
    flat = is_drawing(image)
    most = MOST_CURVES if flat else MOST_ON_PAPER
    found: list[Drawing] = []
    for box in islands(image.pixels, ground, max(LEAST_CONTRAST, 4 * noise)):
        island = _island(image.crop(image.to_root(box)), ground, noise, most)
        if island is None:
            raise Refused(UNREADABLE)
        most -= len(island.curves)
        found.append(island)
    curves = sum(len(d.curves) for d in found)
    painted = sum(np.count_nonzero(d.areas != 1) / d.scale**2 for d in found)
    if not flat and curves > MOST_IN_TEXTURE and painted > (1 - PAPER) * image.width * image.height:
        raise Refused(UNREADABLE)
    return tuple(found)


def _island(image: Image, ground: Array, noise: float, most: int) -> Drawing | None:
    """A part of an image, read; None if it has no flat colours, or more than so many curves."""
    rgb, scale, noise = _working(image.pixels, noise)
    tolerance = 22 + 3.5 * noise
    height, width = rgb.shape[:2]
    pen = round(max(7, PEN * scale, 0.011 * max(height, width))) | 1
    palette, _ = _palette(rgb, noise, tolerance)
    palette, number = _with(palette, ground)
    parts = _separate(rgb, palette, number, tolerance, pen, max(2, round(2.5 * scale)))
    if parts is None:
        return None
    areas, ink = parts
    if areas.max() + cv2.connectedComponents(ink.astype(np.uint8))[0] > most:
        return None
    small: list[Solid] = []
    if scale >= 1:
        small, rests = solids(image.pixels, rgb, areas, ink, ground)
        areas[np.isin(areas, rests)] = 0
    strength = _strength(rgb, ink)
    edges = _outlines(
        rgb, np.where(np.isin(areas, [s.number for s in small if s.number]), 0, areas), ink, noise
    )
    ink &= strength > HALF
    curves = (*stroke_curves(ink), *edges)
    return (
        Drawing(image, rgb, scale, ink, areas, curves, strength, tuple(small))
        if len(curves) <= most
        else None
    )


def _with(palette: Array, ground: Array) -> tuple[Array, int]:
    """A palette in which one colour, the number of which comes with it, is the ground's."""
    distance = np.linalg.norm(palette - ground, axis=1)
    number = int(distance.argmin())
    if distance[number] < SAME:
        return palette, number
    return np.concatenate([palette, ground[None]]), len(palette)


def _strength(rgb: Array, ink: Array) -> Array:
    """See `Drawing`: the contrast with what lies beside the stroke, as a share of the most nearby."""
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
    contrast = _length(vector)
    places = np.flatnonzero(np.pad(away, 2))
    mine, size = vector[places], contrast[places]
    most = size.copy()
    for step in (dy * stride + dx for dy in range(-2, 3) for dx in range(-2, 3)):
        other, far = vector[places + step], contrast[places + step]
        # only ink of a like colour can be what this pixel is the soft rim of
        alike = (
            mine[:, 0] * other[:, 0] + mine[:, 1] * other[:, 1] + mine[:, 2] * other[:, 2] > 0.9 * size * far
        )
        most = np.where(alike, np.maximum(most, far), most)
    full = np.zeros(len(contrast), np.float32)
    full[places] = size / np.maximum(most, 1.0)
    out[window] = full.reshape(-1, stride)[2:-2, 2:-2]
    return out


def _length(colors: Array) -> Array:
    """The length of vectors along the last axis of three; far faster than a reduction over so short an
    axis."""
    return np.asarray(np.sqrt(colors[..., 0] ** 2 + colors[..., 1] ** 2 + colors[..., 2] ** 2))


def _peak(colors: Array) -> Array:
    """The largest of three channels."""
    return np.asarray(np.maximum(np.maximum(colors[..., 0], colors[..., 1]), colors[..., 2]))


def _working(pixels: Array, noise: float) -> tuple[Array, float, float]:
    """An image at the size at which it is read, float32, with little noise: (rgb, scale, noise that is left)."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    rgb = pixels.astype(np.float32)
    scale = 1.0
    if longest > LONGEST:
        scale = LONGEST / longest
        noise *= scale
        rgb = cv2.resize(rgb, _scaled(width, height, scale), interpolation=cv2.INTER_AREA)
    if noise > 2:  # before it is spread over several pixels, where it would pass for areas
        rgb = cv2.bilateralFilter(rgb, 5, 20 + 5 * noise, 1.5)
        noise /= 2
    if longest < SHORTEST:
        scale = 2.0
        rgb = cv2.resize(rgb, _scaled(width, height, scale), interpolation=cv2.INTER_LINEAR)
    return rgb, scale, noise


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _noise(pixels: Array) -> float:
    """Standard deviation of the noise, by the median absolute Laplacian (0 for a clean drawing)."""
    height, width = pixels.shape[:2]
    rows = np.arange(1, height - 1, 1 + height * width // SAMPLE)
    above, here, below = (pixels[rows + step].mean(2, dtype=np.float32) for step in (-1, 0, 1))
    residual = here[:, 1:-1] - (above[:, 1:-1] + below[:, 1:-1] + here[:, :-2] + here[:, 2:]) / 4
    if residual.size == 0:
        return 0.0
    return float(np.median(np.abs(residual)) * 1.4826 / np.sqrt(1.25) * np.sqrt(3))


def _ringing(pixels: Array, ground: Array) -> float:
    """Median levels by which the ground varies near what is painted on it, as JPEG leaves it; 0 for a clean drawing."""
    away = cv2.absdiff(pixels, np.full_like(pixels, np.rint(ground)))
    away = np.maximum(np.maximum(away[..., 0], away[..., 1]), away[..., 2])
    strong = (away > 60).astype(np.uint8)
    near, rim = (cv2.dilate(strong, np.ones((size, size), np.uint8)) for size in (13, 5))
    values = away[(near > rim) & (away < 40)]
    return float(np.median(values)) if len(values) else 0.0


def _ground(pixels: Array, noise: float) -> Array:
    """The colour (3,) of the ground."""
    step = 1 + int(np.sqrt(pixels.shape[0] * pixels.shape[1] / SAMPLE))
    palette, ground = _palette(pixels[::step, ::step].astype(np.float32), noise, 22 + 3.5 * noise)
    return np.asarray(palette[ground])


def _palette(rgb: Array, noise: float, tolerance: float) -> tuple[Array, int]:
    """The flat colours (K, 3), and which of them is the background: it fills most of the picture and its
    rim."""
    kernel = np.ones((3, 3), np.uint8)
    spread = _peak(cv2.dilate(rgb, kernel) - cv2.erode(rgb, kernel))
    flat = spread < 10 + 5 * noise
    values = rgb[flat] if flat.any() else rgb.reshape(-1, 3)
    codes = (values.astype(np.int32) >> 3) @ np.array([1024, 32, 1])
    counts = np.bincount(codes, minlength=32768)
    bins = np.flatnonzero(counts)
    sums = np.stack([np.bincount(codes, values[:, i], 32768)[bins] for i in range(3)], 1)
    counts, means = counts[bins], sums / counts[bins][:, None]
    least = max(9, 0.0001 * rgb.shape[0] * rgb.shape[1])
    centres: list[Array] = []
    for i in np.argsort(-counts)[:400]:
        if counts[i] < least / 3 or len(centres) == 16:
            break
        if all(np.linalg.norm(means[i] - c) > 1.3 * tolerance for c in centres):
            near = np.linalg.norm(means - means[i], axis=1) < tolerance / 2
            if counts[near].sum() >= least:
                centres.append(np.average(means[near], axis=0, weights=counts[near]))
    palette = np.array(centres or [np.median(values, axis=0)], np.float32)
    rim = np.concatenate([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    share = np.zeros(len(palette))
    for colors, weights in ((means, counts / counts.sum()), (rim, np.full(len(rim), 0.5 / len(rim)))):
        distance = np.linalg.norm(colors[:, None] - palette[None], axis=2)
        known = distance.min(1) < tolerance
        share += np.bincount(distance.argmin(1)[known], weights[known], len(palette))
    return palette, int(share.argmax())


def _separate(
    rgb: Array, palette: Array, ground: int, tolerance: float, pen: int, rim: int
) -> tuple[Array, Array] | None:
    """(areas, ink), see `Drawing`; None where the picture has no flat colours, as a photograph.

    Args:
        pen: what is wider than this many pixels is an area.
        rim: how many pixels wide the soft edge between two areas may be, on each side.
    """
    shape = rgb.shape[:2]
    flat = rgb.reshape(-1, 3)
    away = _length(flat - palette[ground])
    other = np.flatnonzero(away > min(8.0, tolerance))
    distance = np.empty((len(other), len(palette)), np.float32)
    for k, color in enumerate(palette):
        distance[:, k] = _length(flat[other] - color)
    label = np.full(len(flat), ground)
    label[other] = (
        np.where(distance.min(1, initial=np.inf) > tolerance, -1, distance.argmin(1)) if len(other) else -1
    )
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (pen, pen))
    small = np.ones((3, 3), np.uint8)
    solid = np.where(label == ground, ground, -1)
    near = {ground: (label == ground).reshape(shape).astype(np.uint8)}
    for k in range(len(palette)):
        if k == ground:
            continue
        mask = (label == k).reshape(shape).astype(np.uint8)
        # the frame of the picture ends an area, it does not thin it
        wide = cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc, borderType=cv2.BORDER_REPLICATE)
        if not wide.any():
            continue
        for _ in range(pen // 2 + 1):  # bring the corners back
            wide = cv2.dilate(wide, small) & mask
        wide = _without_strokes(wide, mask, pen)
        if wide.any():
            solid[wide.ravel() > 0] = k
            near[k] = wide
    open_ = other[solid[other] < 0]
    if len(open_) > 0.35 * len(flat):
        return None
    away_from = distance[solid[other] < 0]
    colors = flat[open_]
    reach = np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)
    close = {k: cv2.dilate(mask, reach).ravel()[open_] > 0 for k, mask in near.items()}
    belongs, least = np.full(len(open_), -1), np.full(len(open_), np.float32(tolerance))
    for k, beside in close.items():
        take = beside & (away_from[:, k] < least)
        belongs[take], least[take] = k, away_from[take, k]
    for a in close:
        for b in close:
            if b <= a:
                continue
            both = np.flatnonzero(close[a] & close[b] & (belongs < 0))
            axis = palette[b] - palette[a]
            share = (colors[both] - palette[a]) @ axis / (axis @ axis)
            off = np.linalg.norm(colors[both] - palette[a] - share[:, None] * axis, axis=1)
            mixed = (off < tolerance) & (share > -0.1) & (share < 1.1)
            belongs[both[mixed]] = np.where(share[mixed] < 0.5, a, b)
    solid[open_] = belongs
    solid = solid.reshape(shape)
    return _number(solid, solid < 0, ground, len(palette))


def _without_strokes(wide: Array, mask: Array, pen: int) -> Array:
    """An area mask without those parts that are strokes: the blobs where the corners of a broad stroke or
    two strokes meet, within the stroke's whole mask, and strokes wider than a pen, long for their even
    width."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    out = wide.copy()
    kept = np.bincount(parts[wide > 0], minlength=count)
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        if not kept[i]:
            continue
        here = parts[y : y + h, x : x + w] == i
        window = out[y : y + h, x : x + w]
        part = np.pad((here & (window > 0)).astype(np.uint8), 1)
        outlines, nesting = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        holes = [
            c for c, n in zip(outlines, nesting[0] if nesting is not None else (), strict=True) if n[3] >= 0
        ]
        small = [c for c in holes if cv2.contourArea(c) < 0.05 * kept[i]]  # what is written on an area
        cv2.drawContours(part, small, -1, 1, cv2.FILLED)
        around = (
            sum(cv2.arcLength(c, True) for c in outlines) - sum(cv2.arcLength(c, True) for c in small) + 1e-6
        )
        even = 2 * float(part.sum()) / around
        thickest = 2 * float(cv2.distanceTransform(part, cv2.DIST_L2, 5).max())
        blobs = kept[i] < 0.6 * area and thickest < 2.2 * pen
        if blobs or (even < 3 * pen and around / 2 > 6 * even and thickest < 1.8 * even + 2):
            window[here] = 0
    return out


def _number(solid: Array, ink: Array, ground: int, colors: int) -> tuple[Array, Array]:
    """Connected areas numbered from 2, the background 1; specks of ink dropped, compact dots made areas."""
    areas = np.zeros(solid.shape, np.int32)
    height, width = solid.shape
    number = 2
    for k in range(colors):
        if not (solid == k).any():
            continue
        count, parts, stats, _ = cv2.connectedComponentsWithStats(
            (solid == k).astype(np.uint8), connectivity=4
        )
        for i in range(1, count):
            x, y, w, h, area = stats[i]
            here = parts[y : y + h, x : x + w] == i
            rim = x == 0 or y == 0 or x + w == width or y + h == height
            if k == ground and (rim or area > 0.5 * height * width):
                areas[y : y + h, x : x + w][here] = 1
            elif area >= 12:
                areas[y : y + h, x : x + w][here] = number
                number += 1
    count, parts, stats, _ = cv2.connectedComponentsWithStats(ink.astype(np.uint8), connectivity=8)
    ink = ink.copy()
    for i in range(1, count):
        x, y, w, h, area = stats[i]
        window = slice(y, y + h), slice(x, x + w)
        here = parts[window] == i
        if area < 8:
            ink[window][here] = False
        elif max(w, h) < 2.2 * min(w, h) and min(w, h) > 4 and area > 0.4 * w * h:
            part = np.pad(here.astype(np.uint8), 1)
            if 2 * cv2.distanceTransform(part, cv2.DIST_L2, 5).max() > 0.55 * min(w, h):
                ink[window][here] = False
                areas[window][here] = number
                number += 1
    return areas, ink


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
    """Outlines of areas, but for where a stroke runs along them, the picture ends, or no edge is to be
    seen."""
    kernel = np.ones((7, 7), np.uint8)
    contrast = _peak(cv2.dilate(rgb, kernel) - cv2.erode(rgb, kernel)) > 14 + 5 * noise
    usable = contrast & (cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) == 0)
    usable[:2], usable[-2:], usable[:, :2], usable[:, -2:] = False, False, False, False
    curves: list[Curve] = []
    top = int(areas.max())
    if top < 2:
        return curves
    ys, xs = np.nonzero(areas > 1)
    numbers = areas[ys, xs]
    order = np.argsort(numbers, kind="stable")
    starts = np.searchsorted(numbers[order], np.arange(2, top + 2))
    for i in range(top - 1):
        members = order[starts[i] : starts[i + 1]]
        if len(members) < 12:
            continue
        x0, x1, y0, y1 = xs[members].min(), xs[members].max(), ys[members].min(), ys[members].max()
        part = np.pad((areas[y0 : y1 + 1, x0 : x1 + 1] == i + 2).astype(np.uint8), 1)
        outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            points = outline[:, 0].astype(np.float64) + np.array([x0 - 1, y0 - 1])
            if len(points) < 10:
                continue
            good = usable[points[:, 1].astype(int), points[:, 0].astype(int)]
            smooth = make_curve(points, True, 0.0)
            # the contour runs through the centres of the outermost pixels, the edge half a pixel outside
            outward = np.stack([-smooth.tangents[:, 1], smooth.tangents[:, 0]], 1)
            area = 0.5 * float(
                np.sum(points[:, 0] * np.roll(points[:, 1], -1) - np.roll(points[:, 0], -1) * points[:, 1])
            )
            points = points + outward * (-0.5 if area > 0 else 0.5)
            if good.all():
                curves.append(make_curve(points, True, 0.0))
                continue
            if not good.any():
                continue
            first = int(np.flatnonzero(~good)[0])
            points, good = np.roll(points, -first, 0), np.roll(good, -first)
            steps = np.flatnonzero(np.diff(np.r_[0, good.astype(int), 0]))
            for begin, end in zip(steps[::2], steps[1::2], strict=True):
                if end - begin >= 6:
                    curves.append(make_curve(points[begin:end], False, 0.0))
    return curves

"""What lies behind the objects: plain colours, gradients, patterns, photographs, strokes, light and noise."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.errors import ImageError, VisprogError
from visprog.values.image import Image

from ..values.colors import to_lab
from .colors import CONTRAST, palette
from .draw import Canvas
from .objects import SceneObject

BACKGROUNDS = ("plain", "gradient", "cloudy", "striped", "checkered")
PHOTO = 256
"""Side in pixels of the crop of a photograph that a scene keeps."""


class NoPhotographs(VisprogError):
    """The folder given as `backgrounds` holds no image."""


@dataclass(frozen=True, slots=True)
class Stroke:
    """A thin bent line, which is none of the objects.

    Attributes:
        points: (x, y) in widths of the image.
        color: RGB.
        width: in widths of the image.
    """

    points: tuple[tuple[float, float], ...]
    color: tuple[float, float, float]
    width: float


@dataclass(frozen=True, slots=True, eq=False)
class Background:
    """Everything but the objects.

    Attributes:
        kind: one of BACKGROUNDS, or "photo".
        colors: two RGB colours; of a gradient or pattern both, else the first.
        angle: of a gradient or pattern, in degrees; of clouds, which.
        period: of a pattern, in widths of the image.
        strokes: clutter.
        light: brightness at the four corners (top left, top right, bottom left, bottom right), 1 is even.
        noise: standard deviation, in grey levels.
        seed: of the noise.
        photo: (PHOTO, PHOTO, 3) RGB, or None.
    """

    kind: str
    colors: tuple[NDArray[np.float32], NDArray[np.float32]]
    angle: float
    period: float
    strokes: tuple[Stroke, ...]
    light: tuple[float, float, float, float]
    noise: float
    seed: int
    photo: NDArray[np.float32] | None = field(default=None, repr=False)


def choose(
    rng: random.Random,
    objects: Sequence[SceneObject],
    *,
    clutter: float = 0.0,
    photos: Photographs | None = None,
) -> Background:
    """A background at random that all the objects stand out from.

    Args:
        clutter: the chance that there are strokes.
        photos: where given, half of the backgrounds are photographs.
    """
    colors = palette()
    good = colors.contrasting(objects)
    first = int(good[rng.randrange(len(good))])
    apart = np.linalg.norm(colors.backgrounds_lab[good] - colors.backgrounds_lab[first], axis=1)
    near = good[apart < CONTRAST]
    second = int(near[rng.randrange(len(near))])
    even = rng.random() < 0.7
    made = Background(
        kind=rng.choice(BACKGROUNDS),
        colors=(colors.backgrounds[first], colors.backgrounds[second]),
        angle=rng.uniform(0, 360),
        period=rng.uniform(0.06, 0.3),
        strokes=tuple(_stroke(rng) for _ in range(rng.randint(1, 6))) if rng.random() < clutter else (),
        light=(1.0,) * 4 if even else (rng.uniform(0.92, 1.06), rng.uniform(0.92, 1.06), rng.uniform(0.92, 1.06),
                                       rng.uniform(0.92, 1.06)),
        noise=rng.choice((1.0, 4.0, rng.uniform(4, 12))),
        seed=rng.getrandbits(32),
    )  # fmt: skip
    if photos is None or rng.random() < 0.5:
        return made
    return replace(made, kind="photo", photo=_faded(photos.crop(rng), objects, rng.uniform(0.6, 1)))


def render(background: Background, size: int) -> Canvas:
    """The background as float32 RGB (size, size, 3), without light and noise."""
    first, second = background.colors
    if background.photo is not None:
        canvas = cv2.resize(background.photo, (size, size), interpolation=cv2.INTER_AREA)
    elif background.kind == "cloudy":
        shape = 6
        y, x = divmod(int(background.angle * 100), 200)
        clouds = _noise(256)[y : y + shape, x : x + shape] * np.float32(7) + first
        canvas = cv2.resize(clouds, (size, size), interpolation=cv2.INTER_CUBIC)
    elif background.kind == "plain":
        canvas = np.empty((size, size, 3), np.float32)
        canvas[:] = first
    else:
        canvas = first + _share(background, size)[..., None] * (second - first)
    for stroke in background.strokes:
        points = np.rint(np.array(stroke.points) * size * 16).astype(np.int32)
        width = max(1, round(stroke.width * size))
        cv2.polylines(canvas, [points], False, stroke.color, width, cv2.LINE_8, 4)
    return np.asarray(canvas)


def develop(canvas: Canvas, background: Background) -> NDArray[np.uint8]:
    """Light and noise over the finished image (H, W, 3), and its 8-bit pixels."""
    size = canvas.shape[0]
    if background.light != (1.0,) * 4:
        corners = np.array(background.light, np.float32).reshape(2, 2)
        canvas = canvas * cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)[..., None]
    bank = _noise(2 * size)
    y, x = background.seed % size, background.seed // size % size
    noise = bank[y : y + size, x : x + size]
    return np.asarray(cv2.addWeighted(canvas, 1.0, noise, background.noise, 0.0, dtype=cv2.CV_8U), np.uint8)


class Photographs:
    """The images of a folder and its subfolders, as backgrounds.

    Raises:
        NoPhotographs: there is no such folder, or no image in it.
    """

    def __init__(self, folder: Path) -> None:
        suffixes = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
        self.paths = sorted(p for p in Path(folder).rglob("*") if p.suffix.lower() in suffixes)
        if not self.paths:
            raise NoPhotographs(f"{folder} holds no photographs: give a folder of .jpg or .png files")
        self._read: dict[Path, NDArray[np.uint8]] = {}

    def crop(self, rng: random.Random) -> NDArray[np.float32]:
        """A random square of a random photograph, as float32 RGB (PHOTO, PHOTO, 3).

        Raises:
            NoPhotographs: the file cannot be read as an image.
        """
        image = self._load(rng.choice(self.paths))
        height, width = image.shape[:2]
        side = round(min(height, width) * rng.uniform(0.4, 1))
        y, x = rng.randint(0, height - side), rng.randint(0, width - side)
        part = image[y : y + side, x : x + side]
        if rng.random() < 0.5:
            part = np.ascontiguousarray(part[:, ::-1])
        return np.asarray(cv2.resize(part, (PHOTO, PHOTO), interpolation=cv2.INTER_AREA), np.float32)

    def _load(self, path: Path) -> NDArray[np.uint8]:
        if path not in self._read:
            try:
                image = Image.open(path).pixels
            except ImageError as error:
                raise NoPhotographs(
                    f"{path} cannot be read as an image ({error}): remove it from the folder"
                ) from None
            shrink = min(1.0, 2 * PHOTO / min(image.shape[:2]))
            if shrink < 1:
                image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
            if len(self._read) >= 64:
                self._read.clear()
            self._read[path] = np.asarray(image, np.uint8)
        return self._read[path]


def _faded(
    photo: NDArray[np.float32], objects: Sequence[SceneObject], strength: float
) -> NDArray[np.float32]:
    """A photograph with its mean moved to a colour that the objects stand out from, and its contrast reduced
    until they do so where they lie."""
    colors = palette()
    mean = photo.mean((0, 1))
    good = colors.backgrounds[colors.contrasting(objects)]
    base = good[np.linalg.norm(good - mean, axis=1).argmin()]
    small = cv2.resize(photo, (32, 32), interpolation=cv2.INTER_AREA) - mean
    for _ in range(6):
        seen = to_lab(np.clip(base + strength * small, 0, 255).reshape(-1, 3)).reshape(32, 32, 3)
        if all(_stands_out(obj, seen) for obj in objects):
            break
        strength *= 0.6
    return np.asarray(np.clip(base + strength * (photo - mean), 0, 255), np.float32)


def _stands_out(obj: SceneObject, image: NDArray[np.float32]) -> bool:
    """True if an object differs from nearly all of the image (H, W, 3), in CIELAB, where it lies."""
    left, top, right, bottom = (round(v * len(image)) for v in obj.extent)
    behind = image[top : max(bottom, top + 1), left : max(right, left + 1)].reshape(-1, 3)
    distance = np.linalg.norm(behind - to_lab(palette().of(obj)[None]), axis=1)
    return bool(np.quantile(distance, 0.1) > 0.6 * CONTRAST)


def _share(background: Background, size: int) -> NDArray[np.float32]:
    """How much (H, W) of the second colour is seen, 0 to 1."""
    turn = np.radians(background.angle)
    at = (np.arange(size, dtype=np.float32) + 0.5) / size - 0.5
    u = at[None] * np.float32(np.cos(turn)) + at[:, None] * np.float32(np.sin(turn))
    if background.kind == "gradient":
        return np.asarray(np.clip(0.5 + 0.75 * u, 0, 1))
    k = np.float32(2 * np.pi / background.period)
    wave = np.cos(u * k)
    if background.kind == "checkered":
        v = at[:, None] * np.float32(np.cos(turn)) - at[None] * np.float32(np.sin(turn))
        wave = wave * np.cos(v * k) * 2
    return np.asarray(np.clip(0.5 + wave, 0, 1))


def _stroke(rng: random.Random) -> Stroke:
    x, y, heading = rng.random(), rng.random(), rng.uniform(0, 2 * np.pi)
    points = [(x, y)]
    for _ in range(rng.randint(3, 6)):
        heading += rng.uniform(-0.7, 0.7)
        x, y = x + 0.05 * float(np.cos(heading)), y + 0.05 * float(np.sin(heading))
        points.append((x, y))
    color = (rng.uniform(0, 255), rng.uniform(0, 255), rng.uniform(0, 255))
    return Stroke(tuple(points), color, rng.uniform(0.008, 0.018))


@cache
def _noise(side: int) -> NDArray[np.float32]:
    """Gaussian noise (side, side, 3) of deviation 1, from which windows are cut: drawing it anew for each
    scene would take longer than all the rest. RandomState gives the same numbers in every version of numpy."""
    return np.random.RandomState(0).standard_normal((side, side, 3)).astype(np.float32)

"""Scenes of kinds that the bundled models were not trained on, with all that is true of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from visprog.scenes import Scene, Scenes, background, draw
from visprog.scenes.colors import palette
from visprog.values import Box, Region
from visprog.values.image import Image

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class View:
    """An image of a scene.

    Attributes:
        scene: What is true of the image in words: its objects, captions and questions.
        image: uint8 RGB (height, width, 3).
        masks: bool (objects, height, width), the visible part of each object.
    """

    scene: Scene
    image: Image
    masks: Masks

    @cached_property
    def boxes(self) -> NDArray[np.float32]:
        """float32 (objects, 4): left, top, right, bottom in pixels."""
        return draw.boxes_of(self.masks)

    def region(self, i: int) -> Region:
        """The box of an object."""
        return Region(Box(*map(float, self.boxes[i])), "", 1.0, self.image)


@dataclass(frozen=True)
class Shift:
    """A way in which images differ from those of the training.

    Attributes:
        images: Description of the images.
        show: A scene and a source of chance → pixels and masks.
        objects: Least and greatest number of objects; None for that of the test.
        photos: Whether it needs a folder of photographs.
    """

    images: str
    show: Callable[[Scene, random.Random], tuple[Pixels, Masks]]
    objects: tuple[int, int] | None = None
    photos: bool = False


def views(
    name: str, split: str, count: int, size: int, objects: tuple[int, int], photos: Path | None = None
) -> Iterator[View]:
    """The first scenes of a split with a shift.

    Args:
        name: One of SHIFTS.
        size: Length in pixels of the shorter side.
        objects: Least and greatest number of objects, if the shift does not set it.
        photos: Folder of photographs, for the shifts that need one.

    Raises:
        NoPhotographs: The folder holds no image.
    """
    shift, options = SHIFTS[name], dict[str, Any]()
    if shift.photos:
        options["backgrounds"] = photos
    source = Scenes(size, split=split, objects=shift.objects or objects, **options)
    for i in range(count):
        scene, rng = source[i], random.Random(f"{name}/{split}/{i}")
        if source.photos and scene.background.photo is None:  # the other half is faded behind the objects
            scene = replace(scene, background=replace(scene.background, photo=source.photos.crop(rng)))
        pixels, masks = shift.show(scene, rng)
        yield View(scene, Image(pixels), masks)


def as_drawn(scene: Scene, rng: random.Random) -> tuple[Pixels, Masks]:
    return scene.pixels, scene.masks


def elongated(scene: Scene, rng: random.Random, ratio: float) -> tuple[Pixels, Masks]:
    """As likely wide as high; either the objects lie apart over the whole image, or the edges of a square are drawn out
    on both sides of it."""
    high = rng.random() < 0.5
    make = _spread if rng.random() < 0.5 else _drawn_out
    return make(scene, rng, round(scene.size * ratio) - scene.size, high)


def _drawn_out(scene: Scene, rng: random.Random, extra: int, high: bool) -> tuple[Pixels, Masks]:
    before = rng.randint(0, extra)
    longer, none = (before, extra - before), (0, 0)
    margins = (longer, none) if high else (none, longer)
    return np.pad(scene.pixels, (*margins, none), mode="edge"), np.pad(scene.masks, (none, *margins))


def _spread(scene: Scene, rng: random.Random, extra: int, high: bool) -> tuple[Pixels, Masks]:
    size = scene.size
    whole = background.render(scene.background, size + extra)
    band = np.s_[:, extra // 2 : extra // 2 + size] if high else np.s_[extra // 2 : extra // 2 + size]
    canvas = whole[band]
    masks, colors = np.zeros((len(scene.objects), *canvas.shape[:2]), bool), palette()
    for k, obj in enumerate(scene.objects):
        start = round(extra * (obj.y if high else obj.x))
        square = np.s_[start : start + size] if high else np.s_[:, start : start + size]
        patch = draw.patch(obj, size)
        draw.paint(canvas[square], obj, patch, colors.of(obj), colors.tone(obj))
        masks[k][square][patch.place] = patch.cover >= 128
        masks[:k] &= ~masks[k]
    return np.ascontiguousarray(background.develop(whole, scene.background)[band]), masks


def darkened(scene: Scene, rng: random.Random) -> tuple[Pixels, Masks]:
    """Half at night, the others with 20 to 60 % of the light."""
    if rng.random() < 0.5:
        return replace(scene, style="dark").pixels, scene.masks
    return _scaled(scene.pixels, rng.uniform(0.2, 0.6)), scene.masks


def brightened(scene: Scene, rng: random.Random) -> tuple[Pixels, Masks]:
    """So much that light colours are lost, but no more: under more light, orange is yellow."""
    return _scaled(scene.pixels, rng.uniform(1.1, 1.4)), scene.masks


def paled(scene: Scene, rng: random.Random) -> tuple[Pixels, Masks]:
    return _scaled(scene.pixels, rng.uniform(0.25, 0.6), rng.uniform(60, 200)), scene.masks


def _scaled(pixels: Pixels, factor: float, around: float = 0.0) -> Pixels:
    return np.asarray(cv2.convertScaleAbs(pixels, alpha=factor, beta=around * (1 - factor)), np.uint8)


SHIFTS: dict[str, Shift] = {
    "wide": Shift("2:1 or 1:2", partial(elongated, ratio=2.0)),
    "very-wide": Shift("4:1 or 1:4", partial(elongated, ratio=4.0)),
    "photo": Shift("a photograph behind, half of them faded", as_drawn, photos=True),
    "dark": Shift("night, or 20 to 60 % of the light", darkened),
    "bright": Shift("110 to 140 % of the light", brightened),
    "pale": Shift("25 to 60 % of the contrast", paled),
    "many": Shift("six to eight objects", as_drawn, objects=(6, 8)),
}  # fmt: skip
"""Name of a shift → what it is."""

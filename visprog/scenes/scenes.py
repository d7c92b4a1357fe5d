"""The generator: an endless, seeded sequence of scenes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from . import background, layout
from .changes import CHANGE_TYPES, ScenePair, change
from .motion import move
from .objects import SceneObject
from .scene import Scene
from .styles import STYLES

SPLITS = ("train", "val", "test", "held_out")


class SceneBatch(NamedTuple):
    """Scenes as stacked arrays; what is beyond the count of a scene is zero.

    Attributes:
        pixels: uint8 (B, size, size, 3).
        boxes: float32 (B, N, 4), N the most objects in one of the scenes.
        masks: bool (B, N, size, size).
        counts: int64 (B,), objects in each.
        scenes: the scenes themselves, for captions and questions.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    masks: NDArray[np.bool_]
    counts: NDArray[np.int64]
    scenes: tuple[Scene, ...]


class Scenes:
    """Images of simple objects with full ground truth. Scene `i` depends on the seed, the split and `i` alone.

    The splits "train", "val" and "test" show different scenes of one distribution. In "held_out" each scene has at
    least one object of a combination of HELD_OUT, which the others never show or name: a model that has only
    memorised what it saw fails there.

    Args:
        size: width and height of the images in pixels, at least 32.
        seed: another seed, other scenes.
        split: "train", "val", "test" or "held_out".
        objects: least and greatest number of objects in a scene.
        style: one of STYLES, "mixed" for all of them, or None for "normal".
        backgrounds: a folder of photographs, which half of the scenes then have behind them.
        overlap: the chance that a scene lets objects hide a part (at most a third) of each other.
        clutter: the chance that a scene has thin strokes on its background.

    Raises:
        ValueError: an argument out of its range.
        NoPhotographs: `backgrounds` holds no image.
    """

    def __init__(
        self,
        size: int = 64,
        seed: int = 0,
        split: str = "train",
        objects: tuple[int, int] = (1, 5),
        style: str | None = None,
        backgrounds: Path | str | None = None,
        overlap: float = 0.25,
        clutter: float = 0.25,
    ) -> None:
        if size < 32:
            raise ValueError(f"scenes need a size of at least 32 pixels, not {size}")
        if split not in SPLITS:
            raise ValueError(f"unknown split '{split}': use one of {', '.join(SPLITS)}")
        if not 1 <= objects[0] <= objects[1] <= layout.MAX_OBJECTS:
            raise ValueError(
                f"objects must be (least, greatest) between 1 and {layout.MAX_OBJECTS}, not {objects}"
            )
        if style not in (None, "mixed", *STYLES):
            raise ValueError(f"unknown style '{style}': use 'mixed' or one of {', '.join(STYLES)}")
        if not (0 <= overlap <= 1 and 0 <= clutter <= 1):
            raise ValueError(f"overlap and clutter are chances from 0 to 1, not {overlap} and {clutter}")
        self.size, self.seed, self.split, self.objects, self.style = size, seed, split, objects, style
        self.overlap, self.clutter = overlap, clutter
        self.photos = None if backgrounds is None else background.Photographs(Path(backgrounds))

    def __getitem__(self, index: int) -> Scene:
        """Scene number `index`, from 0 without end. Raises IndexError below 0."""
        rng = self._rng(index)
        return self._scene(rng, self._arrange(rng), self._key(index))

    def __iter__(self) -> Iterator[Scene]:
        index = 0
        while True:
            yield self[index]
            index += 1

    def batch(self, indices: Sequence[int]) -> SceneBatch:
        """Several scenes, drawn and stacked."""
        scenes = tuple(self[i] for i in indices)
        counts = np.array([len(scene.objects) for scene in scenes], np.int64)
        most = int(counts.max(initial=0))
        pixels = np.zeros((len(scenes), self.size, self.size, 3), np.uint8)
        boxes = np.zeros((len(scenes), most, 4), np.float32)
        masks = np.zeros((len(scenes), most, self.size, self.size), bool)
        for k, scene in enumerate(scenes):
            pixels[k], boxes[k, : counts[k]], masks[k, : counts[k]] = scene.pixels, scene.boxes, scene.masks
        return SceneBatch(pixels, boxes, masks, counts, scenes)

    def pair(self, index: int) -> ScenePair:
        """Two scenes that differ in one object, with the difference in words."""
        rng = self._rng(index, "/pair")
        rare = self.split == "held_out"
        while True:
            objects = self._arrange(rng)
            change_type = rng.choice(CHANGE_TYPES)
            for _ in range(10):
                made = change(rng, objects, change_type)
                if made is None:
                    continue
                after = [] if made.after is None else [made.after]
                second = [*objects[: made.index], *after, *objects[made.index + 1 :]]
                if any(obj.held_out for obj in second) == rare:
                    shown = self._scene(rng, [*objects, *after], self._key(index) + "/pair")
                    first = replace(shown, objects=tuple(objects))
                    return ScenePair(
                        first, replace(first, objects=tuple(second)), change_type, made.difference, made.index
                    )

    def sequence(self, index: int, frames: int = 8) -> list[Scene]:
        """The frames of a film: objects that move; object `k` is the same in all of them.

        Raises:
            ValueError: less than one frame.
        """
        if frames < 1:
            raise ValueError(f"a sequence needs at least one frame, not {frames}")
        rng = self._rng(index, "/sequence")
        objects = self._arrange(rng, overlap=False)
        first = self._scene(rng, objects, self._key(index) + "/sequence")
        return [
            replace(
                first, objects=tuple(shot), background=replace(first.background, seed=rng.getrandbits(32))
            )
            for shot in move(rng, objects, frames)
        ]

    def nested(self, index: int) -> Scene:
        """A large object (0) with a smaller one (1) on it: a point on the small one may mean either.

        `Scene.silhouettes` are the masks of both in full.
        """
        rng = self._rng(index, "/nested")
        return self._scene(
            rng, layout.nest(rng, held_out=self.split == "held_out"), self._key(index) + "/nested"
        )

    def _key(self, index: int) -> str:
        return f"{self.seed}/{self.split}/{index}"

    def _rng(self, index: int, purpose: str = "") -> random.Random:
        if index < 0:
            raise IndexError(f"scenes are numbered from 0, not {index}")
        return random.Random(self._key(index) + purpose)

    def _arrange(self, rng: random.Random, overlap: bool = True) -> list[SceneObject]:
        overlap = rng.random() < self.overlap and overlap
        return layout.arrange(
            rng, rng.randint(*self.objects), held_out=self.split == "held_out", overlap=overlap
        )

    def _scene(self, rng: random.Random, objects: Sequence[SceneObject], key: str) -> Scene:
        style = rng.choice(STYLES) if self.style == "mixed" else self.style or "normal"
        behind = background.choose(rng, objects, clutter=self.clutter, photos=self.photos)
        return Scene(tuple(objects), behind, style, self.size, key, rare=self.split == "held_out")

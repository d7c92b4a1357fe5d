"""Scenes with masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from visprog.scenes import Scenes

from ..samples import Masks
from ..source import Source, SplitName


@dataclass(frozen=True)
class SceneMasksConfig:
    """Keys of the source `scenes` for masks.

    Attributes:
        scenes: number of scenes to train on.
        nested: share of scenes with an object on an object, where a point may mean either.
        style: of the scenes, as in `Scenes`.
        backgrounds: folder of photographs behind half of the scenes; null for none.
    """

    scenes: int = 100_000
    nested: float = 0.1
    style: str | None = "mixed"
    backgrounds: Path | None = None


class SceneMasks(Source):
    """Scenes with the masks of their objects."""

    Config: ClassVar[Any] = SceneMasksConfig
    sample_type = Masks
    square = True

    def split(self, name: SplitName, size: int) -> MaskedScenes:
        return MaskedScenes(self.config, name, size, self.config.scenes if name == "train" else 256)


class MaskedScenes:
    """The scenes of a split."""

    def __init__(self, config: SceneMasksConfig, split: str, size: int, count: int) -> None:
        self.scenes = Scenes(size=size, split=split, style=config.style, backgrounds=config.backgrounds)
        self.nested, self.count = config.nested, count

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Masks:
        """A scene with the visible part of each object, or two objects in full."""
        nested = rng.random() < self.nested
        scene = self.scenes.nested(key) if nested else self.scenes[key]
        labels = tuple(o.name for o in scene.objects)
        masks = scene.silhouettes if nested else scene.masks
        return Masks(scene.pixels, masks, scene.boxes, labels, np.zeros(len(labels), bool), f"scene {key}")

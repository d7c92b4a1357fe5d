"""Scenes with boxes, and an expression that names one object of each."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from visprog.scenes import COLORS, SHAPES, SIZES, SceneObject, Scenes
from visprog.scenes.expressions import named_by, unique_expression
from visprog.scenes.facts import RELATION_PHRASES
from visprog.scenes.objects import DIRECTIONS

from ..samples import Boxes
from ..source import BoxSource, SplitName

STRIDE = 10_000_000
"""From a scene without an expression to the one that takes its place, beyond all that are counted."""


@dataclass(frozen=True)
class SceneExpressionsConfig:
    """Keys of the source `scene-expressions`.

    Attributes:
        scenes: number of scenes to train on.
        related: share of expressions that name an object by its direction from another, where that tells it from
            others like it.
        style: of the scenes, as in `Scenes`; null for the normal one.
        backgrounds: folder of photographs behind half of the scenes; null for none.
    """

    scenes: int = 100_000
    related: float = 0.5
    style: str | None = None
    backgrounds: Path | None = None


class SceneExpressions(BoxSource):
    """Scenes of two to five objects, each with an expression such as "circle left of the blue square". Every second
    scene to validate by is held out."""

    Config: ClassVar[Any] = SceneExpressionsConfig
    square = closed_vocabulary = True

    def split(self, name: SplitName, size: int) -> ReferredScenes:
        if name == "train":
            return ReferredScenes(self.config, ("train",), size, self.config.scenes)
        return ReferredScenes(self.config, ("val", "held_out"), size, 512)

    def texts(self) -> Iterator[str]:
        """All words of the expressions."""
        yield " ".join((*COLORS, *SHAPES, *SIZES, "the thing"))
        for direction in DIRECTIONS:
            yield from RELATION_PHRASES[direction]


@dataclass(frozen=True, eq=False)
class ReferredScene(Boxes):
    """A scene with boxes, which knows what any expression names."""

    objects: tuple[SceneObject, ...] = ()

    def fits(self, phrase: str) -> NDArray[np.bool_]:
        return np.array(named_by(phrase.removeprefix("the "), self.objects), bool)


class ReferredScenes:
    """The scenes of some splits in turn."""

    def __init__(
        self, config: SceneExpressionsConfig, splits: tuple[str, ...], size: int, count: int
    ) -> None:
        self.related, self.count, self.splits = config.related, count, splits
        self.scenes = [
            Scenes(size, split=split, objects=(2, 5), style=config.style, backgrounds=config.backgrounds)
            for split in splits
        ]

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> ReferredScene:
        """A scene and an expression, half of them after "the", another one at each visit."""
        which, rare = key % len(self.scenes), self.splits[key % len(self.scenes)] == "held_out"
        random_words, expression = random.Random(int(rng.integers(2**32))), ""
        while not expression:  # in one scene of a hundred no object can be told from the others: take another
            scene = self.scenes[which][key]
            expression = unique_expression(
                scene.objects, random_words, color=scene.colored, rare=rare, related=self.related
            )
            key += STRIDE
        expression = random_words.choice(("", "the ")) + expression
        labels = tuple(one.name for one in scene.objects)
        crowd = np.zeros(len(labels), bool)
        return ReferredScene(
            scene.pixels, scene.boxes, labels, crowd, scene.key, (expression,), scene.objects
        )

"""Scenes of two objects and their relation, with a false caption and a phrase per object: `scene-relations`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from visprog.scenes.language import phrase
from visprog.scenes.related import RelatedPairs, words

from ..samples import Pair
from ..source import PairSource, SplitName

TESTS = 512
"""Number of scenes to validate by."""


@dataclass(frozen=True)
class SceneRelationsConfig:
    """Keys of the source `scene-relations`.

    Attributes:
        scenes: number of scenes to train on.
    """

    scenes: int = 100_000


class SceneRelations(PairSource):
    """Scenes of two objects, captioned "a red square left of a blue circle". In the false caption the relation is the
    opposite or the colours are exchanged; the regions are the objects, "red square" and "blue circle"."""

    Config: ClassVar[Any] = SceneRelationsConfig
    square = closed_vocabulary = has_false_captions = has_regions = True

    def split(self, name: SplitName, size: int) -> RelatedScenes:
        return RelatedScenes(RelatedPairs(size, split=name), self.config.scenes if name == "train" else TESTS)

    def texts(self) -> Iterator[str]:
        """All words of the captions."""
        return words()


class RelatedScenes:
    """Scenes of a split."""

    def __init__(self, pairs: RelatedPairs, count: int) -> None:
        self.pairs, self.count = pairs, count

    def __len__(self) -> int:
        return self.count

    def sample(self, key: int, rng: np.random.Generator) -> Pair:
        """A scene with its caption."""
        pair = self.pairs[key]
        false = pair.flipped() if rng.random() < 0.5 else pair.exchanged()
        phrases = tuple(phrase(obj) for obj in pair.scene.objects)
        return Pair(
            pair.scene.pixels, (pair.caption,), pair.scene.key, false.caption, boxes=pair.scene.boxes,
            phrases=phrases,
        )  # fmt: skip

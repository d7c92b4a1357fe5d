"""Two objects and how they stand to each other: scenes with a caption and what is nearly the same, but false."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import NamedTuple

from .facts import with_article
from .language import phrase
from .objects import COLORS, DIRECTIONS, OPPOSITE, SceneObject, is_held_out
from .scene import Scene
from .scenes import Scenes
from .shapes import SHAPES

STRIDE = 64
"""Number of scenes of which one is chosen."""


class RelatedPair(NamedTuple):
    """A scene of two objects of different colours and shapes, `first` being left of, right of, above or below
    `second`."""

    scene: Scene
    first: SceneObject
    relation: str
    second: SceneObject

    @property
    def caption(self) -> str:
        """Such as "a red square left of a blue circle"."""
        return f"{with_article(phrase(self.first))} {self.relation} {with_article(phrase(self.second))}"

    @property
    def listed(self) -> str:
        """Both objects without their relation: "the red square and the blue circle"."""
        return f"the {phrase(self.first)} and the {phrase(self.second)}"

    def flipped(self) -> RelatedPair:
        """With the opposite relation; false of the scene, as are the next two."""
        return self._replace(relation=OPPOSITE[self.relation])

    def exchanged(self) -> RelatedPair:
        """With the colours exchanged."""
        first, second = self.first, self.second
        return self._replace(
            first=replace(first, color=second.color), second=replace(second, color=first.color)
        )

    def replaced(self, rng: random.Random) -> RelatedPair:
        """With one of the shapes replaced by one that the scene does not show."""
        shown = {obj.shape for obj in self.scene.objects}
        which = rng.choice(("first", "second"))
        obj = getattr(self, which)
        free = [s for s in SHAPES if s not in shown and (self.scene.rare or not is_held_out(s, obj.color))]
        return self._replace(**{which: replace(obj, shape=rng.choice(free))})


class RelatedPairs:
    """An endless sequence of pairs, seeded as `Scenes`. What `exchanged` says is also a combination that training may
    show, unless the split is "held_out".

    Args:
        size, seed, split, style: as in `Scenes`; the style must show colours.
    """

    def __init__(self, size: int = 64, seed: int = 0, split: str = "train", style: str | None = None) -> None:
        self.scenes = Scenes(size, seed, split, objects=(2, 2), style=style, overlap=0.0)

    def __getitem__(self, index: int) -> RelatedPair:
        return next(pair for k in count(index * STRIDE) for pair in self._pairs(self.scenes[k]))

    def _pairs(self, scene: Scene) -> Iterator[RelatedPair]:
        """One of the pairs of a scene, if it has any."""
        a, b = scene.objects
        if a.color == b.color or a.shape == b.shape or not scene.colored:
            return
        if not scene.rare and (is_held_out(a.shape, b.color) or is_held_out(b.shape, a.color)):
            return
        found = [(i, relation, j) for i, relation, j in scene.relations if relation in DIRECTIONS]
        if found:
            i, relation, j = random.Random(f"{scene.key}/related").choice(found)
            yield RelatedPair(scene, scene.objects[i], relation, scene.objects[j])


def words() -> Iterator[str]:
    """All words of the captions of pairs."""
    yield " ".join((*COLORS, *SHAPES, *DIRECTIONS, "a an the and"))

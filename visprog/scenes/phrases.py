"""Phrases that a question can name: of objects that are there, of others, of one alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .facts import Mention, matches
from .objects import COLORS, HELD_OUT, SceneObject, is_held_out
from .shapes import SHAPES

RARE = sorted(pair for pair in HELD_OUT if pair[0] in COLORS)


class PhraseSampler:
    """Draws phrases about some objects.

    Args:
        color: colours may be named.
        rare: so may combinations that training never shows.
    """

    def __init__(self, objects: Sequence[SceneObject], rng: random.Random, color: bool, rare: bool) -> None:
        self.objects, self.rng, self.color, self.rare = objects, rng, color, rare

    def coin(self) -> bool:
        return self.rng.random() < 0.5

    def fitting(self, mention: Mention) -> int:
        """How many objects a phrase fits."""
        return sum(matches(obj, mention) for obj in self.objects)

    def ways(self, obj: SceneObject) -> list[Mention]:
        """Ways to speak of an object and others like it."""
        if not self.color:
            return [Mention(obj.shape), Mention(obj.shape, size=obj.size)]
        return [Mention(obj.shape), Mention(obj.shape, obj.color), Mention(color=obj.color)]

    def draw(self, present: bool) -> Mention:
        """A phrase that fits some of the objects; or none, then often of a colour and a shape that are there
        apart."""
        if present:
            return self.rng.choice(self.ways(self.rng.choice(self.objects)))
        while True:
            one, other = self.rng.choice(self.objects), self.rng.choice(self.objects)
            shape, color = self.rng.choice(SHAPES), self.rng.choice(COLORS)
            if self.coin():
                shape, color = one.shape, other.color
            elif self.rare and self.coin():
                color, shape = self.rng.choice(RARE)
            ways = [Mention(shape), Mention(shape, color), Mention(color=color)]
            mention = self.rng.choice(ways if self.color else [Mention(shape), Mention(shape, size=one.size)])
            if not self.fitting(mention) and (self.rare or not is_held_out(mention.shape, mention.color)):
                return mention

    def unique(
        self, among: Sequence[SceneObject] | None = None, without: str = ""
    ) -> tuple[SceneObject, Mention] | None:
        """An object and a phrase that fits it alone, which does not tell the attribute `without`."""
        chosen = self.objects if among is None else among
        if not chosen:
            return None
        obj = self.rng.choice(chosen)
        ways = [*self.ways(obj), Mention(obj.shape, size=obj.size)]
        ways = [w for w in ways if not (without and getattr(w, without, None)) and self.fitting(w) == 1]
        return (obj, self.rng.choice(ways)) if ways else None

    def pair(self) -> tuple[tuple[SceneObject, Mention], tuple[SceneObject, Mention]] | None:
        """Two different objects, each with a phrase that fits it alone."""
        one, other = self.unique(), self.unique()
        return None if one is None or other is None or one[0] is other[0] else (one, other)

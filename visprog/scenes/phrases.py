"""Phrases that a question can name: of things that are there, of others, of one alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .facts import Mention, matches
from .shapes import SHAPES
from .things import COLORS, HELD_OUT, Thing, is_held_out

RARE = sorted(pair for pair in HELD_OUT if pair[0] in COLORS)


class Phrases:
    """Draws phrases about some things.

    Args:
        color: colours may be named.
        rare: so may combinations that training never shows.
    """

    def __init__(self, things: Sequence[Thing], rng: random.Random, color: bool, rare: bool) -> None:
        self.things, self.rng, self.color, self.rare = things, rng, color, rare

    def coin(self) -> bool:
        return self.rng.random() < 0.5

    def fitting(self, mention: Mention) -> int:
        """How many things a phrase fits."""
        return sum(matches(thing, mention) for thing in self.things)

    def ways(self, thing: Thing) -> list[Mention]:
        """Ways to speak of a thing and others like it."""
        if not self.color:
            return [Mention(thing.shape), Mention(thing.shape, size=thing.size)]
        return [Mention(thing.shape), Mention(thing.shape, thing.color), Mention(color=thing.color)]

    def draw(self, present: bool) -> Mention:
        """A phrase that fits some of the things; or none, then often of a colour and a shape that are there
        apart."""
        if present:
            return self.rng.choice(self.ways(self.rng.choice(self.things)))
        while True:
            one, other = self.rng.choice(self.things), self.rng.choice(self.things)
            shape, color = self.rng.choice(SHAPES), self.rng.choice(COLORS)
            if self.coin():
                shape, color = one.shape, other.color
            elif self.rare and self.coin():
                color, shape = self.rng.choice(RARE)
            ways = [Mention(shape), Mention(shape, color), Mention(color=color)]
            mention = self.rng.choice(ways if self.color else [Mention(shape), Mention(shape, size=one.size)])
            if not self.fitting(mention) and (self.rare or not is_held_out(mention.shape, mention.color)):
                return mention

    def unique(self, among: Sequence[Thing] | None = None, without: str = "") -> tuple[Thing, Mention] | None:
        """A thing and a phrase that fits it alone, which does not tell the attribute `without`."""
        chosen = self.things if among is None else among
        if not chosen:
            return None
        thing = self.rng.choice(chosen)
        ways = [*self.ways(thing), Mention(thing.shape, size=thing.size)]
        ways = [w for w in ways if not (without and getattr(w, without, None)) and self.fitting(w) == 1]
        return (thing, self.rng.choice(ways)) if ways else None

    def pair(self) -> tuple[tuple[Thing, Mention], tuple[Thing, Mention]] | None:
        """Two different things, each with a phrase that fits it alone."""
        one, other = self.unique(), self.unique()
        return None if one is None or other is None or one[0] is other[0] else (one, other)

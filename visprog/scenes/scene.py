"""One scene: its pixels, masks and boxes at a size, and what can be said of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from . import background as backgrounds
from . import draw, language, styles
from .background import Background
from .colors import palette
from .facts import Claim, Facts, agrees, facts_of, matches, mention_of
from .kinds import KINDS
from .questions import Question, ask
from .things import CLEAR, DIRECTIONS, Thing, lies_inside, offset

Inks = Callable[[Thing, draw.Patch, draw.Canvas], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""What says with which colours a thing is painted; see `Scene.painted`."""


@dataclass(frozen=True, eq=False)
class Scene:
    """A picture of things on a background, with all that is true of it. Drawn when first asked for.

    Attributes:
        things: from back to front, in units that do not depend on the size.
        background: what lies behind them.
        style: one of STYLES.
        size: width and height in pixels.
        key: what the random choices of words are seeded with.
        rare: words may name combinations that training never shows.
    """

    things: tuple[Thing, ...]
    background: Background = field(repr=False)
    style: str
    size: int
    key: str
    rare: bool = False

    def at(self, size: int) -> Scene:
        """The same scene at another size, in pixels."""
        return replace(self, size=size)

    # -- pixels ----------------------------------------------------------------------------------

    @cached_property
    def pixels(self) -> NDArray[np.uint8]:
        """uint8 RGB (size, size, 3)."""
        colors = palette()
        if self.style == "infrared":
            return self.painted(lambda thing, *_: (styles.warm(thing, False), styles.warm(thing, True)))
        return self.painted(lambda thing, *_: (colors.of(thing), colors.tone(thing)))

    def painted(self, inks: Inks) -> NDArray[np.uint8]:
        """The picture, uint8 RGB (size, size, 3), with other colours of the things than their own.

        Args:
            inks: a thing, its outline and the canvas as it is behind it → the colour and the tone of its texture,
                RGB (3,) or (height, width, 3) of the outline.
        """
        canvas = backgrounds.render(self.background, self.size)
        if self.style == "infrared":
            canvas = styles.cool(canvas)
        for thing, where in zip(self.things, self._patches, strict=True):
            draw.paint(canvas, thing, where, *inks(thing, where, canvas))
        return styles.EFFECTS[self.style](backgrounds.develop(canvas, self.background))

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """bool (n, size, size): the visible part of each thing."""
        return draw.visible_masks(self._patches, self.size)

    @cached_property
    def silhouettes(self) -> NDArray[np.bool_]:
        """bool (n, size, size): each thing in full, as if nothing were in front of it."""
        full = np.zeros((len(self.things), self.size, self.size), bool)
        for mask, each in zip(full, self._patches, strict=True):
            mask[each.place] = each.cover >= 128
        return full

    @cached_property
    def boxes(self) -> NDArray[np.float32]:
        """float32 (n, 4): left, top, right, bottom of the masks in pixels, [left, right) x [top, bottom)."""
        return draw.boxes_of(self.masks)

    @cached_property
    def _patches(self) -> list[draw.Patch]:
        return [draw.patch(thing, self.size) for thing in self.things]

    # -- truth -----------------------------------------------------------------------------------

    @property
    def colored(self) -> bool:
        """True if the style shows the colours of the things."""
        return self.style not in styles.COLORLESS

    @cached_property
    def relations(self) -> tuple[tuple[int, str, int], ...]:
        """All that holds clearly: (i, "left of", j) says that thing i lies left of thing j."""
        pairs = [(i, a, j, b) for i, a in enumerate(self.things) for j, b in enumerate(self.things) if i != j]
        inside = {(i, j) for i, a, j, b in pairs if lies_inside(a, b)}
        found = [
            (i, relation, j)
            for i, a, j, b in pairs
            if (i, j) not in inside and (j, i) not in inside
            for relation in DIRECTIONS
            if offset(a, relation, b) >= CLEAR
        ]
        return (*found, *((i, "inside", j) for i, j in sorted(inside)))

    def facts(self) -> Facts:
        """All things with all that is visible of them, and all clear relations."""
        mentions = tuple(mention_of(thing, self.colored) for thing in self.things)
        claims = tuple(Claim(mentions[i], relation, mentions[j]) for i, relation, j in self.relations)
        return Facts(mentions, claims)

    def find(self, phrase: str) -> list[int]:
        """Indices of the things that a noun phrase fits: "red circle", "striped things", "large square".

        Raises:
            ValueError: the phrase is not one of the language of scenes, or says more than what a thing is.
        """
        read = facts_of(phrase.removeprefix("the "))
        if read is None or len(read.mentions) != 1 or read.claims:
            raise ValueError(f"'{phrase}' does not name one kind of thing in the words of scenes")
        return [i for i, thing in enumerate(self.things) if matches(thing, read.mentions[0])]

    def agrees(self, caption: str, *, complete: bool = False) -> bool:
        """True if everything that a caption says is true of this picture; with `complete`, if it also names
        each thing, once. A caption that cannot be read is wrong."""
        read = facts_of(caption)
        return read is not None and agrees(read, self.things, complete=complete)

    # -- words -----------------------------------------------------------------------------------

    def captions(self, level: str = "plain") -> list[str]:
        """Ways to say the same; the first in the simplest words, from left to right.

        Args:
            level: "short" (one thing), "plain" (all things), "full" (with size, texture and a relation).

        Raises:
            ValueError: an unknown level.
        """
        return list(dict.fromkeys(self._caption(level, k) for k in range(language.VARIANTS)))

    def caption(self, level: str = "plain") -> str:
        """One of `captions`, chosen at random but always the same. Raises as they do."""
        return self._caption(level, self._rng("variant").randrange(language.VARIANTS))

    @property
    def listing(self) -> str:
        """All things with all that is visible of them and their places, as `language.listing` writes them."""
        return language.listing(self.things, color=self.colored)

    def _caption(self, level: str, variant: int) -> str:
        relations = self.relations if level == "full" else ()
        return language.caption(self.things, relations, self.key, level, variant, color=self.colored)

    @cached_property
    def region_captions(self) -> tuple[str, ...]:
        """One phrase a thing, of varying detail: "red circle", "small circle", "striped blue square"."""
        rng = self._rng("regions")
        return tuple(language.region_caption(thing, rng, color=self.colored) for thing in self.things)

    def negatives(self, caption: str) -> list[str]:
        """Captions that differ from this one in few words and are not true of this picture, in random order:
        colours, shapes, sizes or textures exchanged or replaced, a relation reversed, a number changed."""
        return language.negatives(caption, self.things, self._rng(caption), rare=self.rare)

    def questions(self, count: int, kinds: Sequence[str] = KINDS) -> list[Question]:
        """Different questions with answers and programs, always the same; see `questions.ask`.

        Args:
            count: how many; there may be fewer where the scene does not give more.
            kinds: to choose from, see `kinds.KINDS`.

        Raises:
            ValueError: an unknown kind.
        """
        return ask(self.things, self._rng("questions"), count, kinds, color=self.colored, rare=self.rare)

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.key}/{purpose}")

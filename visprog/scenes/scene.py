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
from .facts import Facts, RelationClaim, agrees, facts_of, matches, mention_of
from .objects import DIRECTIONS, MIN_OFFSET, SceneObject, lies_inside, offset
from .questions import SceneQuestion, make_questions
from .wordings import QUESTION_TYPES

Inks = Callable[[SceneObject, draw.Patch, draw.Canvas], tuple[NDArray[np.float32], NDArray[np.float32]]]
"""What says with which colours an object is painted; see `Scene.painted`."""


@dataclass(frozen=True, eq=False)
class Scene:
    """An image of objects on a background, with all that is true of it. Drawn when first asked for.

    Attributes:
        objects: from back to front, in units that do not depend on the size.
        background: what lies behind them.
        style: one of STYLES.
        size: width and height in pixels.
        key: what the random choices of words are seeded with.
        rare: words may name combinations that training never shows.
    """

    objects: tuple[SceneObject, ...]
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
            return self.painted(lambda obj, *_: (styles.warm(obj, False), styles.warm(obj, True)))
        return self.painted(lambda obj, *_: (colors.of(obj), colors.tone(obj)))

    def painted(self, inks: Inks) -> NDArray[np.uint8]:
        """The image, uint8 RGB (size, size, 3), with other colours of the objects than their own.

        Args:
            inks: an object, its outline and the canvas as it is behind it → the colour and the tone of its texture,
                RGB (3,) or (height, width, 3) of the outline.
        """
        canvas = backgrounds.render(self.background, self.size)
        if self.style == "infrared":
            canvas = styles.cool(canvas)
        for obj, where in zip(self.objects, self._patches, strict=True):
            draw.paint(canvas, obj, where, *inks(obj, where, canvas))
        return styles.EFFECTS[self.style](backgrounds.develop(canvas, self.background))

    @cached_property
    def masks(self) -> NDArray[np.bool_]:
        """bool (n, size, size): the visible part of each object."""
        return draw.visible_masks(self._patches, self.size)

    @cached_property
    def silhouettes(self) -> NDArray[np.bool_]:
        """bool (n, size, size): each object in full, as if nothing were in front of it."""
        full = np.zeros((len(self.objects), self.size, self.size), bool)
        for mask, each in zip(full, self._patches, strict=True):
            mask[each.place] = each.cover >= 128
        return full

    @cached_property
    def boxes(self) -> NDArray[np.float32]:
        """float32 (n, 4): left, top, right, bottom of the masks in pixels, [left, right) x [top, bottom)."""
        return draw.boxes_of(self.masks)

    @cached_property
    def _patches(self) -> list[draw.Patch]:
        return [draw.patch(obj, self.size) for obj in self.objects]

    # -- truth -----------------------------------------------------------------------------------

    @property
    def colored(self) -> bool:
        """True if the style shows the colours of the objects."""
        return self.style not in styles.COLORLESS

    @cached_property
    def relations(self) -> tuple[tuple[int, str, int], ...]:
        """All that holds clearly: (i, "left of", j) says that object i lies left of object j."""
        pairs = [
            (i, a, j, b) for i, a in enumerate(self.objects) for j, b in enumerate(self.objects) if i != j
        ]
        inside = {(i, j) for i, a, j, b in pairs if lies_inside(a, b)}
        found = [
            (i, relation, j)
            for i, a, j, b in pairs
            if (i, j) not in inside and (j, i) not in inside
            for relation in DIRECTIONS
            if offset(a, relation, b) >= MIN_OFFSET
        ]
        return (*found, *((i, "inside", j) for i, j in sorted(inside)))

    def facts(self) -> Facts:
        """All objects with all that is visible of them, and all clear relations."""
        mentions = tuple(mention_of(obj, self.colored) for obj in self.objects)
        claims = tuple(RelationClaim(mentions[i], relation, mentions[j]) for i, relation, j in self.relations)
        return Facts(mentions, claims)

    def find(self, phrase: str) -> list[int]:
        """Indices of the objects that a noun phrase fits: "red circle", "striped things", "large square".

        Raises:
            ValueError: the phrase is not one of the language of scenes, or says more than what an object is.
        """
        read = facts_of(phrase.removeprefix("the "))
        if read is None or len(read.mentions) != 1 or read.claims:
            raise ValueError(f"'{phrase}' does not name one kind of object in the words of scenes")
        return [i for i, obj in enumerate(self.objects) if matches(obj, read.mentions[0])]

    def agrees(self, caption: str, *, complete: bool = False) -> bool:
        """True if everything that a caption says is true of this image; with `complete`, if it also names
        each object, once. A caption that cannot be read is wrong."""
        read = facts_of(caption)
        return read is not None and agrees(read, self.objects, complete=complete)

    # -- words -----------------------------------------------------------------------------------

    def captions(self, level: str = "plain") -> list[str]:
        """Ways to say the same; the first in the simplest words, from left to right.

        Args:
            level: "short" (one object), "plain" (all objects), "full" (with size, texture and a relation).

        Raises:
            ValueError: an unknown level.
        """
        return list(dict.fromkeys(self._caption(level, k) for k in range(language.VARIANTS)))

    def caption(self, level: str = "plain") -> str:
        """One of `captions`, chosen at random but always the same. Raises as they do."""
        return self._caption(level, self._rng("variant").randrange(language.VARIANTS))

    @property
    def listing(self) -> str:
        """All objects with all that is visible of them and their places, as `language.listing` writes them."""
        return language.listing(self.objects, color=self.colored)

    def _caption(self, level: str, variant: int) -> str:
        relations = self.relations if level == "full" else ()
        return language.caption(self.objects, relations, self.key, level, variant, color=self.colored)

    @cached_property
    def region_captions(self) -> tuple[str, ...]:
        """One phrase an object, of varying detail: "red circle", "small circle", "striped blue square"."""
        rng = self._rng("regions")
        return tuple(language.region_caption(obj, rng, color=self.colored) for obj in self.objects)

    def negatives(self, caption: str) -> list[str]:
        """Captions that differ from this one in few words and are not true of this image, in random order:
        colours, shapes, sizes or textures exchanged or replaced, a relation reversed, a number changed."""
        return language.negatives(caption, self.objects, self._rng(caption), rare=self.rare)

    def questions(self, count: int, types: Sequence[str] = QUESTION_TYPES) -> list[SceneQuestion]:
        """Different questions with answers and programs, always the same; see `questions.make_questions`.

        Args:
            count: how many; there may be fewer where the scene does not give more.
            types: to choose from, see `types.QUESTION_TYPES`.

        Raises:
            ValueError: an unknown type.
        """
        return make_questions(
            self.objects, self._rng("questions"), count, types, color=self.colored, rare=self.rare
        )

    def _rng(self, purpose: str) -> random.Random:
        return random.Random(f"{self.key}/{purpose}")

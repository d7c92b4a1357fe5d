"""Two pictures that differ in one named thing, after the pairs that vision-language models confuse.

Kinds of difference as in the MMVP benchmark (Tong et al., 2024), as far as scenes can show them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .facts import Mention, matches, with_article
from .layout import GAP, MARGIN, place
from .scene import Scene
from .shapes import SHAPES
from .things import CLEAR, COLORS, DIRECTIONS, RADIUS, SIZES, TEXTURES, Thing, offset

TWIN_KINDS = ("color", "shape", "texture", "size", "position", "orientation", "presence")
TURNABLE = frozenset(("rectangle", "oval", "crescent", "arrow"))
"""Shapes that look different after a quarter turn."""


@dataclass(frozen=True, slots=True)
class Twins:
    """Two scenes and what differs.

    Attributes:
        first, second: the scenes; the same but for one thing.
        kind: one of TWIN_KINDS.
        difference: in words: "the red circle is blue in the second picture".
        index: of the thing in the first scene.
    """

    first: Scene
    second: Scene
    kind: str
    difference: str
    index: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one thing; `after` is None where the thing is gone."""

    index: int
    kind: str
    after: Thing | None
    difference: str


def change(rng: random.Random, things: Sequence[Thing], kind: str) -> Change | None:
    """A change of that kind to one of the things; None where this one, this time, does not allow it."""
    index = rng.randrange(len(things))
    before = things[index]
    others = [*things[:index], *things[index + 1 :]]
    pattern = None if before.texture == "solid" else before.texture  # that it is solid is not said
    named = Mention(before.shape, before.color, before.size, pattern)
    if any(matches(other, named) for other in others) or (kind == "presence" and not others):
        return None
    after, words = _changed(rng, before, others, kind)
    if after is None and kind != "presence":
        return None
    if after is not None and kind in ("shape", "size", "orientation") and not _fits(after, others):
        return None
    return Change(index, kind, after, f"the {before.name} {words} in the second picture")


def _changed(
    rng: random.Random, thing: Thing, others: Sequence[Thing], kind: str
) -> tuple[Thing | None, str]:
    """The thing after the change, and the words for it; None where there is none."""
    if kind == "color":
        color = rng.choice([c for c in COLORS if c != thing.color])
        return replace(thing, color=color), f"is {color}"
    if kind == "shape":
        shape = rng.choice([s for s in SHAPES if s != thing.shape])
        return replace(thing, shape=shape, angle=0), f"is {with_article(shape)}"
    if kind == "texture" and thing.size != "small":
        texture = rng.choice([t for t in TEXTURES if t != thing.texture])
        return replace(thing, texture=texture), f"is {texture}"
    if kind == "size" and thing.texture == "solid":
        size = rng.choice([s for s in SIZES if s != thing.size])
        return replace(thing, size=size, radius=rng.uniform(*RADIUS[size])), f"is {size}"
    if kind == "orientation" and thing.shape in TURNABLE:
        return replace(thing, angle=thing.angle + 90), "is turned"
    if kind == "presence":
        return None, "is missing"
    if kind == "position":
        found = place(rng, thing, others)
        if found is not None and found.size == thing.size:
            moves = [(offset(found, direction, thing), direction) for direction in DIRECTIONS]
            far, direction = max(moves)
            where = {
                "left of": "farther left",
                "right of": "farther right",
                "above": "higher",
                "below": "lower",
            }
            return (found, f"lies {where[direction]}") if far > CLEAR else (None, "")
    return None, ""


def _fits(thing: Thing, others: Sequence[Thing]) -> bool:
    """True if a thing lies in the picture and clear of others."""
    left, top, right, bottom = thing.extent
    apart = all(
        (thing.x - o.x) ** 2 + (thing.y - o.y) ** 2 > (thing.reach + o.reach + GAP) ** 2 for o in others
    )
    return apart and min(left, top, 1 - right, 1 - bottom) >= MARGIN

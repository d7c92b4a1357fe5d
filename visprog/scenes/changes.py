"""Two images that differ in one named object, after the pairs that vision-language models confuse.

Kinds of difference as in the MMVP benchmark (Tong et al., 2024), as far as scenes can show them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .facts import Mention, matches, with_article
from .layout import MIN_GAP, MIN_MARGIN, place
from .objects import COLORS, DIRECTIONS, MIN_OFFSET, RADIUS, SIZES, TEXTURES, SceneObject, offset
from .scene import Scene
from .shapes import SHAPES

CHANGE_TYPES = ("color", "shape", "texture", "size", "position", "orientation", "presence")
TURNABLE = frozenset(("rectangle", "oval", "crescent", "arrow"))
"""Shapes that look different after a quarter turn."""


@dataclass(frozen=True, slots=True)
class ScenePair:
    """Two scenes and what differs.

    Attributes:
        first, second: the scenes; the same but for one object.
        type: one of CHANGE_TYPES.
        difference: in words: "the red circle is blue in the second picture".
        index: of the object in the first scene.
    """

    first: Scene
    second: Scene
    type: str
    difference: str
    index: int


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one object; `after` is None where the object is gone."""

    index: int
    type: str
    after: SceneObject | None
    difference: str


def change(rng: random.Random, objects: Sequence[SceneObject], change_type: str) -> Change | None:
    """A change of that type to one of the objects; None where this one, this time, does not allow it."""
    index = rng.randrange(len(objects))
    before = objects[index]
    others = [*objects[:index], *objects[index + 1 :]]
    pattern = None if before.texture == "solid" else before.texture  # solid is not named
    named = Mention(before.shape, before.color, before.size, pattern)
    if any(matches(other, named) for other in others) or (change_type == "presence" and not others):
        return None
    after, words = _changed(rng, before, others, change_type)
    if after is None and change_type != "presence":
        return None
    if after is not None and change_type in ("shape", "size", "orientation") and not _fits(after, others):
        return None
    return Change(index, change_type, after, f"the {before.name} {words} in the second picture")


def _changed(
    rng: random.Random, obj: SceneObject, others: Sequence[SceneObject], change_type: str
) -> tuple[SceneObject | None, str]:
    """The object after the change, and the words for it; None where there is none."""
    if change_type == "color":
        color = rng.choice([c for c in COLORS if c != obj.color])
        return replace(obj, color=color), f"is {color}"
    if change_type == "shape":
        shape = rng.choice([s for s in SHAPES if s != obj.shape])
        return replace(obj, shape=shape, angle=0), f"is {with_article(shape)}"
    if change_type == "texture" and obj.size != "small":
        texture = rng.choice([t for t in TEXTURES if t != obj.texture])
        return replace(obj, texture=texture), f"is {texture}"
    if change_type == "size" and obj.texture == "solid":
        size = rng.choice([s for s in SIZES if s != obj.size])
        return replace(obj, size=size, radius=rng.uniform(*RADIUS[size])), f"is {size}"
    if change_type == "orientation" and obj.shape in TURNABLE:
        return replace(obj, angle=obj.angle + 90), "is turned"
    if change_type == "presence":
        return None, "is missing"
    if change_type == "position":
        found = place(rng, obj, others)
        if found is not None and found.size == obj.size:
            moves = [(offset(found, direction, obj), direction) for direction in DIRECTIONS]
            far, direction = max(moves)
            where = {
                "left of": "farther left",
                "right of": "farther right",
                "above": "higher",
                "below": "lower",
            }
            return (found, f"lies {where[direction]}") if far > MIN_OFFSET else (None, "")
    return None, ""


def _fits(obj: SceneObject, others: Sequence[SceneObject]) -> bool:
    """True if an object lies in the image and clear of others."""
    left, top, right, bottom = obj.extent
    apart = all(
        (obj.x - o.x) ** 2 + (obj.y - o.y) ** 2 > (obj.reach + o.reach + MIN_GAP) ** 2 for o in others
    )
    return apart and min(left, top, 1 - right, 1 - bottom) >= MIN_MARGIN

"""Which objects a scene has, and where they lie."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from .colors import SHADES
from .draw import patch, visible_shares
from .objects import COLORS, RADIUS, SIZES, TEXTURES, SceneObject, is_held_out
from .shapes import SHAPES, outline, turn

MAX_OBJECTS = 9
"""More may not fit."""

MIN_VISIBLE = 0.65
"""Least share of an object that others leave visible."""

MIN_GAP = 0.02
MIN_MARGIN = 0.015
WHOLE_RADIUS = (0.26, 0.36)
"""Radius of an object that holds another."""


def arrange(
    rng: random.Random, count: int, *, held_out: bool = False, overlap: bool = False
) -> list[SceneObject]:
    """Objects at random, each in full inside the image; later ones lie in front.

    Args:
        count: how many, at most MAX_OBJECTS.
        held_out: at least one is of a combination that training never shows; else none is.
        overlap: they may hide parts of each other, each at most 1 - MIN_VISIBLE.
    """
    odd = rng.randrange(count) if held_out else -1
    for attempt in range(100):
        placed: list[SceneObject] = []
        for k in range(count):
            obj = draw_object(rng, placed, k == odd, held_out, small=attempt > 2)
            found = place(rng, obj, placed, overlap)
            if found is None:
                break
            placed.append(found)
        if len(placed) == count:
            return placed
    raise ValueError(f"{count} objects do not fit into one image: ask for at most {MAX_OBJECTS}")


def nest(rng: random.Random, *, held_out: bool = False) -> list[SceneObject]:
    """A large object and a smaller one of another colour within its outline.

    Args:
        held_out: the large one is of a combination that training never shows; else none is.
    """
    while True:
        whole = draw_object(rng, [], held_out, held_out)
        whole = replace(whole, size="large", radius=rng.uniform(*WHOLE_RADIUS))
        part = draw_object(rng, [], False, held_out)
        part = replace(part, size="small", texture="solid", radius=rng.uniform(*RADIUS["small"]))
        if whole.color == part.color:
            continue
        left, top, right, bottom = whole.extent
        x, y = rng.uniform(-left, 1 - right), rng.uniform(-top, 1 - bottom)
        whole = replace(whole, x=0.5 + x, y=0.5 + y)
        for _ in range(20):
            dx, dy = rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)
            part = replace(part, x=whole.x + dx, y=whole.y + dy)
            if _within(part, whole) and visible_shares([whole, part])[0] >= MIN_VISIBLE:
                return [whole, part]


def _within(part: SceneObject, whole: SceneObject, size: int = 64) -> bool:
    """True if the outline of one object lies in full within that of another, holes excepted."""
    outer = np.zeros((size, size), np.uint8)
    where = patch(whole, size)
    outer[where.place] = where.cover
    inner = patch(part, size)
    return bool(np.all(outer[inner.place][inner.cover > 0] == 255))


def draw_object(
    rng: random.Random, others: Sequence[SceneObject], odd: bool, any_combination: bool, small: bool = False
) -> SceneObject:
    """An object at random, not yet placed: often of the shape or colour of another, so that counts vary."""
    size = "small" if small else rng.choice(SIZES if len(others) < 4 else SIZES[:2])
    while True:
        shape, color = rng.choice(SHAPES), rng.choice(COLORS)
        if others and rng.random() < 0.5:
            other = rng.choice(others)
            what = rng.random()
            shape = other.shape if what < 0.65 else shape
            color = other.color if what > 0.35 else color
        texture = "solid" if size == "small" or rng.random() < 0.5 else rng.choice(TEXTURES[1:])
        held_out = is_held_out(shape, color, texture)
        if held_out == odd or (held_out and any_combination):
            break
    radius = rng.uniform(*RADIUS[size])
    return SceneObject(
        shape, color, size, texture, 0.5, 0.5, radius, turn(shape, rng), rng.randrange(SHADES), rng.random()
    )


def place(
    rng: random.Random, obj: SceneObject, others: Sequence[SceneObject], overlap: bool = False
) -> SceneObject | None:
    """The object at a place where it fits, made smaller where it fits nowhere; None if that does not help."""
    for size in SIZES[SIZES.index(obj.size) :: -1]:
        if size != obj.size:
            texture = "solid" if size == "small" else obj.texture
            if is_held_out(obj.shape, obj.color, texture) != obj.held_out:
                return None
            obj = replace(obj, size=size, texture=texture, radius=rng.uniform(*RADIUS[size]))
        for x, y in _free(rng, obj, others, overlap):
            found = replace(obj, x=x, y=y)
            over = [o for o in others if math.hypot(o.x - x, o.y - y) < o.reach + found.reach]
            if not over:
                return found
            if (
                all(o.color != found.color for o in over)
                and min(visible_shares([*others, found])) >= MIN_VISIBLE
            ):
                return found
    return None


def _free(
    rng: random.Random, obj: SceneObject, others: Sequence[SceneObject], overlap: bool
) -> Iterator[tuple[float, float]]:
    """Random centres at which an object lies in the image and clear of others, or not too far over them."""
    form, radius = outline(obj.shape, obj.angle), obj.radius
    width, height, reach = form.half_width * radius, form.half_height * radius, obj.reach
    taken = [(other.x, other.y, other.reach) for other in others]
    for _ in range(20):
        x = MIN_MARGIN + width + rng.random() * (1 - 2 * (MIN_MARGIN + width))
        y = MIN_MARGIN + height + rng.random() * (1 - 2 * (MIN_MARGIN + height))
        for u, v, size in taken:
            least = max(reach, size) + 0.3 * min(reach, size) if overlap else reach + size + MIN_GAP
            if math.hypot(x - u, y - v) < least:
                break
        else:
            yield x, y

"""Expressions that name exactly one object of a scene: "large red star", "circle left of the blue square"."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .facts import RELATION_PHRASES, Mention, facts_of, matches
from .objects import DIRECTIONS, MIN_OFFSET, SceneObject, is_held_out, offset


def named_by(expression: str, objects: Sequence[SceneObject]) -> list[bool]:
    """Which objects an expression names: those that its noun phrase fits and that lie, if it says so, in a direction
    from one that the second noun phrase fits.

    Raises:
        ValueError: the words are not those of scenes, or name no object and at most one direction.
    """
    read = facts_of(expression.removeprefix("the "))
    if (
        read is None
        or len(read.mentions) + len(read.claims) > 3
        or len(read.claims) > 1
        or any(claim.relation not in DIRECTIONS for claim in read.claims)
    ):
        raise ValueError(f"'{expression}' does not refer to an object in the words of scenes")
    if not read.claims:
        return [matches(one, read.mentions[0]) for one in objects]
    (claim,) = read.claims
    return [
        matches(one, claim.subject)
        and any(
            other is not one and matches(other, claim.object) and offset(one, claim.relation, other) > 0
            for other in objects
        )
        for one in objects
    ]


def unique_expression(
    objects: Sequence[SceneObject],
    rng: random.Random,
    *,
    color: bool = True,
    rare: bool = False,
    related: float = 0.5,
) -> str:
    """An expression that names one object and no other, by size, colour, shape or direction; empty if none is found.

    Args:
        objects: of the scene.
        color: whether colours may be named.
        rare: whether combinations may be named that training never shows.
        related: share of expressions with a direction, where there is one that tells the object from others like it.
    """
    directed = rng.random() < related
    for i in range(20):
        one = rng.choice(objects)
        found = _related(one, objects, rng, color) if directed and i < 10 else _described(one, rng, color)
        if found and sum(named_by(found, objects)) == 1 and (rare or not _is_rare(found)):
            return found
    names = [str(Mention(one.shape, one.color if color else None, one.size)) for one in objects]
    return next((name for name in names if names.count(name) == 1 and (rare or not _is_rare(name))), "")


def _described(one: SceneObject, rng: random.Random, color: bool) -> str:
    """Some of what is true of an object."""
    shape, colored, sized = (rng.random() < share for share in (0.8, 0.7, 0.25))
    return str(
        Mention(
            one.shape if shape else None,
            one.color if colored and color else None,
            one.size if sized else None,
        )
    )


def _related(one: SceneObject, objects: Sequence[SceneObject], rng: random.Random, color: bool) -> str:
    """An object and the direction in which it lies from another, which alone tells it from a third like it; empty if
    there is no such direction."""
    short = Mention(one.shape) if rng.random() < 0.5 or not color else Mention(color=one.color)
    anchors = [other for other in objects if other is not one]
    rivals = [other for other in anchors if matches(other, short)]
    if rng.random() < 0.3:  # any object
        short, rivals = Mention(), anchors
    rng.shuffle(anchors)
    for anchor in anchors:
        name = Mention(anchor.shape, anchor.color if color else None)
        if sum(matches(other, name) for other in objects) != 1:
            continue
        for direction in rng.sample(list(DIRECTIONS), len(DIRECTIONS)):
            others = [rival for rival in rivals if rival is not anchor]
            clear = offset(one, direction, anchor) >= MIN_OFFSET
            if others and clear and all(offset(other, direction, anchor) < 0 for other in others):
                return f"{short} {rng.choice(RELATION_PHRASES[direction])} the {name}"
    return ""


def _is_rare(expression: str) -> bool:
    read = facts_of(expression)
    mentions = [] if read is None else [*read.mentions, *(claim.object for claim in read.claims)]
    return any(is_held_out(mention.shape, mention.color, mention.texture) for mention in mentions)

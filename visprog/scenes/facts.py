"""Reading captions back: what a sentence in the language of scenes claims, and whether it is true."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from .objects import COLORS, SIZES, TEXTURES, SceneObject, lies_inside, offset
from .shapes import SHAPES

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

RELATION_PHRASES: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "on the left of"),
    "right of": ("right of", "to the right of", "on the right of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "lower than"),
    "inside": ("inside", "inside of", "within"),
}
"""Relation → the ways to say it, the simplest first."""

FILLERS = frozenset(
    "there is are picture image photo drawing view of with shows showing and we see here in it contains some".split()
)
"""Words that claim nothing."""


def plural(name: str) -> str:
    """ "red cross" → "red crosses"."""
    return name + ("es" if name.endswith("s") else "s")


def with_article(name: str) -> str:
    """ "oval" → "an oval"."""
    return ("an " if name[0] in "aeiou" else "a ") + name


NOUNS: dict[str, str | None] = {
    **{s: s for s in SHAPES}, **{plural(s): s for s in SHAPES}, "thing": None, "things": None,
}  # fmt: skip
"""Noun → shape; None where it is any."""

_PHRASES = sorted(
    ((phrase, name) for name, phrases in RELATION_PHRASES.items() for phrase in phrases),
    key=lambda pair: -len(pair[0]),
)
_RELATION = re.compile(r"\b(" + "|".join(phrase for phrase, _ in _PHRASES) + r")\b")
_CODES = {phrase: "@" + name.replace(" ", "_") for phrase, name in _PHRASES}


class Mention(NamedTuple):
    """Objects that a caption speaks of; None where it leaves something open."""

    shape: str | None = None
    color: str | None = None
    size: str | None = None
    texture: str | None = None
    number: int = 1

    def __str__(self) -> str:
        """As a noun phrase, without article and number: "small red striped circle"."""
        pattern = None if self.texture == "solid" else self.texture
        return " ".join(word for word in (self.size, self.color, pattern, self.shape or "thing") if word)


class RelationClaim(NamedTuple):
    """A relation between two mentions."""

    subject: Mention
    relation: str
    object: Mention


class Facts(NamedTuple):
    """What a caption says: the objects that it introduces, and the relations."""

    mentions: tuple[Mention, ...]
    claims: tuple[RelationClaim, ...]


def facts_of(caption: str) -> Facts | None:
    """Read a caption; None if a word is unknown or the words do not make sense together.

    A mention with "the" speaks of objects named before, and introduces none.
    """
    text = re.sub(r"[.,;:!?]", " ", caption.lower().replace("gray", "grey"))
    mentions: list[Mention] = []
    claims: list[RelationClaim] = []
    named: dict[str, str] = {}
    count, known, last, relation = 1, False, None, ""
    for word in _RELATION.sub(lambda m: _CODES[m[0]], text).split():
        attribute = _attribute(word)
        if word in ("a", "an"):
            count = 1
        elif word == "the":
            known = True
        elif word in NUMBERS:
            count = NUMBERS.index(word)
        elif attribute and attribute not in named:
            named[attribute] = word
        elif word in NOUNS:
            mention = Mention(NOUNS[word], named.get("color"), named.get("size"), named.get("texture"), count)
            if relation and last is not None:
                claims.append(RelationClaim(last, relation, mention))
            if not known:
                mentions.append(mention)
            last, relation, named, count, known = mention, "", {}, 1, False
        elif word.startswith("@") and last is not None and not named and not relation:
            relation = word[1:].replace("_", " ")
        elif word in FILLERS and not named:
            known = False
        else:
            return None
    if named or relation or last is None:
        return None
    return Facts(tuple(mentions), tuple(claims))


def matches(obj: SceneObject, mention: Mention) -> bool:
    """True if an object is as a mention says."""
    return (
        mention.shape in (None, obj.shape)
        and mention.color in (None, obj.color)
        and mention.size in (None, obj.size)
        and mention.texture in (None, obj.texture)
    )


def mention_of(obj: SceneObject, color: bool = True) -> Mention:
    """All that can be named of an object; without its colour, where that cannot be seen."""
    return Mention(obj.shape, obj.color if color else None, obj.size, obj.texture)


def agrees(
    facts: Facts, objects: Sequence[SceneObject], *, complete: bool = False, slack: float = 0.0
) -> bool:
    """True if all that is claimed holds of the objects.

    "A" means at least one, a number means exactly so many.

    Args:
        complete: each object must also be named, once.
        slack: by how much a relation may fail and still count as true, in widths of the image.
    """
    for mention in facts.mentions:
        found = sum(matches(obj, mention) for obj in objects)
        if found < mention.number or (mention.number != 1 and found != mention.number):
            return False
    for claim in facts.claims:
        if not any(
            (lies_inside(a, b) if claim.relation == "inside" else offset(a, claim.relation, b) > -slack)
            for a in objects
            for b in objects
            if a is not b and matches(a, claim.subject) and matches(b, claim.object)
        ):
            return False
    return not complete or _covers(facts.mentions, objects)


def _covers(mentions: Sequence[Mention], objects: Sequence[SceneObject]) -> bool:
    """True if each object can be given to a mention so that every mention has as many as it counts."""
    places = [mention for mention in mentions for _ in range(mention.number)]
    if len(places) != len(objects):
        return False
    return _assign([[matches(obj, mention) for obj in objects] for mention in places])


def _assign(fits: list[list[bool]]) -> bool:
    """True if rows can be matched to distinct columns (augmenting paths)."""
    owner: dict[int, int] = {}

    def find(row: int, tried: set[int]) -> bool:
        for column, good in enumerate(fits[row]):
            if good and column not in tried:
                tried.add(column)
                if column not in owner or find(owner[column], tried):
                    owner[column] = row
                    return True
        return False

    return all(find(row, set()) for row in range(len(fits)))


def _attribute(word: str) -> str:
    """Which attribute a word tells: "color", "size", "texture", or ""."""
    if word in COLORS:
        return "color"
    if word in SIZES:
        return "size"
    return "texture" if word in TEXTURES else ""

"""The word that is nearest by meaning among those that a backend knows: "man" → person, "sign" → stop sign."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache

from visprog.sees import Near

from .phrase import PREPOSITIONS, read_yaml, singular

AFTER = frozenset(
    "wearing holding riding carrying sitting standing walking running playing eating drinking looking using talking "
    "lying sleeping driving pushing pulling facing crossing waiting reading smiling touching having made covered "
    "dressed above below beside next inside over between against which whose close closest nearest".split()
)
"""Words that begin what is said of a thing after its name, next to prepositions."""

SHORTEST = 6
"""Letters of the shortest word that can be a slip of the pen for another: of shorter ones, many differ by a letter."""


def near(noun: str, known: Collection[str], groups: Collection[str] = ()) -> Near | None:
    """Of words that are known, the one nearest to a singular noun that is not.

    A word that includes it comes first ("puppy" → dog, "rocking chair" → chair), then one that it includes ("sign" →
    stop sign), then a word for several kinds ("donkey" → animal), then one that differs by one letter. Words that only
    look or sound alike, or that stand for neighbouring things, are not near.

    Args:
        known: words for one kind each.
        groups: words for several kinds.
    """
    head = head_of(noun)
    if (found := _including(noun, head, known)) is not None:
        return Near(found, "broader", noun)
    for word in dict.fromkeys((noun, head)):
        found = next((w for w in _narrower(word) if w in known), None)
        found = found or min((w for w in known if w.endswith(f" {word}")), key=len, default=None)
        if found is not None:
            return Near(found, "narrower", noun)
    if (found := _including(noun, head, groups)) is not None:
        return Near(found, "broader", noun)
    typed = next((w for w in sorted({*known, *groups}) if is_slip(noun, w)), None)
    return None if typed is None else Near(typed, "spelling", noun)


def _including(noun: str, head: str, known: Collection[str]) -> str | None:
    for word in _endings(head):
        if word in known and word != noun:
            return word
        found = next((w for w in _broader(word) if w in known), None)
        if found is not None:
            return found
    return None


def head_of(noun: str) -> str:
    """A noun phrase without what is said after the noun: "man with a hat", "woman holding an umbrella"."""
    words = noun.split()
    for i, word in enumerate(words):
        if i and word in PREPOSITIONS | AFTER:
            return singular(" ".join(words[:i]))
    return noun


def is_slip(typed: str, meant: str) -> bool:
    """Whether two long words differ by one letter that is missing, too many or another, or by two that changed places,
    after an equal first one."""
    if min(len(typed), len(meant)) < SHORTEST or typed == meant or typed[0] != meant[0]:
        return False
    if len(typed) > len(meant):
        typed, meant = meant, typed
    same = next((i for i, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b), len(typed))
    rest, other = typed[same:], meant[same:]
    if len(rest) < len(other):
        return rest == other[1:]
    return rest[1:] == other[1:] or (rest[:2] == other[1::-1] and rest[2:] == other[2:])


def _endings(noun: str) -> Iterator[str]:
    """A noun, then its heads: "big red fire truck", "red fire truck", "fire truck", "truck"."""
    words = noun.split()
    for start in range(len(words)):
        yield " ".join(words[start:])


def _broader(word: str) -> Iterator[str]:
    """Words that include a word, the closest first."""
    yield from _walk(word, _parents())


def _narrower(word: str) -> Iterator[str]:
    """Words that a word includes, the closest first."""
    yield from _walk(word, read_yaml("kinds"))


def _walk(word: str, steps: dict[str, list[str]]) -> Iterator[str]:
    seen, level = {word}, [word]
    while level:
        level = [n for w in level for n in steps.get(w, ()) if n not in seen]
        level = list(dict.fromkeys(level))
        seen.update(level)
        yield from level


@cache
def _parents() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for parent, kinds in read_yaml("kinds").items():
        for kind in kinds:
            found.setdefault(kind, []).append(parent)
    return found

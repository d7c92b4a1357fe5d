"""The nearest word by meaning among those that a backend knows: "man" → person, "sign" → stop sign."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import cache

from visprog.errors import ToolError
from visprog.registry.sees import Near

from .phrase import PREPOSITIONS, is_color, read_phrase, read_yaml, singular

PARTICIPLES = frozenset(
    "sitting standing walking running playing lying sleeping smiling waiting driving dressed parked hanging seated "
    "flying jumping swimming laughing talking pointing".split()
)
"""Participles that stand before a noun as well ("sleeping dog")."""

AFTER_NOUN = PARTICIPLES | frozenset(
    "wearing holding riding carrying eating drinking looking using pushing pulling facing crossing reading touching "
    "having made covered full filled without along across through around among into onto behind to as than not is are "
    "above below beside next inside outside over between against which whose close closest nearest".split()
)
"""Words, next to prepositions, that begin what follows a noun: "wearing a hat"."""

SEPARATOR = re.compile(r"\s*(?:,|;|/|&|\band\b|\bor\b|\bplus\b|\bas well as\b)\s*")
"""Separator between the objects of a phrase that names several."""

ARTICLES = frozenset(("a", "an", "the"))

MAX_KINDS = 6
"""Number of narrower kinds that are named."""

MIN_SLIP_LETTERS = 6
"""Number of letters from which a word can be a misspelling of another: many shorter ones differ by a letter."""


def near(noun: str, known: Collection[str], groups: Collection[str] = ()) -> Near | None:
    """The known word that is nearest to a singular noun that is not known.

    A word that includes it comes first ("puppy" → dog, "rocking chair" → chair), then what it is made of ("crowd" →
    person), then one that it includes ("sign" → stop sign), then one that differs by one letter. Words that are only
    spelled alike, or that stand for neighbouring objects, are not near; nor is a group of other kinds: a network
    without donkeys does not see one among the animals.

    Args:
        noun: The noun.
        known: Words for one kind each.
        groups: Words for several kinds, which mean these kinds alone.
    """
    if miswritten(noun):
        return None
    head = head_of(noun)
    if (found := _including(noun, head, known, groups)) is not None:
        return Near(found, "broader", noun)
    if (member := _member_of(noun)) is not None:
        return _of_members(noun, member, known, groups)
    for word in dict.fromkeys((noun, head)):
        kinds = [w for w in _narrower(word) if w in known]
        kinds += sorted((w for w in known if w.endswith(f" {word}") and w not in kinds), key=len)
        if kinds:
            return Near(kinds[0], "narrower", noun, tuple(kinds[1:MAX_KINDS]))
    typed = next((w for w in sorted({*known, *groups}) if is_slip(noun, w)), None)
    return None if typed is None else Near(typed, "spelling", noun)


def finder_of(what: str) -> str:
    """The tool that finds such objects by itself, whatever `detect` knows: "face" → find_faces; empty if none does."""
    try:
        head = head_of(read_phrase(what).noun)
    except ToolError:
        return ""
    return next((tool for tool, nouns in read_yaml("finders").items() if head in nouns), "")


def parts_of(phrase: str) -> list[str]:
    """The objects of a phrase that names several: "cats and dogs"; empty if it names one, or "black and white" ones."""
    parts = [part.split() for part in SEPARATOR.split(phrase.lower()) if part.strip()]
    colors = [_ends_in_color(part, after) for part, after in zip(parts, (*parts[1:], []), strict=True)]
    return [] if len(parts) < 2 or any(colors) else [" ".join(part) for part in parts]


def _ends_in_color(part: list[str], after: list[str]) -> bool:
    """Whether a part before "and" is a colour of what follows: "black" of "black and white cat", but not "an orange" of
    "an orange and an apple"."""
    names_fruit = len(part) == 2 and part[0] in ARTICLES and after[:1] != [] and after[0] in ARTICLES
    return is_color(part[-1]) and not names_fruit


def miswritten(phrase: str) -> str:
    """The reason why a phrase cannot stand for one kind of object, and the way out; empty if it can."""
    if parts := parts_of(phrase):
        return f"'{phrase}' names {len(parts)} kinds of object: look for one kind at a time"
    if phrase.lower().startswith("no "):
        return (
            f"'{phrase}' says what is not there: look for the object itself, and compare their number with 0"
        )
    return ""


def _member_of(noun: str) -> str | None:
    """The object of a measure ("slice of pizza"), or the member of a collective ("crowd")."""
    table = read_yaml("words")
    measure, of, measured = noun.partition(" of ")
    if of and measure.split()[-1] in table["measures"]:
        return singular(measured)
    members: str | None = table["collectives"].get(head_of(noun).split()[-1])
    return members


def _of_members(noun: str, member: str, known: Collection[str], groups: Collection[str]) -> Near | None:
    if member in known or member in groups:
        return Near(member, "part", noun)
    found = near(member, known, groups)
    return None if found is None or found.relation != "broader" else Near(found.phrase, "part", noun)


def _including(noun: str, head: str, known: Collection[str], groups: Collection[str]) -> str | None:
    for word in _endings(head):
        if word != noun and (word in known or word in groups):
            return word
        found = next((w for w in _broader(word) if w in known), None)
        if found is not None:
            return found
    return None


def head_of(noun: str) -> str:
    """A noun phrase without what follows the noun: "man with a hat", "woman holding an umbrella"."""
    words = noun.split()
    begins = PREPOSITIONS | AFTER_NOUN
    for i, word in enumerate(words):
        before_noun = word in PARTICIPLES and i + 1 < len(words) and words[i + 1] not in begins
        if i and word in begins and not before_noun:
            return singular(" ".join(words[:i]))
    return noun


def is_slip(typed: str, meant: str) -> bool:
    """Whether two long words, equal in the first letter, differ by one letter (missing, added, another) or by two that
    changed places."""
    if min(len(typed), len(meant)) < MIN_SLIP_LETTERS or typed == meant or typed[0] != meant[0]:
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


def including(noun: str) -> Iterator[str]:
    """Words that include a noun, the closest first; of a longer one, also those that include its end."""
    for word in _endings(noun):
        yield from _broader(word)


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

"""Parts of speech of the words of a caption, from lists of words and the endings and neighbours of all others.

Captions are short and plain, so that this needs no trained tagger. Its limits: a word that is not listed and has no
telling ending is a noun ("a bald man": two nouns); of words that can be noun or verb ("park", "watch") the
neighbours decide, and may be wrong in long sentences; it reads English alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import yaml

Tag = Literal[
    "noun", "adjective", "adverb", "verb", "determiner", "number", "preposition", "conjunction", "pronoun",
    "auxiliary", "sign",
]  # fmt: skip

_TOKEN = re.compile(r"\w+(?:['’-]\w+)*|[^\w\s]")
_CLOSED: tuple[Tag, ...] = ("determiner", "number", "auxiliary", "conjunction", "pronoun", "preposition")
_ADJECTIVE = re.compile(r"\w\w(ful|ous|less|ish|able|ible|ive|ern|shaped|sized|colou?red)$")
_PLACES = frozenset(("left", "right", "front", "top", "bottom", "inside", "outside"))
_INFLECTED = re.compile(r"(ing|ed|es|s)$")


class TaggedWord(NamedTuple):
    """A word, or a sign of punctuation, of a caption.

    Attributes:
        text: As it is written.
        tag: Part of speech.
        start, end: Where it stands in the caption.
    """

    text: str
    tag: Tag
    start: int
    end: int


@dataclass(frozen=True)
class WordLists:
    """The listed words.

    Attributes:
        tags: Word → its only or usual part of speech.
        sorts: Adjective → what it tells of, such as "color".
        verbs: Base forms.
        irregular: Forms of verbs that no rule makes.
        plurals, singulars: Nouns whose number their last letter does not tell.
    """

    tags: Mapping[str, Tag]
    sorts: Mapping[str, str]
    verbs: frozenset[str]
    irregular: frozenset[str]
    plurals: frozenset[str]
    singulars: frozenset[str]


@cache
def word_lists() -> WordLists:
    """The words of `lexicon.yaml`."""
    raw: dict[str, Any] = yaml.safe_load((files(__package__) / "lexicon.yaml").read_text(encoding="utf-8"))
    sorts = {word: sort for sort, words in raw["adjective"].items() for word in words.split()}
    tags: dict[str, Tag] = {word: "noun" for word in raw["noun"].split()}
    tags |= {word: "adverb" for word in raw["adverb"].split()}
    tags |= {word: "adjective" for word in sorts}
    for tag in _CLOSED:
        tags |= {word: tag for word in raw[tag].split()}
    return WordLists(
        tags,
        sorts,
        frozenset(raw["verb"].split()),
        frozenset(raw["irregular"].split()),
        frozenset(raw["irregular_plural"].split()),
        frozenset(raw["singular_in_s"].split()),
    )


def tag_words(caption: str) -> list[TaggedWord]:
    """The words of a caption with their parts of speech."""
    found = list(_TOKEN.finditer(caption))
    words = [match[0].lower().replace("’", "'") for match in found]
    tags: list[Tag] = []
    while len(tags) < len(words):
        tags.append(_tag(words, tags))
    return [TaggedWord(m[0], tag, m.start(), m.end()) for m, tag in zip(found, tags, strict=True)]


def is_plural(noun: str) -> bool:
    """Whether a noun is one of several."""
    noun, known = noun.lower(), word_lists()
    if noun in known.plurals or noun in known.singulars:
        return noun in known.plurals
    return noun.endswith("s") and not noun.endswith(("ss", "us", "is"))


def _tag(words: Sequence[str], tags: Sequence[Tag]) -> Tag:
    """The part of speech of word number `len(tags)`, those of the words before it being known."""
    known, i = word_lists(), len(tags)
    word, following = words[i], words[i + 1] if i + 1 < len(words) else ""
    before = tags[-1] if tags else "sign"
    inside = before in ("determiner", "adjective", "number")  # a noun phrase that waits for its noun
    listed = known.tags.get(word)
    if not word[0].isalnum():
        return "sign"
    if word[0].isdigit():
        return "number"
    if inside and word in _PLACES:  # "the left", "the top shelf"
        return "adjective" if _may_be_noun(following) else "noun"
    if listed in _CLOSED:
        return "pronoun" if word in ("that", "this") and before == "noun" else listed
    if listed == "adjective":
        last = inside and before != "number" and not _may_be_noun(following)
        return "noun" if last and not _goes_on(words[i + 1 : i + 3]) else "adjective"  # "a red square"
    if listed == "adverb":
        return "adverb"
    return _verb(words, tags) or listed or _by_ending(word, following, before)


def _verb(words: Sequence[str], tags: Sequence[Tag]) -> Tag | None:
    """The part of speech of a form of a listed verb, if its neighbours tell; such as adjective: "a parked car"."""
    i = len(tags)
    before, form = tags[-1] if tags else "sign", _verb_form(words[i])
    if form in ("ing", "ed") and before in ("determiner", "adjective", "number"):
        return "adjective" if i + 1 < len(words) and _may_be_noun(words[i + 1]) else "noun"
    if word_lists().tags.get(words[i]) == "noun":
        return None
    if form == "ing":
        return "verb"
    if form in ("ed", "s") and before in ("noun", "pronoun", "auxiliary", "adverb"):
        return "verb"
    if form == "base" and (before in ("pronoun", "auxiliary") or (tags and words[i - 1] == "to")):
        return "verb"
    return "verb" if form == "base" and before == "noun" and is_plural(words[i - 1]) else None


def _by_ending(word: str, following: str, before: str) -> Tag:
    """The part of speech of a word that is not listed."""
    if word.endswith("ly") and len(word) > 4:
        return "adverb"
    if _ADJECTIVE.search(word) and (_may_be_noun(following) or before == "auxiliary"):
        return "adjective"
    if word.endswith("ing") and len(word) > 5 and before in ("noun", "auxiliary", "adverb", "sign"):
        return "verb"
    if word.endswith("ed") and len(word) > 4:
        return "adjective" if _may_be_noun(following) and before != "noun" else "verb"
    return "noun"


def _may_be_noun(word: str) -> bool:
    """Whether a word can belong to the noun phrase that is being read: no word of a closed class, no sign."""
    tag = word_lists().tags.get(word)
    if tag is None:
        return word[:1].isalpha() and _verb_form(word) not in ("ing", "s")
    return tag in ("noun", "adjective")


def _goes_on(words: Sequence[str]) -> bool:
    """Whether another adjective is joined: "red and blue", "red, blue"."""
    return (
        len(words) == 2 and words[0] in ("and", "or", ",") and word_lists().tags.get(words[1]) == "adjective"
    )


@cache
def _verb_form(word: str) -> str:
    """Which form of a listed verb a word is: "base", "s", "ing", "ed"; empty for none."""
    known = word_lists()
    if word in known.irregular:
        return "ing" if word.endswith("ing") else "ed"
    if word in known.verbs:
        return "base"
    match = _INFLECTED.search(word)
    if match is None:
        return ""
    ending = match[1]
    stem = word[: -len(ending)]
    bases = {stem, f"{stem}e"}
    if len(stem) > 2 and stem[-1] == stem[-2]:
        bases.add(stem[:-1])  # sitting
    if stem.endswith("i"):
        bases.add(f"{stem[:-1]}y")  # carries
    if ending == "es":
        bases.add(word[:-1])
    return {"es": "s"}.get(ending, ending) if bases & known.verbs else ""

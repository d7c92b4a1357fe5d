"""Meaning of noun phrases and statements, so that different wordings of the same meaning are equal.

The tools of generated worlds use it: "the red lorries" are red objects named "truck"; "wears a hat" and "with a hat on"
are one claim, and so are "not open" and "shut".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import ToolError


@cache
def table(name: str) -> Any:
    """One of the tables of `words.yaml`."""
    import yaml

    return yaml.safe_load((Path(__file__).parent / "words.yaml").read_text(encoding="utf-8"))[name]


@cache
def _nouns() -> Mapping[str, str]:
    return {str(word): str(group[0]) for group in table("same_nouns") for word in group}


_SILENT = frozenset(
    "a an the is are be being it its it's this that these those there to has have having had got get who which "
    "in on of with at from and wearing wears wear worn made up down his her their he she they him them".split()
)
_NEGATIONS = frozenset(
    ("no", "not", "without", "never", "isn't", "aren't", "isnt", "arent", "n't", "lacks", "lacking")
)
_TONES = frozenset(("dark", "deep", "light", "pale", "bright"))
_CLAUSE = re.compile(
    r"\s(?:that|who|which|wearing|with|without|holding|carrying|riding|not|in|on|sitting|standing|lying)\s"
)


@dataclass(frozen=True)
class Wanted:
    """Meaning of a noun phrase.

    Attributes:
        noun: Noun in the singular, one for all synonyms.
        color: Basic name of the colour, or "".
        claims: Statements that must hold too.
    """

    noun: str
    color: str = ""
    claims: tuple[str, ...] = ()


@dataclass(frozen=True)
class StatementPart:
    """One statement about an object: the words that carry its meaning, and whether it is negated."""

    words: frozenset[str]
    denied: bool = False


@cache
def read_noun(phrase: str, adjectives: frozenset[str] = frozenset()) -> Wanted:
    """Parse a noun phrase; `adjectives` are the words that mean a claim if they precede a noun.

    Raises:
        ToolError: The phrase names no object.
    """
    text = f"{' '.join(phrase.lower().split())} "
    found = _CLAUSE.search(text)
    claims: tuple[str, ...] = ()
    if found and found.start():
        text, claims = text[: found.start()], (text[found.start() :].strip(),)
    if (whole := singular(text)) in _nouns():
        return Wanted(_nouns()[whole], "", claims)
    words = _words(text)
    while len(words) > 1 and (words[0] in table("leading") or words[0].isdigit()):
        words = words[1:]
    if not words or words[0] in table("leading"):
        raise ToolError(f"'{phrase}' names nothing to look for")
    colors: list[str] = []
    while len(words) > 1 and (words[0] in _TONES or basic_color(words[0])):
        colors, words = [*colors, words[0]], words[1:]
    words = singular(" ".join(words)).split()
    while len(words) > 1 and _stem(words[0]) in adjectives:
        claims, words = (*claims, words[0]), words[1:]
    while len(words) > 1 and _stem(words[-1]) in adjectives:
        claims, words = (*claims, words[-1]), words[:-1]
    color = basic_color(colors[-1]) if colors else ""
    noun = singular(" ".join(words))
    return Wanted(_nouns().get(noun, noun), color or "", claims)


@cache
def singular(noun: str) -> str:
    """The singular of a noun of one or more words: "glasses of wine" → "glass of wine"."""
    words = _words(noun)
    head = next((i for i, w in enumerate(words) if i and w in ("of", "with", "in", "on")), len(words)) - 1
    if head >= 0:
        words[head] = _singular(words[head])
    return " ".join(words)


def _singular(word: str) -> str:
    if word in table("irregular"):
        return str(table("irregular")[word])
    if (
        word in table("unchanged")
        or len(word) < 3
        or not word.endswith("s")
        or word.endswith(("ss", "us", "is"))
    ):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")) else word[:-1]


def _words(text: str) -> list[str]:
    return re.sub(r"[^\w\s-]+", " ", re.sub(r"['’]", "", text.lower())).split()


@cache
def is_a(noun: str, name: str) -> bool:
    """Whether every object called `noun` may be called `name`."""
    return name in _kinds(noun)


@cache
def _kinds(noun: str) -> frozenset[str]:
    found, new = {noun}, [noun]
    while new:
        for more in _parents(new.pop()) - found:
            found.add(more)
            new.append(more)
    return frozenset(found)


def _parents(noun: str) -> set[str]:
    head = noun.split()[-1]
    return {*_tree().get(noun, ()), *([_nouns().get(head, head)] if head != noun else [])}


@cache
def _tree() -> dict[str, set[str]]:
    """Noun → its direct hypernyms."""
    tree: dict[str, set[str]] = {}
    for kind, nouns in table("kinds").items():
        for noun in nouns:
            tree.setdefault(_nouns().get(noun, noun), set()).add(_nouns().get(kind, kind))
    for noun, kinds in tree.items():
        kinds.discard(noun)
    return tree


@cache
def is_person(noun: str) -> bool:
    """Whether a noun names a person."""
    return is_a(noun, "person")


@cache
def basic_color(name: str) -> str | None:
    """The basic colour of a name; None if it does not name a colour."""
    words = name.lower().split()
    last = words[-1] if words else ""
    return next((basic for basic, others in table("colors").items() if last == basic or last in others), None)


@cache
def read_statement(statement: str, noun: str = "") -> tuple[tuple[StatementPart, ...], ...]:
    """Parse a statement into alternatives, each of claims that must all hold; `noun` names the object."""
    text = re.sub(r"n['’]t\b", " not", statement.lower())
    return tuple(
        tuple(_claim(part, noun) for part in re.split(r"\band\b|,", one) if part.strip())
        for one in re.split(r"\bor\b", text)
    )


def _claim(text: str, noun: str) -> StatementPart:
    tokens = re.findall(r"[a-z0-9][\w'-]*", text)
    denied = sum(w in _NEGATIONS for w in tokens) % 2 == 1
    subject = set(_kinds(noun)) | {"person", "someone"} if noun else {"person", "someone"}
    words = [w for w in tokens if w not in _SILENT and w not in _NEGATIONS]
    if "off" in words and len(words) > 1:  # "switched off" is the opposite of "switched on"
        words, denied = [w for w in words if w != "off"], not denied
    if len(words) > 1 and singular(words[0]) in subject | {_nouns().get(singular(w), w) for w in subject}:
        words = words[1:]
    kept = {_stem(w) for w in words} or {_stem(w) for w in tokens if w not in ("a", "an", "the", "is", "are")}
    if len(kept) == 1 and (word := next(iter(kept))) in table("opposites"):
        kept, denied = {table("opposites")[word]}, not denied
    return StatementPart(frozenset(kept), denied)


@cache
def _stem(word: str) -> str:
    """Stem of a word: without endings of number and tense, and the same for synonyms."""
    if word in table("opposites") or word in table("opposites").values():
        return word
    if word in table("same_words"):
        return str(table("same_words")[word])
    word = singular(word) if not word.endswith("ing") else word
    for ending in ("ing", "ed"):
        short = word.removesuffix(ending)
        if short != word and len(short) > 2:
            word = short[:-1] if short[-1:] == short[-2:-1] and short[-1] not in "ls" else short
            break
    word = word.removesuffix("e") if len(word) > 4 else word
    return str(table("same_words").get(word, word))


def plain_text(text: str) -> str:
    """Normalise a text answer: case, articles, prepositions, plural."""
    words = re.findall(r"[\w'.-]+", text.lower())
    kept = [
        w for w in words if w not in ("a", "an", "the", "in", "on", "at", "of", "one", "ones", "to", "made")
    ]
    return singular(" ".join(kept or words)) if kept or words else ""


def adjectives(statements: Iterable[str]) -> frozenset[str]:
    """The words of claims of a single word: before a noun they mean the same claim."""

    def single() -> Iterator[str]:
        for statement in statements:
            for alternative in read_statement(statement):
                for claim in alternative:
                    if len(claim.words) == 1:
                        yield from claim.words

    return frozenset(single())


def check_color(name: str) -> str:
    """The basic colour of a name.

    Raises:
        ToolError: There is no such colour.
    """
    found = basic_color(name)
    if found is None:
        raise ToolError(f"'{name}' is not the name of a colour")
    return found

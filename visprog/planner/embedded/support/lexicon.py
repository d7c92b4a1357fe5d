"""What is known of words: the table `support.yaml`, and what a corpus was found to say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class LexiconEntry:
    """Words that ask for one of several features of a program."""

    words: re.Pattern[str]
    means: frozenset[str]


@dataclass(frozen=True)
class Lexicon:
    """`support.yaml`, compiled."""

    entries: tuple[LexiconEntry, ...]
    ignored: re.Pattern[str]
    tags: re.Pattern[str]
    scenes: re.Pattern[str]
    scene_words: frozenset[str]
    unanswerable: re.Pattern[str]
    emotions: frozenset[str]
    persons: re.Pattern[str]
    strict: re.Pattern[str]
    needs: Mapping[str, re.Pattern[str]]
    function: re.Pattern[str]
    states: re.Pattern[str]
    open: re.Pattern[str]
    at_least_one: frozenset[str]

    def asks(self, word: str) -> bool:
        """Whether a word alone asks for something."""
        return any(entry.words.fullmatch(word) for entry in self.entries)

    @property
    def required(self) -> frozenset[str]:
        """The features that some words must ask for."""
        return frozenset().union(*(entry.means for entry in self.entries)) - self.at_least_one


@cache
def lexicon() -> Lexicon:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    table: dict[str, Any] = yaml.load((files(__package__) / "support.yaml").read_text("utf-8"), loader)
    entries = tuple(
        LexiconEntry(pattern_of(e["words"]), frozenset(e["means"].split())) for e in table["entries"]
    )
    return Lexicon(
        entries,
        pattern_of(" | ".join(table["ignored"].values())),
        pattern_of(" | ".join((table["ignored"]["tags"], table["ignored"]["openings"]))),
        pattern_of(table["ignored"]["scenes"]),
        frozenset(table["scene words"].split()),
        pattern_of(" | ".join(table["unanswerable"].values())),
        frozenset(table["emotions"].split()),
        pattern_of(table["persons"]),
        pattern_of(table["strict"]),
        {feature: pattern_of(words) for feature, words in table["needs"].items()},
        pattern_of(table["function"]),
        pattern_of(table["states"]),
        pattern_of(table["open"]),
        frozenset(table["free"].split()),
    )


def pattern_of(alternatives: str) -> re.Pattern[str]:
    """A pattern of whole words; alternatives are parted by " | "."""
    parts = sorted(
        {a.strip(" |\n") for a in re.split(r"\s\|\s", alternatives)} - {""}, key=lambda a: (-len(a), a)
    )
    return re.compile(rf"(?<!\S)(?:{'|'.join(parts)})(?!\S)")


class CorpusWords:
    """What a corpus knows of words (`visprog.training.planner.known_words`).

    Attributes:
        anywhere: words that say nothing.
        seen: other words, each with the signatures of the programs that they were used with.
        vocabulary: all words that are spelled right.
        nouns: words that name objects, in singular and plural.
        states: words that say how an object looks, or what it does.
        worn: clothes, objects that are held, and parts of objects.
    """

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.anywhere = frozenset(table["anywhere"].split())
        names = table["signatures"]
        self.seen = {word: frozenset(names[i] for i in kinds) for word, kinds in table["words"].items()}
        self.vocabulary = frozenset(table["vocabulary"].split())
        self.nouns = frozenset(table["nouns"].split())
        self.states = frozenset(table["states"].split())
        self.worn = frozenset(table["worn"])

    def accounts(self, word: str, kind: str, asks: bool) -> bool:
        """Whether a word says nothing in a question that a program of this kind answers.

        Args:
            asks: whether it is known to ask for something; then only its use with such programs counts.
        """
        return kind in self.seen.get(word, ()) or (word in self.anywhere and not asks)

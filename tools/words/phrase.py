"""Noun phrases of questions, reduced to what a detector can look up: colour and singular noun."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from visprog.errors import ToolError
from visprog.values.colors import NAMES, SYNONYMS

TABLES = Path(__file__).parent

PREPOSITIONS = frozenset(
    ("of", "with", "in", "on", "at", "for", "from", "near", "by", "under", "behind", "that", "who")
)
TONES = frozenset(("dark", "deep", "light", "pale", "bright"))
PLACE = re.compile(
    r"\b(?:(?:visible|shown|seen|present) )?in (?:the|this) (?:image|picture|photo|photograph|scene|drawing)$"
)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase.

    Attributes:
        whole: The phrase in the singular, in lower case, without articles and quantities.
        noun: The same without leading colours.
        color: The leading colour words ("dark blue"), or "".
    """

    whole: str
    noun: str
    color: str

    @property
    def everything(self) -> bool:
        """True for words such as "objects", which name no kind."""
        return self.noun in read_yaml("words")["everything"]


@cache
def read_yaml(name: str) -> dict[str, Any]:
    """One of the small tables beside this file."""
    import yaml

    loaded: dict[str, Any] = yaml.safe_load((TABLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def read_phrase(what: str) -> Phrase:
    """Take a free phrase apart: case, punctuation, articles, quantities, plural, leading colours.

    Raises:
        ToolError: Nothing is left that could name an object.
    """
    words = _words(what)
    leading, quantities = (frozenset(read_yaml("words")[each]) for each in ("leading", "quantities"))
    while len(words) > 1 and (
        words[0] in leading or words[0].isdigit() or (words[0] in quantities and words[1] == "of")
    ):
        words = words[1:]
    if not words or (words[0] in leading and len(words) == 1):
        raise ToolError(f"'{what}' names nothing to look for: give a noun, such as person or red circles")
    split = 0
    while split < len(words) - 1 and is_color(words[split]):
        split += 1
    if all(w in TONES for w in words[:split]):
        split = 0
    return Phrase(singular(" ".join(words)), singular(" ".join(words[split:])), " ".join(words[:split]))


def singular(noun: str) -> str:
    """The singular of a noun of one or more words: "glasses of wine" → "glass of wine"."""
    words = _words(noun)
    head = next((i for i, w in enumerate(words) if i and w in PREPOSITIONS), len(words)) - 1
    if head >= 0:
        words[head] = _singular(words[head])
    return " ".join(words)


def _words(text: str) -> list[str]:
    plain = re.sub(r"\s+", " ", re.sub(r"[^\w\s-]+", " ", re.sub(r"['’]", "", text.lower()))).strip()
    return PLACE.sub("", plain).split()


def is_color(word: str) -> bool:
    """Whether a word may be part of a colour."""
    return word in NAMES or word in SYNONYMS or word in TONES


def _singular(word: str) -> str:
    table = read_yaml("words")
    if word in table["irregular"]:
        return str(table["irregular"][word])
    if (
        word in table["unchanged"]
        or not word.endswith("s")
        or word.endswith(("ss", "us", "is"))
        or len(word) < 3
    ):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("ches", "shes", "sses", "xes", "zzes", "oes")):
        return word[:-2]
    return word[:-1]

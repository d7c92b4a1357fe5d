"""Texts in the words of a small vocabulary, in which a model was trained to describe an object."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from visprog.errors import Refused, ToolError

from ..words.phrase import singular
from ._backend_file import TaughtWords

FILLERS = frozenset(
    "a an the is are it this that there its in of on with color colour colored coloured shape shaped".split()
)
"""Words that a text may have though the captions of training had none of them."""

SIGNS = frozenset(".,;:!?\"'")
"""Signs that it may have."""

ARTICLES = frozenset("a an the".split())
"""Words that a text may have though those of training had none: all others tell what is meant."""

VAGUE = frozenset("thing something picture image photo".split())
"""Words that say nothing about an object."""

DENIALS = re.compile(r"\b(?:not|no|isn't|isnt|aren't|arent)\b")

MAX_EXCHANGED = 200
"""Number of words that each word of a text is exchanged for."""


def as_caption(text: str, vocabulary: TaughtWords) -> str:
    """The words of a text, and those about one object as a caption has them: "The circle is red." → "a red circle".

    A text that names several nouns, or has words that are of no kind, keeps its order.
    """
    text = " ".join(re.findall(r"[a-z]+|[,;]", text.lower().replace("gray", "grey")))
    words = [word for word in text.split() if word not in FILLERS]
    found = [[word for word in words if word in kind] for kind in vocabulary.kinds.values()]
    if max(map(len, found)) > 1 or len(words) > sum(map(len, found)) + words.count(vocabulary.noun):
        return text
    *adjectives, nouns = found
    return _with_article(
        f"a {' '.join([*(word for kind in adjectives for word in kind), *(nouns or [vocabulary.noun])])}"
    )


def in_known_words(
    text: str,
    known: frozenset[str] | None,
    *,
    model: str,
    tool: str,
    way_out: str,
    ignored: frozenset[str] = FILLERS,
) -> str:
    """A text in the words that a model knows; of a model that reads any word, the text.

    Args:
        known: words of the model; None for any.
        model, tool: names for messages.
        way_out: what to do if it does not know a word, for messages.
        ignored: words that are left out if the model does not know them, as signs are.

    Raises:
        Refused: it has other words that the model does not know, or none that it does.
        ToolError: it is empty.
    """
    if not text.strip():
        raise ToolError(f"{tool} was given an empty text: say what to look for")
    if known is None:
        return " ".join(text.split())
    words = [
        next((form for form in (word, singular(word), word.replace("gray", "grey")) if form in known), word)
        for word in re.findall(r"\w+|[^\w\s]+", text.lower())
    ]
    unknown = [word for word in words if word not in known | ignored | SIGNS]
    read = " ".join(word for word in words if word in known)
    if unknown or not read:
        raise Refused(
            f"the model '{model}' of {tool} was not taught what "
            f"{', '.join(map(repr, unknown)) or repr(text)} is: {way_out}"
        )
    return read


def near_misses(text: str, vocabulary: TaughtWords) -> list[str]:
    """A text with each of its words exchanged for all others of their kind."""
    words = text.split()
    exchanged = [
        [*words[:i], other, *words[i + 1 :]]
        for i, word in enumerate(words)
        for kind in vocabulary.kinds.values()
        if word in kind
        for other in kind
        if other != word
    ]
    return [_with_article(" ".join(miss)) for miss in exchanged]


def exchanged(text: str, known: Iterable[str]) -> list[str]:
    """A text with each of its words exchanged for others that a model knows, from all over the alphabet; empty for a
    text that says nothing, and for a model that knows next to nothing."""
    words = text.split()
    others = [word for word in sorted(known) if word.isalnum() and word not in FILLERS | VAGUE]
    if len(others) < 2:
        return []
    others = others[:: math.ceil(len(others) / MAX_EXCHANGED)]
    return [
        _with_article(" ".join(other if word == exchanged else word for word in words))
        for exchanged in words
        if re.search(r"\w", exchanged) and exchanged not in FILLERS | VAGUE
        for other in others
        if other not in words
    ]


def nouns_in(text: str, vocabulary: TaughtWords) -> list[str]:
    """The nouns of the vocabulary in a text: the words of its last kind."""
    *_, nouns = vocabulary.kinds.values()
    return [word for word in re.findall(r"[a-z]+", text.lower()) if word in nouns]


def _with_article(text: str) -> str:
    return re.sub(r"\ban? (?=(\w))", lambda match: "an " if match[1] in "aeiou" else "a ", text)

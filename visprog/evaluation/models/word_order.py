"""The same words in another order, as the order tests of ARO shuffle captions (Yuksekgonul et al. 2023,
arXiv:2210.01936). Nouns and adjectives are those of `visprog.language`, not of spaCy as published."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ...language.parts_of_speech import tag_words

ATTEMPTS = 20
"""Number of shuffles after which a caption is one that cannot be changed."""


def prepared(caption: str) -> str:
    """A caption as the order tests show it: lower case, without most punctuation, single spaces."""
    return " ".join(re.sub(r"[.!\"()*#:;~]", " ", caption.lower()).split())


def shuffled(caption: str, rng: np.random.Generator) -> list[str]:
    """A prepared caption in the orders of `ORDERS`; empty if one of them cannot differ from it."""
    found = []
    for order in ORDERS.values():
        changed = (order(caption, rng) for _ in range(ATTEMPTS))
        found.append(next((text for text in changed if text != caption), ""))
    return found if all(found) else []


def nouns_and_adjectives(caption: str, rng: np.random.Generator) -> str:
    """Nouns change places with nouns, and adjectives with adjectives."""
    words = tag_words(caption)
    texts = [word.text for word in words]
    for tag in ("noun", "adjective"):
        texts = _shuffle(texts, [i for i, word in enumerate(words) if word.tag == tag], rng)
    return " ".join(texts)


def all_but_nouns_and_adjectives(caption: str, rng: np.random.Generator) -> str:
    """All other words change places with each other."""
    words = tag_words(caption)
    others = [i for i, word in enumerate(words) if word.tag not in ("noun", "adjective")]
    return " ".join(_shuffle([word.text for word in words], others, rng))


def trigrams(caption: str, rng: np.random.Generator) -> str:
    """Runs of three words change places."""
    runs = _runs(caption)
    return " ".join(word for i in rng.permutation(len(runs)) for word in runs[i])


def within_trigrams(caption: str, rng: np.random.Generator) -> str:
    """The words of each run of three change places with each other."""
    return " ".join(run[i] for run in _runs(caption) for i in rng.permutation(len(run)))


ORDERS: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "nouns and adjectives": nouns_and_adjectives,
    "all but nouns and adjectives": all_but_nouns_and_adjectives,
    "within trigrams": within_trigrams,
    "trigrams": trigrams,
}


def _runs(caption: str) -> list[list[str]]:
    words = caption.split()
    return [words[i : i + 3] for i in range(0, len(words), 3)]


def _shuffle(words: Sequence[str], places: Sequence[int], rng: np.random.Generator) -> list[str]:
    """Words with those at some places shuffled among these."""
    found = list(words)
    for place, source in zip(places, rng.permutation(len(places)), strict=True):
        found[place] = words[places[source]]
    return found

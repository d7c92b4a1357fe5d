"""Hard negatives of captions: two parts of a caption exchanged (NegCLIP, Yuksekgonul et al. 2023, arXiv:2210.01936).

As published, two adjectives, nouns, noun phrases, adverbs or verb phrases change places: "a red ball on a blue box"
becomes "a blue ball on a red box", "a red box on a blue ball" or "a blue box on a red ball". Beyond that, an
exchange that leaves the meaning as it was is not made ("a dog and a cat", "a red ball next to a red box"), nor are
nouns of different number put into each other's phrases, and "a" and "an" follow the words. What the parts of speech
of `visprog.language` cannot tell limits it; and a caption can still be true of its image after the exchange, if the
image shows more than the caption says.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, combinations, pairwise, zip_longest
from typing import NamedTuple

import numpy as np

from visprog.language.parts_of_speech import TaggedWord, is_plural, tag_words, word_lists

SYMMETRIC = re.compile(
    r"(?:(?:is|are|was|were) )?(?:and|or|with|near|beside|by|alongside|next to|close to|&|,|, and)$"
)
"""What stands between two noun phrases that may change places without a change of meaning."""

PLACES = frozenset("left right front back top bottom side middle center centre background foreground".split())
"""Nouns that name no object."""

FRAMES = frozenset("picture image photo photograph drawing painting sketch view illustration".split())
"""Nouns that, with "of", name the image and not what it shows."""

_NUMBER = {"is": "are", "was": "were", "has": "have"}
_OTHER_NUMBER = _NUMBER | {plural: singular for singular, plural in _NUMBER.items()}


class _Phrase(NamedTuple):
    """A noun phrase: words [start, end), of which [noun, end) are its noun, perhaps a compound, and [adjective, noun)
    its adjectives; before them may stand a determiner or a number."""

    start: int
    adjective: int
    noun: int
    end: int


_Span = tuple[int, int]


def word_swaps(
    caption: str, rng: np.random.Generator, count: int = 1, others: Collection[str] = ()
) -> list[str]:
    """Captions in which two parts of this one are exchanged, drawn at random, of as many kinds as possible: at most
    `count`, and fewer, or none, if no more exchanges say something else than this caption and `others`.

    Args:
        others: further captions of the image.
    """
    words = tag_words(caption)
    taken, meaning = {_plain(text) for text in (caption, *others)}, _meaning(caption)
    kinds = list(_exchanges(words).values())
    drawn = ([kinds[k][i] for i in rng.permutation(len(kinds[k]))] for k in rng.permutation(len(kinds)))
    found: list[str] = []
    for pair in filter(None, chain.from_iterable(zip_longest(*drawn))):
        text = _exchanged(caption, words, *pair)
        if _plain(text) not in taken and _meaning(text) != meaning:
            taken.add(_plain(text))
            found.append(text)
            if len(found) == count:
                break
    return found


def _exchanges(words: Sequence[TaggedWord]) -> dict[str, list[tuple[_Span, _Span]]]:
    """Pairs of spans of words that may change places, by what they are; kinds without any are left out."""
    phrases = [p for p in _noun_phrases(words) if _text(words, p.end - 1) not in PLACES]
    found: dict[str, list[tuple[_Span, _Span]]] = {"adjectives": [], "nouns": []}
    for a, b in combinations(phrases, 2):
        found["adjectives"] += _adjectives(words, a, b)
        alike = is_plural(words[a.end - 1].text) == is_plural(words[b.end - 1].text)
        if alike and "of" not in (_text(words, a.end), _text(words, b.end)):
            found["nouns"].append(((a.noun, a.end), (b.noun, b.end)))
    found["noun phrases"] = list(combinations(_things(words, phrases), 2))
    adverbs = [(i, i + 1) for i, word in enumerate(words) if word.tag == "adverb"]
    found["adverbs"] = list(combinations(adverbs, 2))
    found["verb phrases"] = list(combinations(_verb_phrases(words), 2))
    return {kind: pairs for kind, pairs in found.items() if pairs}


def _noun_phrases(words: Sequence[TaggedWord]) -> Iterator[_Phrase]:
    i = 0
    while i < len(words):
        start = i
        while i < len(words) and words[i].tag in ("determiner", "number"):
            i += 1
        adjective = i
        while i < len(words) and (
            words[i].tag == "adjective" or (i > adjective and _text(words, i) in ("and", ",") and
                                            i + 1 < len(words) and words[i + 1].tag == "adjective")
        ):  # fmt: skip
            i += 1
        noun = i
        while i < len(words) and words[i].tag == "noun":
            i += 1
        if i > noun:
            yield _Phrase(start, adjective, noun, i)
        i = max(i, start + 1)


def _things(words: Sequence[TaggedWord], phrases: Sequence[_Phrase]) -> list[_Span]:
    """Noun phrases as wholes, what "of" joins being one: "a vase of flowers"."""
    found: list[_Span] = []
    for phrase in phrases:
        framed = _text(words, phrase.end) == "of" and _text(words, phrase.end - 1) in FRAMES
        if found and found[-1][1] == phrase.start - 1 and _text(words, phrase.start - 1) == "of":
            found[-1] = (found[-1][0], phrase.end)
        elif not framed:
            found.append((phrase.start, phrase.end))
    return found


def _adjectives(words: Sequence[TaggedWord], a: _Phrase, b: _Phrase) -> Iterator[tuple[_Span, _Span]]:
    """Two adjectives that tell the same sort of thing, such as colours; or all those of two noun phrases."""
    sorts = word_lists().sorts
    one, other = range(a.adjective, a.noun), range(b.adjective, b.noun)
    if not one or not other:
        return
    if len(one) > 1 or len(other) > 1:
        for i in one:
            sort = sorts.get(_text(words, i))
            yield from (
                ((i, i + 1), (j, j + 1)) for j in other if sort and sorts.get(_text(words, j)) == sort
            )
    yield (a.adjective, a.noun), (b.adjective, b.noun)


def _verb_phrases(words: Sequence[TaggedWord]) -> Iterator[_Span]:
    """A participle, or a verb in the third person, with all that follows it up to the next clause."""
    for i, word in enumerate(words):
        if word.tag == "verb" and not (i and words[i - 1].tag == "verb"):
            end = next(
                (j for j in range(i + 1, len(words)) if words[j].tag in ("verb", "conjunction", "sign")),
                len(words),
            )
            if end < len(words) and words[end].tag == "verb":
                continue  # where this phrase ends and the subject of the next verb begins is not known
            yield i, end


def _exchanged(caption: str, words: Sequence[TaggedWord], one: _Span, other: _Span) -> str:
    """The caption with two spans exchanged, the first being the earlier."""
    edges = [words[one[0]].start, words[one[1] - 1].end, words[other[0]].start, words[other[1] - 1].end]
    a, between, b = (caption[start:end] for start, end in pairwise(edges))
    head, tail = caption[: edges[0]], caption[edges[3] :]
    if is_plural(words[one[1] - 1].text) != is_plural(words[other[1] - 1].text):
        between, tail = _other_number(between), _other_number(tail)
    if one[0] == 0 and a[:1].isupper() and not a.isupper():
        a, b = a[:1].lower() + a[1:], b[:1].upper() + b[1:]
    return _with_articles(head + b + between + a + tail, caption)


def _other_number(text: str) -> str:
    """A text that follows a noun phrase, for one of the other number: " is …" becomes " are …"."""
    return re.sub(r"^ (is|are|was|were|has|have)\b", lambda m: f" {_OTHER_NUMBER[m[1]]}", text)


def _with_articles(text: str, caption: str) -> str:
    """A text with "a" and "an" as the words after them ask for, unless the caption has them so."""
    kept = {m[0].lower() for m in re.finditer(r"\b[Aa]n? \w+", caption)}

    def article(match: re.Match[str]) -> str:
        if match[0].lower() in kept:
            return match[0]
        sounds = re.match(r"(?!uni|use|eu|one)[aeiou]|hour|honest", match[2].lower())
        return f"{match[1][0]}{'n' if sounds else ''} {match[2]}"

    return re.sub(r"\b([Aa]n?) (\w+)", article, text)


def _meaning(caption: str) -> list[str]:
    """A caption without articles, and with noun phrases in the order of the alphabet if only "and", "with" and the like
    stand between them: equal for captions that say the same."""
    words = tag_words(caption)
    found: list[str] = []
    joined: list[str] = []
    at = 0
    for start, end in _things(words, list(_noun_phrases(words))):
        between = " ".join(word.text.lower() for word in words[at:start])
        if not joined or not SYMMETRIC.match(between):
            found += [*sorted(joined), between]
            joined = []
        joined.append(" ".join(sorted(w.text.lower() for w in words[start:end] if w.tag != "determiner")))
        at = end
    return [*found, *sorted(joined), " ".join(word.text.lower() for word in words[at:])]


def _plain(text: str) -> str:
    """A text to compare with others: lower case, without signs."""
    return " ".join(re.findall(r"\w+", text.lower()))


def _text(words: Sequence[TaggedWord], index: int) -> str:
    return words[index].text.lower() if index < len(words) else ""

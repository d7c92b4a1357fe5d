"""Options that a question offers: an answer in words, or of yes or no, that is none of them is no answer.

Only forms in which "or" surely offers answers count, since a question that is misread would refuse a right answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

MAX_QUESTION = 2_000
"""Characters of a question that is looked at; in a longer one nothing is taken for an option."""

_MAX_WORDS = 6
"""Words of one option."""

_LISTED = re.compile(
    r"\b(?:options?|choices|(?:choose|pick|select)(?: one)?(?: (?:of|from|between|among))?(?: these)?) ?: ?(.+)$",
    re.IGNORECASE | re.DOTALL,
)
"""Options after a word for them: "Options: bin, stool"."""
_LETTERED = re.compile(r"(?:^|\s)\(?([A-Ha-h])[).:]\s+(.+?)(?=\s+\(?[A-Ha-h][).:]\s|$)", re.DOTALL)
"""One of several options with letters: "(A) a bin (B) a stool"."""

_ASKS = r"what|which|who|whom|whose|where|when|why|how"
_MORE = r"more|less|fewer|most|least|further|(?!number|other|ever|never)\w+er|\w+est"
_COMPARISON = re.compile(
    r"(?:which|who|what)(?:['’]s)?"
    r"(?: (?:one(?:['’]s)?|is|are|was|were|has|have|looks?|there|the|of these))*"
    rf" (?:{_MORE})\b",
    re.IGNORECASE,
)
"""The beginning of a question that compares: "Which one is taller"."""
_MORE_OF = re.compile(r"(?:more|fewer|less)\b", re.IGNORECASE)
_IS_IT = re.compile(r"(?:is|are|was|were)\b(?! there\b)", re.IGNORECASE)
_OTHER_QUESTION = re.compile(
    rf"\b(?:{_ASKS}|you|name|tell|say|says|read|describe|list|show|find|count)\b", re.IGNORECASE
)
"""Words of a question that "or" need not belong to."""
_ATTRIBUTE = re.compile(
    r"\b(?:age|brand|breed|city|colou?r|country|currency|date|gender|kind|label|language|letter|logo|make|"
    r"material|model|name|number|price|sex|shape|size|sort|species|text|time|title|type|word|year)s?\b",
    re.IGNORECASE,
)
"""What a question asks for by its name: "brand or model?" offers neither as an answer."""
_OPEN = re.compile(
    r"\b(?:not|yes|else|other|others|another|anything|something|similar|such as|e\.g|etc)\b", re.IGNORECASE
)
"""Words of options that leave room for others, or of a question for yes or no."""

_EVER = frozenset(
    "yes no true false none neither nor both either unknown unclear undecided unsure cannot equal equally same "
    "tie".split()
)
"""Words of an answer that any question may have."""
_TRUTHS = {True: frozenset(("true", "yes")), False: frozenset(("false", "no"))}
"""Words for a truth."""
_EMPTY = frozenset(
    "a an the this that these those it its is are was were be been and or of in on at to by for from with as than "
    "there one ones image picture photo side".split()
)
"""Words that tell no option from another."""
_NUMBERS = dict(
    zip("zero one two three four five six seven eight nine ten".split(), map(str, range(11)), strict=True)
)


def outside_options(question: str, value: Any) -> str:
    """Why an answer is none of the options that a question offers, in one sentence; empty if it is one of them, is
    neither a text nor a truth, or if it is not sure that the question offers any."""
    if not isinstance(value, str | bool) or not question:
        return ""
    offered = _offered(question)
    if isinstance(value, bool):  # "Is it red or blue?" may be asked for whether it is one of them
        is_inside = not offered.is_choice or bool(offered.words & _TRUTHS[value])
    else:
        said = _words(value)
        alike = any(_alike(one, other) for one in said for other in offered.words)
        is_inside = alike or not offered.words or bool(_EVER & said)
    if is_inside:
        return ""
    shown = " ".join(str(value).split())
    shown = shown if len(shown) <= 60 else shown[:59] + "…"
    return (
        f"the program answered '{shown}', which is none of the options that the question offers: return one of them, "
        "spelled as in the question, or raise NothingFound if none holds"
    )


class _Offered(NamedTuple):
    """What a question offers.

    Attributes:
        words: Words of its options; of its whole sentence, if it is not sure where the first begins. Empty if it offers
            none, or if that is not sure.
        is_choice: Whether it surely asks which of them, and not whether it is one of them.
    """

    words: frozenset[str] = frozenset()
    is_choice: bool = False


_NOTHING = _Offered()


def _offered(question: str) -> _Offered:
    """What a question offers."""
    question = question.strip()
    if len(question) > MAX_QUESTION:
        return _NOTHING
    lettered = _LETTERED.findall(question)
    letters = [letter.upper() for letter, _ in lettered]
    if len(letters) > 1 and letters == [chr(ord("A") + n) for n in range(len(letters))]:
        return _of([text for _, text in lettered], letters)
    if listed := _LISTED.search(question):
        parts = _split(listed[1])
        return _of(parts, [chr(ord("A") + n) for n in range(len(parts))]) if len(parts) > 1 else _NOTHING
    sentences = [s for s in re.split(r"[?!]|\.(?:\s|$)", question) if s.strip()]
    asking = [s.strip() for s in sentences if re.search(rf"\bor\b|\b(?:{_ASKS})\b", s, re.IGNORECASE)]
    return _of_sentence(asking[0], "?" in question) if len(asking) == 1 else _NOTHING


def _of_sentence(sentence: str, is_question: bool) -> _Offered:
    """The same of one sentence, without its mark at the end."""
    if not re.search(r"\bor\b", sentence, re.IGNORECASE) or _OPEN.search(sentence):
        return _NOTHING
    *before, tail = re.split(r": | [-–—] ", sentence)
    if before:
        is_sentence = re.match(
            rf"(?:{_ASKS}|is|are|was|were|do|does|did|has|have|can)\b", tail, re.IGNORECASE
        )
        return _of_sentence(tail, is_question) if is_sentence else _of(_split(tail))
    if _COMPARISON.match(sentence):
        return _of(_split(sentence.partition(",")[2]))
    if _OTHER_QUESTION.search(sentence):
        return _NOTHING
    if _IS_IT.match(sentence):
        return _Offered(_words(sentence))
    few = [len(part.split()) for part in re.split(r",|\bor\b", sentence)]
    is_short = is_question and max(few) <= 2 and not _ATTRIBUTE.search(sentence)
    return _Offered(_words(sentence), True) if _MORE_OF.match(sentence) or is_short else _NOTHING


def _split(text: str) -> list[str]:
    """The options of a list such as "a box, a bag or a child"."""
    return [part.strip(" .?!'\"") for part in re.split(r"[,;/|\n]|\bor\b", text) if part.strip(" .?!'\"")]


def _of(options: list[str], letters: Iterable[str] = ()) -> _Offered:
    """A choice of options; nothing if one is too long to be one, or leaves room for others."""
    if len(options) < 2 or any(len(o.split()) > _MAX_WORDS or _OPEN.search(o) for o in options):
        return _NOTHING
    return _Offered(_words(" ".join(options)) | {letter.lower() for letter in letters}, True)


def _words(text: str) -> frozenset[str]:
    """The words of a text that tell one option from another, numbers as digits. A single A may be an option."""
    words = re.findall(r"\w+", text)
    telling = [word for word in words if word == "A" or word.casefold() not in _EMPTY] or words
    return frozenset(_NUMBERS.get(word.casefold(), word.casefold()) for word in telling)


def _alike(one: str, other: str) -> bool:
    """Whether two words may be forms of one: "wood" and "wooden", "blurred" and "blurry"."""
    short, long = sorted((one, other), key=len)
    return short == long or (len(short) >= 3 and long.startswith(short[:5]))

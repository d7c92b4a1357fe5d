"""Conversion of answers to the type that a benchmark needs, and comparison with the ground truth.

A program may answer True, "yes" or "Yes." to the same question; to a benchmark they are equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from ..values import Box, Located, Region

NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_YES_NO = {"yes": True, "true": True, "no": False, "false": False}


def text_of(value: Any) -> str:
    """An answer as a short text: yes and no, whole numbers without a point, labels of regions."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text_of, value))
    return value.label if isinstance(value, Region) else str(value)


def yes_no_of(value: Any) -> bool | None:
    """True or False, also from words ("Yes.", "no, there is none"); otherwise None."""
    if isinstance(value, bool):
        return value
    word = re.match(r"\W*(\w+)", value.casefold()) if isinstance(value, str) else None
    return _YES_NO.get(word[1]) if word else None


def whole_number_of(value: Any) -> int | None:
    """A whole number, also from 3.0, "3" or "three"; otherwise None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        text = value.strip().rstrip(".").casefold()
        if text in NUMBERS:
            return NUMBERS.index(text)
        return int(text) if re.fullmatch(r"[+-]?\d{1,18}", text) else None
    if isinstance(value, int | float) and value == value and abs(value) < 1e18 and value == int(value):
        return int(value)
    return None


def box_of(value: Any) -> Box | None:
    """The box of an object, or of the one with the highest score of several; otherwise None."""
    if isinstance(value, Located):
        return value.box
    if isinstance(value, list | tuple):
        found = [v for v in value if isinstance(v, Located)]
        best = max(found, key=lambda v: v.score if isinstance(v, Region) else 1.0, default=None)
        return best.box if best is not None else None
    return None


def choice_of(value: Any, choices: Sequence[str]) -> int | None:
    """Index of the choice that an answer names, by its words or as "b", "(b)", "b. …"; otherwise None."""
    text = text_of(value).strip().casefold()
    plain = [normalise(choice) for choice in choices]
    if normalise(text) in filter(None, plain):
        return plain.index(normalise(text))
    letter = re.fullmatch(r"\(?([a-z])(?:[).:](?:\s.*)?)?", text)
    number = ord(letter[1]) - ord("a") if letter else len(choices)
    return number if number < len(choices) else None


def same(value: Any, truth: Any) -> bool:
    """Whether an answer equals the ground truth, which is a bool, a whole number or a text."""
    if isinstance(truth, bool):
        return yes_no_of(value) is truth
    if isinstance(truth, int):
        return whole_number_of(value) == truth
    return bool(text_of(value).strip()) and normalise(text_of(value)) == normalise(text_of(truth))


# -- the official evaluation of VQA ----------------------------------------------------------------

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_ARTICLES = ("a", "an", "the")
_CONTRACTED = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've
he's how'd how'll how's i'd've i'm i've isn't it'd it'd've it'll let's ma'am mightn't mightn't've might've mustn't
must've needn't not've o'clock oughtn't shan't she'd've she's should've shouldn't shouldn't've somebody'd've
somebody'll somebody's someone'd someone'd've someone'll someone's something'd something'd've something'll that's
there'd there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't
what'll what're what's what've when's where'd where's where've who'd who'd've who'll who's who've why'll why're
why's won't would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
""".split()


@cache
def _contractions() -> dict[str, str]:
    """Each contraction without one or all of its apostrophes → its correct form, as in the official list."""
    found = {}
    for word in _CONTRACTED:
        places = [i for i, c in enumerate(word) if c == "'"]
        found[word.replace("'", "")] = word
        for i in places:
            found[word[:i] + word[i + 1 :]] = word
    return found


def normalise(text: str) -> str:
    """Normalise a short answer: case, articles, punctuation, number words.

    As in the evaluation code of VQA (Antol et al., 2015; Goyal et al., 2017).
    """
    text = " ".join(text.split()).lower()
    joined = re.search(r"\d,\d", text) is not None
    plain = text
    for mark in _PUNCTUATION:
        drop = joined or f"{mark} " in text or f" {mark}" in text
        plain = plain.replace(mark, "" if drop else " ")
    plain = re.sub(r"\.(?!\d)", "", plain)
    words = ["0" if w == "none" else w for w in plain.split() if w not in _ARTICLES]
    digits = [str(NUMBERS.index(w)) if w in NUMBERS else w for w in words]
    return " ".join(_contractions().get(w, w) for w in digits)


def consensus(answer: str, people: Sequence[str]) -> float:
    """Accuracy by consensus: 1 if three other people gave the same answer, averaged over leaving out each person.

    Antol et al., 2015. An empty answer scores 0.
    """
    given = normalise(answer)
    if not given or not people:
        return 0.0
    equal = [normalise(p) == given for p in people]
    same_as = sum(equal)
    return sum(min(1.0, (same_as - e) / 3) for e in equal) / len(people)

"""Slips of the finger and the short forms of chats, written out before a question is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

SHORT = {
    "u": "you", "r": "are", "ur": "your", "pls": "please", "plz": "please", "plss": "please", "thx": "thanks",
    "pic": "picture", "pics": "pictures", "img": "image", "imgs": "images", "foto": "photo", "fotos": "photos",
    "teh": "the", "da": "the", "dat": "that", "dis": "this", "wat": "what", "wats": "what's", "whats": "what's",
    "wheres": "where's", "theres": "there's", "thats": "that's", "isnt": "isn't", "arent": "aren't",
    "dont": "don't", "doesnt": "doesn't", "hasnt": "hasn't", "havent": "haven't", "cant": "can't", "wich": "which",
    "wanna": "want to", "gonna": "going to", "w/": "with", "w/o": "without", "abt": "about", "n": "and", "&": "and",
    "cud": "could", "shud": "should", "wud": "would", "ppl": "people", "colr": "color", "clr": "color", "nr": "number",
    "qty": "quantity", "bg": "background", "btw": "by the way", "tv's": "tvs", "dont't": "don't", "im": "i'm",
    "hw": "how", "mny": "many", "thru": "through", "lft": "left", "rite": "right", "rigth": "right", "rt": "right",
    "yr": "your", "ive": "i've", "cos": "because", "cuz": "because", "tho": "though", "alot": "a lot", "wht": "what",
    "frm": "from", "wher": "where", "ther": "there", "meny": "many", "hav": "have", "pix": "pictures",
    "thier": "their", "gud": "good", "bcoz": "because", "coz": "because", "dere": "there",
    "definately": "definitely", "wether": "whether",
    "atleast": "at least", "atmost": "at most", "infront": "in front",
}  # fmt: skip
"""Short forms and common slips → what they stand for."""

LEAST = 4
"""Letters of a word that is corrected: of shorter ones too many are one letter apart."""

_WORD = re.compile(r"(?<![\w'’\"“/.-])[A-Za-z][A-Za-z'’]*(?:/o?)?(?![\w'’\"”/-])|(?<=\s)&(?=\s)")
_PHRASES = (
    (re.compile(r"^y(?= (?:is|are|r|do|does|did|can|has|have)\b)", re.IGNORECASE), "why"),
    (re.compile(r"\bhalf a dozen\b", re.IGNORECASE), "six"),
    (re.compile(r"\b(?:a|one) dozen\b", re.IGNORECASE), "twelve"),
    # "between 3 and 5" is inclusive as it stands.
    (re.compile(r"\s*(?:\(inclusive(?:ly)?\)|,? ?\binclusive(?:ly)?\b)", re.IGNORECASE), ""),
    # Vehicles in a photograph are parked, or look as if they were.
    (re.compile(r"\bparked (?=(?:here|there|outside|on|in|along|at|cars|vans|bikes|lorries|trucks)\b)"), ""),
)
_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|(?<!\w)'[^']*'(?!\w)|(?<!\w)‘[^’]*’")


def written_out(question: str, vocabulary: frozenset[str], english: frozenset[str] = frozenset()) -> str:
    """The question with its short forms written out and evident slips mended.

    A word is mended if it is not known, but one word of the vocabulary is one slip away: a letter too many, too few,
    doubled, or two exchanged; a wrong letter only in longer words. What stands in quotation marks or in capitals is
    to be found as it is written, and stays.

    Args:
        vocabulary: the words that are expected, in lower case.
        english: further words that are spelled right.
    """
    quoted = [m.span() for m in _QUOTED.finditer(question)]

    def mend(match: re.Match[str]) -> str:
        word = match[0]
        if any(start <= match.start() < end for start, end in quoted) or (word.isupper() and len(word) > 1):
            return word
        lower = word.lower().replace("’", "'")
        if lower in SHORT and not (len(lower) == 1 and word.isupper()):
            return _like(SHORT[lower], word)
        if len(lower) < LEAST or not lower.isalpha() or lower in english or _known(lower, vocabulary):
            return word
        better = _nearest(lower, vocabulary)
        return _like(better, word) if better else word

    for pattern, instead in _PHRASES:
        question = pattern.sub(instead, question)
    return _WORD.sub(mend, question)


def _like(text: str, word: str) -> str:
    return text[:1].upper() + text[1:] if word[:1].isupper() else text


def _known(word: str, vocabulary: frozenset[str]) -> bool:
    """Whether a word, or what it is an inflection of, is spelled right."""
    if word in vocabulary:
        return True
    for ending, instead in (("s", ""), ("es", ""), ("ies", "y"), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"),
                            ("er", ""), ("ly", ""), ("est", ""), ("y", ""), ("d", "")):  # fmt: skip
        if word.endswith(ending) and word.removesuffix(ending) + instead in vocabulary:
            return True
    return len(word) > 6 and word[-4:] in ("ness", "less", "like", "able")


@lru_cache(4096)
def _nearest(word: str, vocabulary: frozenset[str]) -> str:
    """The only word of the vocabulary that is one slip away; empty if there is none, or several."""
    exchanged = {w for w in _exchanged(word) if w in vocabulary}
    if exchanged:
        return exchanged.pop() if len(exchanged) == 1 else ""
    doubled = {word[:i] + word[i + 1 :] for i in range(1, len(word)) if word[i] == word[i - 1]} & vocabulary
    doubled |= {word[:i] + word[i - 1] + word[i:] for i in range(1, len(word) + 1)} & vocabulary
    if doubled:
        return doubled.pop() if len(doubled) == 1 else ""
    others = {w for w in _one_letter(word) if w in vocabulary and w[0] == word[0] and w[-1:] == word[-1:]}
    return others.pop() if len(others) == 1 else ""


def _exchanged(word: str) -> Iterator[str]:
    for i in range(len(word) - 1):
        if word[i] != word[i + 1]:
            yield word[:i] + word[i + 1] + word[i] + word[i + 2 :]


def _one_letter(word: str) -> Iterator[str]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    for i in range(1, len(word) - 1):
        if len(word) > LEAST:
            yield word[:i] + word[i + 1 :]  # one too many
        if len(word) > LEAST + 1:
            for letter in letters:
                yield word[:i] + letter + word[i + 1 :]  # a wrong one
    for i in range(1, len(word)):
        for letter in letters:
            yield word[:i] + letter + word[i:]  # one too few

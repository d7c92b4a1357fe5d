"""A request in one spelling: what the forms of this package are matched against."""

from __future__ import annotations

import re

from ..support.question import NUMBERS

MAX_WORDS = 40
"""Number of words of a request; the forms have fewer."""

THE_IMAGE = r"(?:(?:(?:the|this|that|my|our) )?(?:(?:whole|entire|full) )?image)"
"""The image, by its name."""

IT = rf"(?:it|this|that|{THE_IMAGE})"
"""The image, where one is given and nothing else can be meant."""

THEM = (
    r"(?:them|these|those|both(?: of them)?|all of them|"
    r"(?:(?:both|all|all of|both of) )?(?:(?:the|these|those|my|our) )?"
    r"(?:(?P<count>\d+)(?: images)?|images))"
)
"""The images, where several are given."""

NUMBER = r"\d{1,6}(?:\.\d{1,4})?"

_SPELLINGS = (
    (r"[’`]", "'"),
    (r"(\d)[,'](?=\d{3}\b)", r"\1"),
    (r"[,;:!?]+(?=\s|$)|\.+$", " "),
    (r"\b(what|how|where|which|who)'s\b", r"\1 is"),
    (r"\bi'd\b", "i would"),
    (r"°|\bdegs?\b", " degrees "),
    (r"%|\bper cent\b|\bpct\b", " percent "),
    (r"(\d)\s*(?:px|pixels?)\b", r"\1 pixels"),
    (r"\b(?:px|pixel)\b", "pixels"),
    (r"(\d)(?: pixels)?\s*[x×*]\s*(?=\d)", r"\1 by "),
    (r"(\d)x\b", r"\1 times"),
    (r"\bb ?(?:&|and|/|n) ?w\b|\bblack[ -](?:and|&|n)[ -]white\b|\bgr[ae]y[ -]?scales?\b|\bmonochrome\b", "greyscale"),
    (r"\bgray\b", "grey"),
    (r"\bcolor(s|less|ful)?\b", r"colour\1"),
    (r"\b(?:anti|counter)[ -]?clock-?wise\b", "counterclockwise"),
    (r"\bqr[ -]?codes?\b", lambda found: "qr codes" if found[0].endswith("s") else "qr code"),
    (r"\bbar[ -]codes?\b", lambda found: "barcodes" if found[0].endswith("s") else "barcode"),
    (r"\b(?:picture|photo|photograph|pic|img|shot|snap|snapshot|foto|screenshot|selfie)(s?)\b", r"image\1"),
    (r"\b(my|the|this) scan\b", r"\1 image"),
    (r"\b(?:vs|versus)\b", "or"),
    (r"\bone of (?=th[eo]se|the )", "of "),
)  # fmt: skip
"""Pattern → the spelling that the forms have."""

_OPENINGS = re.compile(
    r"(?:please|kindly|hi|hello|hey|ok|okay|now|just|then|(?:can|could|would|will) you|"
    r"(?:i|we) (?:want|need|would like) you to|(?:i|we) (?:want|need|would like) to|let us|let's|"
    r"(?:do you know|can you (?:tell|say|see)|tell me|say|i want to know)(?= (?:what|which|how)))\s+"
)
_CLOSINGS = re.compile(r"\s+(?:please|thanks|thank you|for me)$")
_WANTED = re.compile(rf"(?:i|we) (?:want|need|would like) (?={IT} )")
_REASON = re.compile(rf"(?:{IT} is )?too (?:dark|bright|large|big|small) (?:and |so )?(?=[a-z]+ )")
_INDIRECT = re.compile(rf"(how [a-z]+|what size|which size) ({IT}) (is|has)")
_TELL = re.compile(r"(?:tell|give) me the (?=(?:[a-z]+ ){1,2}(?:of|in)\b)")

_TENS = "ten twenty thirty forty fifty sixty seventy eighty ninety hundred".split()
_NUMBERS = {word: n for word, n in NUMBERS.items() if word != "one"} | {
    w: 10 * n for n, w in enumerate(_TENS, 1)
}


def canonical(question: str) -> str:
    """A request in lower case, with words that say nothing left out and one spelling for each word.

    Photos, pictures and the like are images, numbers are digits.
    """
    text = question.lower().strip()
    for pattern, spelling in _SPELLINGS:
        text = re.sub(pattern, spelling, text)
    text = " ".join(str(_NUMBERS.get(word, word)) for word in text.split())
    while (shorter := _CLOSINGS.sub("", _replaced(_OPENINGS, "", _replaced(_REASON, "", text)))) != text:
        text = shorter
    return _replaced(_WANTED, "make ", _replaced(_TELL, "what is the ", _INDIRECT.sub(r"\1 \3 \2", text)))


def _replaced(opening: re.Pattern[str], instead: str, text: str) -> str:
    """A text with another opening, if it opens with what the pattern matches."""
    match = opening.match(text)
    return instead + text[match.end() :] if match else text

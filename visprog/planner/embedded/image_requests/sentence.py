"""A request in one spelling: what the forms of this package are matched against."""

from __future__ import annotations

import re

from ..support.question import NUMBERS

MAX_WORDS = 40
"""Number of words of a request; the forms have fewer."""

IT = r"(?:it|this|that|(?:(?:the|this|that|my|our) )?(?:(?:whole|entire|full) )?image)"
"""The image, where one is given."""

THEM = (
    r"(?:them|these|those|both(?: of them)?|all of them|(?:(?:both|all|all of|both of) )?(?:(?:the|these|those|my|our) )?"
    r"(?:(?P<count>\d+) )?images)"
)
"""The images, where several are given."""

NUMBER = r"\d{1,6}(?:\.\d{1,4})?"

_SPELLINGS = (
    (r"[’`]", "'"),
    (r"(\d)[,'](?=\d{3}\b)", r"\1"),
    (r"[,;:!?]+(?=\s|$)|\.+$", " "),
    (r"\b(what|how|where|which|who)'s\b", r"\1 is"),
    (r"\bi'd\b", "i would"),
    (r"°", " degrees "),
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
    (r"\b(?:picture|photo|photograph|pic|img|shot|snap|snapshot|foto)(s?)\b", r"image\1"),
    (r"\b(?:vs|versus)\b", "or"),
    (r"\bone of (?=th[eo]se|the )", "of "),
)  # fmt: skip
"""Pattern → the spelling that the forms have."""

_OPENINGS = re.compile(
    r"(?:please|kindly|hi|hello|hey|ok|okay|now|just|then|(?:can|could|would|will) you|"
    r"(?:i|we) (?:want|need|would like) you to|(?:i|we) (?:want|need|would like) to|let us|let's|"
    r"(?:do you know|can you (?:tell|say|see)|(?:could you )?tell me|say|i want to know)(?= (?:what|which|how|whether)))\s+"
)
_CLOSINGS = re.compile(r"\s+(?:please|thanks|thank you|for me)$")
_WANTED = re.compile(rf"(?:i|we) (?:want|need|would like) (?={IT} )")


def canonical(question: str) -> str:
    """A request in lower case, with words that say nothing left out and one spelling for each word.

    Photos, pictures and the like are images, numbers are digits.
    """
    text = question.lower().strip()
    for pattern, spelling in _SPELLINGS:
        text = re.sub(pattern, spelling, text)
    text = " ".join(str(NUMBERS.get(word, word)) if word != "one" else word for word in text.split())
    while (
        shorter := _CLOSINGS.sub("", _OPENINGS.sub("", text, 1) if _OPENINGS.match(text) else text)
    ) != text:
        text = shorter
    return _WANTED.sub("make ", text)

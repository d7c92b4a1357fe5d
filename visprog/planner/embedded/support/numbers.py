"""Each number stands in question and program, with the same comparison."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from .features import ProgramFeatures
from .lexicon import lexicon
from .question import NUMBERS, ORDINALS, AskedQuestion
from .words import is_number

_BEFORE = (
    (r"(?:at least|atleast|no (?:fewer|less) than|not (?:fewer|less) than|minimum(?: of)?|min|>=)$", (">=",)),
    (r"(?:at most|no more than|not more than|maximum(?: of)?|max|up to|<=)$", ("<=",)),
    (r"(?:more than|over|greater than|above|exceeds?|exceeding|>)$", (">",)),
    (r"(?:fewer than|less than|below|under|<)$", ("<",)),
    (r"(?:exactly|precisely|just|only|equals?|=)$", ("==",)),
)
_AFTER = (
    (r"^(?:or|and) (?:more|above|over)", (">=",)),
    (r"^\+", (">=",)),
    (r"^(?:or|and) (?:fewer|less|below)", ("<=",)),
)
_IMAGES = r"(?:pictures|images|photos|photographs|pics|shots)\b"
_DEFINITE = r"(?:the|these|those|both|my|our|all|first|last|between|of|any|same)$"


def numbers(asked: AskedQuestion, done: ProgramFeatures) -> Iterator[str]:
    """Each number stands in both, with the comparison that the question makes."""
    compared = [_closed(op, n) for op, n in done.compared]
    left = list(compared)  # those that no word of the question has asked for yet
    aside = {i for match in lexicon().tags.finditer(asked.text) for i in asked.span(*match.span())}
    of_images: set[int] = set()  # numbers of images, not of objects
    times = [
        n for n in range(2, 21) if f"* {n}" in ast.unparse(done.tree) or f"{n} *" in ast.unparse(done.tree)
    ]
    copied = asked.copied(text for text, _ in done.strings)
    for i, word in enumerate(asked.words):
        if not is_number(word) or i in copied or i in aside:
            continue
        n = NUMBERS.get(word, int(word) if word.isdigit() else -1)
        before, after = " ".join(asked.words[max(0, i - 4) : i]), " ".join(asked.words[i + 1 : i + 3])
        operators: tuple[str, ...] = next(
            (ops for p, ops in _BEFORE if re.search(rf"(?:^| ){p}", before)), ()
        )
        if re.search(r"(?:^| )(?:between|from|range(?: of)?)$", before) or re.match(r"(?:to|-|–) \S+", after):
            operators = (">=",)
        elif re.search(
            rf"(?:between|from) \S+ (?:and|to|-)$|(?:^| )(?:\d+|{'|'.join(NUMBERS)}) (?:to|-|–)$", before
        ):
            operators = ("<=",)
        operators = operators or next((ops for p, ops in _AFTER if re.search(p, after)), ())
        if "images" in done.features and re.match(_IMAGES, after):
            of_images.add(i)
            continue
        exact = re.search(
            r"(?<!\S)(?:number|count|amount|total|sum|quantity|exact|how many)(?!\S)", asked.text
        )
        wanted = {_closed(op, n) for op in operators or (("==",) if exact else ("==", ">="))}
        found = [c for c in compared if c in wanted or c[1] == n]
        if found:
            if not wanted & set(found):
                yield f"'{' '.join((before.split() or [''])[-2:])} {word}' is compared by {found[0][0]}"
            left = [c for c in left if c not in found]
            continue
        if {(">=", 1), (">", 0)} & {(op, n) for op in operators} or (n == 1 and "exists" in done.features):
            continue
        if n == 1 and ({"set==1", "exists"} & done.features or not operators):
            continue  # "one" as a pronoun
        if n == 2 and {"even", "odd"} & done.features:
            continue
        if n == 0 and {"none", "not"} & done.features:
            continue
        if n in times or re.search(rf"(?:^| ){_DEFINITE}", before) or re.match(rf"{_IMAGES}|of\b", after):
            continue
        if (
            f"ordinal:{n}" in done.features
            or f"images[{n - 1}]" in done.features
            or f"counts[{n - 1}]" in done.features
        ):
            continue
        yield f"the number '{word}'"
    asked_numbers = {
        NUMBERS.get(w, int(w) if w.isdigit() else -1) for i, w in enumerate(asked.words) if i not in of_images
    }
    for op, n in left:
        if n not in asked_numbers and (op, n) not in (("==", 1), (">=", 2)):
            yield f"nothing asks for the number {n}"
        elif (
            (op, n) == ("==", 1)
            and n not in asked_numbers
            and not re.search(r"\b(?:one|single|only|just|exactly|alone|lone|unique|sole|once)\b", asked.text)
        ):
            yield "nothing asks for exactly one"
        elif (
            (op, n) == (">=", 2)
            and "find_panels" not in done.features
            and n not in asked_numbers
            and not re.search(
                r"\b(?:several|multiple|many|more|plural|two|both|number of|couple|pair|repeated\w*|twice|group|few)\b",
                asked.text,
            )
        ):
            yield "nothing asks for several"
    for feature in done.features:
        if feature.startswith("ordinal:"):
            place = feature.removeprefix("ordinal:")
            names = {w for w, k in ORDINALS.items() if str(k) == place} | {
                place,
                *(w for w, k in NUMBERS.items() if str(k) == place),
            }
            if place == "last":
                names = {"last", "final", "end", "first", "1st", "outermost"}
            if not names & set(asked.words):
                yield f"nothing asks for number {place} in order"


def _closed(op: str, n: int) -> tuple[str, int]:
    """A comparison of whole numbers without > and <."""
    return (">=", n + 1) if op == ">" else ("<=", n - 1) if op == "<" else (op, n)

"""What is given to a tool is what that tool takes: nouns for `detect`, states for `verify`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from ..vocabulary import normalize
from .features import ProgramFeatures, called
from .form import YES_NO
from .lexicon import CorpusWords, lexicon
from .question import AskedQuestion
from .words import is_number, is_whole


def _spoken(asked: AskedQuestion, text: str) -> bool:
    """Whether the question gives a text as one that is written somewhere: after a word such as "says", or in quotes."""
    return any(
        set(asked.words[max(0, start - 3) : start]) & _SAYING
        or asked.words[start - 1 : start] in (['"'], ["'"])
        or asked.words[end : end + 1] == ["written"]
        or set(asked.words[end : end + 3]) & _SHOWN
        for start, end in asked.find(text)
    )


_SAYING = frozenset(
    "word words text says say saying said reads read reading mention mentions mentioning written write called phrase "
    "term number letters letter string for contain contains containing labelled labeled marked spell spells name "
    "caption is find search show shows have has having with any blur out hide redact cover where occurrences of times "
    "see".split()
)
_SHOWN = frozenset(
    "written printed appear appears occur occurs show shown mentioned stand stands spelled anywhere".split()
)

_DOING = re.compile(r"(?:wear|hold|carry|carri|rid|push|pull|eat|drink|read)(?:e|es|s|ing)? \w")
_COMPOUNDS = {
    (first, head) for first in ("number", "picture") for head in ("plate", "plates", "frame", "frames")
}
"""Compound nouns whose first word is none of an object elsewhere."""


def misplaced(asked: AskedQuestion, done: ProgramFeatures, known: CorpusWords) -> Iterator[str]:
    """Words given to a tool that are not what it looks for: no noun for `detect`, no state for `verify`."""
    known_words = lexicon()
    looked_for = [text.lower() for text, tool in done.strings if tool == "detect"]
    scenes = {i for match in known_words.scenes.finditer(asked.text) for i in asked.span(*match.span())}
    for phrase in looked_for:
        places = [set(range(start, end)) for start, end in asked.find(phrase)]
        if places and all(place <= scenes for place in places):
            yield f"'{phrase}' is where the image was taken"
        if "read_text" in done.features and re.fullmatch(_DOCUMENTS, phrase):
            yield f"'{phrase}' is the image itself"
    for phrase in looked_for:
        *before, head = [w for w, _, _ in normalize(phrase)] or [""]
        odd = [w for w in before if known_words.function.fullmatch(w) and (w, head) not in _COMPOUNDS]
        if head not in known.nouns and (
            known_words.function.fullmatch(head) or head in known.anywhere or head in known.states
            or head in known.seen or is_number(head) or re.fullmatch(r"\w{3,}(?:ing|ed)", head)
        ):  # fmt: skip
            odd.append(head)
        if odd:
            yield f"'{odd[0]}' in '{phrase}' names no object"
    for text, tool in done.strings:
        text = text.lower()
        if tool == "verify" and text in ("", *looked_for):
            yield f"'{text}' is looked for in itself"
        elif tool == "verify":
            if any(len(noun) > 2 and re.search(rf"\b{re.escape(noun)}\b", text) for noun in looked_for):
                yield f"'{text}' describes itself"
            if re.match(
                r"(?:in|on|under|inside|above|below|at|behind|near|next to|beside|over|by|from|to)\b", text
            ) and not known_words.states.fullmatch(text):
                yield f"'{text}' says where, not how"
            if text not in known.worn and all(w in known.nouns for w in text.split()):
                yield f"'{text}' is another object"
            if _DOING.match(text):
                continue  # whatever is worn or held can be seen
            words = [w for w, _, _ in normalize(text) if not known_words.function.fullmatch(w)]
            unknown = [
                w
                for w in words
                if w not in known.states and w not in known.nouns and not _inflected(w, known)
            ]
            if unknown:
                yield f"'{unknown[0]}' may not be visible"
    for text, tool in done.strings:
        if tool == "find_text" and text.lower() == text and not _spoken(asked, text):
            yield f"'{text}' is no text that is to be found"
    if (
        "find_lines" in done.features
        and {"touches", "overlaps"} & done.features
        and "intersections" not in done.features
    ):
        yield "lines cross rather than touch"
    for node in ast.walk(done.tree):
        if isinstance(node, ast.Call) and called(node) == "classify" and len(node.args) == 2:
            options = [ast.unparse(o) for o in getattr(node.args[1], "elts", ())]
            if len(set(options)) < len(options):
                yield "the options are the same"
            for option in options:
                if not _seen(option.strip("'\""), known):
                    yield f"{option} may not be visible"
    if any(tool == "vqa" and is_whole(text, asked) for text, tool in done.strings):
        seen = known_words.open.search(asked.text)
        if seen is None or asked.words[0] in YES_NO:
            yield "the question is not one about how something looks"
    if "cover:box" in done.features:
        for text, tool in done.strings:
            if tool == "has_color" and re.search(
                rf"\b{re.escape(text.lower())} (?:box|bar|rect|patch|square)", asked.text
            ):
                yield f"'{text}' is the colour of the cover"


def predicate(asked: AskedQuestion, done: ProgramFeatures, known: CorpusWords) -> Iterator[str]:
    """In "are the curtains drawn" the last word says something, however often it says nothing elsewhere."""
    words = [w for w in asked.words if re.search(r"\w", w)]
    if (
        len(words) > 3
        and words[0] in ("is", "are", "was", "were")
        and words[1] in ("the", "this", "my", "all")
    ):
        last = (
            len(asked.words) - 1 - next(i for i, w in enumerate(reversed(asked.words)) if re.search(r"\w", w))
        )
        if last not in asked.known and not is_number(asked.words[last]) and asked.words[last] != "or":
            yield f"'{asked.words[last]}'"


def _seen(text: str, known: CorpusWords) -> bool:
    """Whether an option of a choice is something that can be seen."""
    words = [w for w, _, _ in normalize(text) if not lexicon().function.fullmatch(w)]
    known_scene = lexicon().scene_words
    return all(
        w in known.states or w in known.nouns or w in known_scene or _inflected(w, known) for w in words
    )


_DOCUMENTS = (
    r"(?:this |the )?(?:page|document|receipt|bill|menu|form|leaflet|flyer|invoice|screenshot|article|delivery note|"
    r"worksheet)s?"
)


def _inflected(word: str, known: CorpusWords) -> bool:
    """Whether a word is a form of one that says how something looks."""
    stems = {word.removesuffix(e) + i for e in ("s", "es", "ing", "ed", "d") for i in ("", "e", word[-4:-3])}
    return bool(stems & known.states) or bool(stems & known.nouns)


def unread(question: str, done: ProgramFeatures) -> Iterator[str]:
    """Words in capitals or quotation marks are there to be found: they stand in the program."""
    if question.isupper():
        return
    given = " ".join(text.lower() for text, _ in done.strings)
    quoted = re.findall(r"[\"“]([^\"“”]+)[\"”]|(?<!\w)'([^']+)'(?!\w)", question)
    marked = [a or b for a, b in quoted] + re.findall(r"(?<!\w)[A-Z]{3,}(?:\s[A-Z]{2,})*(?!\w)", question)
    for text in marked:
        words = [w for w, _, _ in normalize(text)]
        if (
            words
            and text.lower() not in _ACRONYMS
            and not all(w in given for w in words if re.search(r"\w", w))
        ):
            yield f"'{text}'"


_ACRONYMS = frozenset(
    "lol omg pls plz asap not all and the only any how count tvs suv suvs rgb bbq led cctv ocr usb atm pdf png "
    "jpg".split()
)
"""Capitals that are no text to be found."""

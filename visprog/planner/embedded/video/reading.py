"""Questions about videos: whole sentences of a few forms, each with the program that answers it.

No model reads them. A question is a sentence of one of the forms, with every word of it, or it is refused: a word that
is passed over would make a wrong answer that nobody notices. A time and a place are taken off the ends of the sentence
first ("after second 20", "in the left half"); what remains must be a form as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ....check import check
from ....errors import Refused
from ....language.parts_of_speech import is_plural, tag_words
from ....registry import Registry
from ....registry.types import Type, accepts, render
from ....values.colors import NAMES
from ....values.track import Span
from ...base import PlanRequest
from ..image_requests.form import NotOfThisForm
from ..support import CorpusWords
from ..support.question import NUMBERS
from .forms import PATTERNS, PLACED, TIMED
from .programs import Kind, ProgramBody, Sentence, Time, TrackedObjects
from .words import COMPOUNDS, NO_OBJECTS, NUMBERS_HERE, PERSONS, TIMES, VIDEO, WALKERS, ZONE

_COLORS_ALONE = {*NAMES, "gray"} - {"orange"}
"""Words that name no object, though they may be nouns."""
MAX_WORDS = 40
"""Number of words of a question; the forms have fewer."""

EXAMPLES: dict[Kind, Any] = {
    "int": 2,
    "ints": [2, 1],
    "float": 0.5,
    "bool": True,
    "str": "red",
    "spans": [Span(0, 1)],
}
"""A value of each kind of answer."""


def video_program(request: PlanRequest, known: CorpusWords) -> str:
    """The program for a question about a video.

    Raises:
        Refused: A word of it is not accounted for, no backend in force can see what it asks for, or its answer is not
            of the type that is asked for.
    """
    words = _words(request.question)
    reader = _Reader(request.registry, known)
    if len(words) > MAX_WORDS or len(found := reader.read(words)) != 1:
        if reader.unseen:
            raise Refused(reader.unseen[0])
        part = _shown(_not_understood(words, request.registry, known))[:100]
        raise Refused(
            f"the embedded planner knows common questions about videos alone (not understood: '{part}'): let a "
            "language model plan (--planner openai:MODEL, langchain:PROVIDER:MODEL or transformers:FOLDER), or run a "
            "program of yours with visprog run"
        )
    (body, time) = found.pop()
    lines = [*_guard(time), *body.lines, f"return {_fitted(body, request.returns)}"]
    source = "def answer(video):\n" + "".join(f"    {line}\n" for line in lines)
    wrong = [d for d in check(source, request.registry) if d.severity == "error" and not d.refusal]
    if wrong:
        raise Refused(f"the tools in force do not answer this question about a video: {wrong[0].message}")
    return source


def _words(question: str) -> list[str]:
    """Its words in lower case, with seconds marked: "@20" is second 20, and "#20" is 20 seconds."""
    text = question.lower().replace("’", "'").strip()
    text = re.sub(r"^(?:(?:please )?(?:(?:can|could|would) you (?:please )?)?tell me |please )", "", text)
    text = re.sub(r"\b(what|when|how|there)'s\b", r"\1 is", re.sub(r"[?.!]+$", "", text))
    text = re.sub(r"[,:](?!\d)", " ", text)
    text = re.sub(r"[@#]", " ? ", text)
    text = re.sub(rf"\bsecond {NUMBERS_HERE}(?![\w.:])", lambda m: f"@{_digits(m[1])}", text)
    text = re.sub(rf"(?<![\w.:@]){NUMBERS_HERE} ?(?:seconds?|secs?|s)\b", lambda m: f"#{_digits(m[1])}", text)
    text = re.sub(
        r"(?<![\w.:])(\d{1,3}):([0-5]\d)(?![\w.:])", lambda m: f"@{60 * int(m[1]) + int(m[2])}", text
    )
    return text.split()


def _digits(number: str) -> str:
    return f"{float(NUMBERS.get(number, number)):g}"


def _shown(words: list[str]) -> str:
    """Words as the question has them."""
    return re.sub(r"#([\d.]+)", r"\1 seconds", " ".join(words).replace("@", "second "))


@dataclass
class _Reader:
    """Reads sentences for the tools in force; `unseen` says why objects that they name cannot be seen."""

    registry: Registry
    known: CorpusWords
    unseen: list[str] = field(default_factory=list)

    def read(self, words: list[str]) -> set[tuple[ProgramBody, Time | None]]:
        """The programs of all forms that a sentence has; there is one if the question is understood."""
        found = set[tuple[ProgramBody, Time | None]]()
        for text, time, zone in _taken_apart(" ".join(words)):
            for pattern, build in PATTERNS:
                match = pattern.fullmatch(text)
                if match is None or (time and build not in TIMED) or (zone and build not in PLACED):
                    continue
                groups = match.groupdict()
                objects, other = (
                    self._objects(groups),
                    self._objects({"what": groups.get("other"), "none": None}),
                )
                if objects is None or other is None:
                    continue
                try:
                    found.add((build(Sentence(groups, objects, time, zone, other)), time))
                except NotOfThisForm:
                    continue
        return found

    def sees(self, word: str) -> bool:
        """Whether a word names objects that can be seen."""
        return self._objects({"what": word}) is not None

    def _objects(self, groups: dict[str, str | None]) -> TrackedObjects | None:
        """The objects that a sentence names; None if it names none, or says more of them than a colour."""
        what = groups.get("what")
        if what is None and groups.get("none") is None:
            return TrackedObjects("")
        objects = TrackedObjects("person") if what is None else self._noun_phrase(what)
        if objects is None:
            return None
        walks = objects.noun in WALKERS
        if (groups.get("drive") and walks) or (groups.get("walk") and not walks):
            return None
        phrases = self.registry["detect"].sees.phrases.get("what") if "detect" in self.registry else None
        if phrases is None:  # it looks for whatever it is told to
            return objects if self.known.nouns.issuperset(objects.noun.split()) else None
        if not phrases.can_see(objects.noun):
            self.unseen.append(phrases.refusal(objects.noun))
            return None
        return objects

    def _noun_phrase(self, phrase: str) -> TrackedObjects | None:
        words = phrase.split()
        color = words.pop(0) if len(words) > 1 and words[0] in (*NAMES, "gray") else ""
        if words[-1] in PERSONS:
            words = [*words[:-1], "person"]
        *before, head = *words[:-1], self._singular(words[-1])
        noun = " ".join([*before, head])
        if head == "person" and color:
            return None  # of skin or clothes?
        if noun not in COMPOUNDS:
            tags = [word.tag for word in tag_words(f"the {' '.join(words)}")][1:]
            if (
                set(tags) != {"noun"}
                or any(map(is_plural, before))
                or not NO_OBJECTS.isdisjoint((*before, head))
                or head in _COLORS_ALONE
            ):
                return None
        return TrackedObjects(noun, color)

    def _singular(self, word: str) -> str:
        """The singular of a noun, as far as its letters and the known nouns tell it."""
        if not is_plural(word):
            return word
        endings = (("ies", "y"), ("ves", "fe"), ("ves", "f"), ("s", ""), ("es", ""))
        tried = [word.removesuffix(end) + instead for end, instead in endings if word.endswith(end)]
        return next((w for w in tried if w in self.known.nouns), word)


def _taken_apart(text: str) -> Iterator[tuple[str, Time | None, str]]:
    """A sentence without the time and the place at its ends, with them: in each way in which they can be taken off."""
    todo: list[tuple[str, Time | None, str, bool]] = [(text, None, "", False)]
    while todo:
        text, time, zone, named = todo.pop()
        yield text, time, zone
        if not named:
            todo += [
                (rest, time, zone, True) for rest, _ in _without(text, rf"(?:in|during) (?:the|this) {VIDEO}")
            ]
        if not zone:
            for rest, match in _without(text, ZONE):
                side = match["zone"] or match["side"]
                todo.append((rest, time, {"top": "upper", "bottom": "lower"}.get(side, side), named))
        if time is None:
            for pattern in TIMES:
                for rest, match in _without(text, pattern):
                    if taken := _time(match.groupdict()):
                        todo.append((rest, taken, zone, named))


def _without(text: str, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    """The text without what the pattern matches at its end, and without what it matches at its start."""
    for whole in (rf"(?P<rest>.*\S) {pattern}", rf"{pattern} (?P<rest>.*)"):
        if match := re.fullmatch(whole, text):
            yield match["rest"], match


def _time(words: dict[str, str | None]) -> Time | None:
    """The time that a phrase of `TIMES` says; None if it says none."""
    a, b, moment, length = (words.get(name) for name in ("a", "b", "moment", "length"))
    if not all(re.fullmatch(r"\d+(?:\.\d+)?", number) for number in (a, b, moment, length) if number):
        return None
    if moment:
        return Time(moment, moment, named=moment)
    if at := words.get("at") or {"first": "start", "last": "end"}.get(words.get("frame") or ""):
        near = "(video.end - 0.5)" if at == "end" else "(video.start + 0.5)"
        return Time(near, near)
    if half := words.get("half"):
        middle = "(video.start + video.end) / 2"
        start, end = ("video.start", middle) if half == "first" else (middle, "video.end")
        return Time(start, end, f"video.{half}_half()")
    if part := words.get("part"):
        is_first = part == "first"
        start = "video.start" if is_first else f"video.end - {length}"
        end = f"video.start + {length}" if is_first else "video.end"
        return Time(start, end, f"video.between({start}, {end})")
    if a and b and not float(a) < float(b):
        return None
    start, end = a or "video.start", b or "video.end"
    return Time(start, end, f"video.between({start}, {end})", a or b or "")


def _guard(time: Time | None) -> list[str]:
    if time is None or not time.named:
        return []
    return [
        f"if not video.start <= {time.named} <= video.end:",
        f'    raise NothingFound("the video has no second {time.named}")',
    ]


def _fitted(body: ProgramBody, returns: Type) -> str:
    """The answer as an expression of the type that is asked for.

    Raises:
        Refused: It cannot be.
    """
    fits = {kind for kind, example in EXAMPLES.items() if returns is None or accepts(returns, example)}
    if body.kind in fits:
        return body.value
    if body.kind == "float" and "int" in fits:
        return f"round({body.value})"
    if body.kind == "int" and "str" in fits:
        return f"str({body.value})"
    answer = {
        "spans": "a list of spans of time",
        "ints": "two numbers",
        "str": "a text",
        "bool": "true or false",
    }.get(body.kind, "a number")
    raise Refused(f"the answer to this question is {answer}, and {render(returns)} was asked for")


def _not_understood(words: list[str], registry: Registry, known: CorpusWords) -> list[str]:
    """The fewest words in a row without which a sentence would be understood; else those that no form has, or all."""
    reader, n = _Reader(registry, known), len(words)
    if n <= MAX_WORDS:
        for length in range(1, n):
            for start in range(n - length, -1, -1):
                if reader.read([*words[:start], *words[start + length :]]):
                    return words[start : start + length]
    forms = " ".join(pattern.pattern for pattern, _ in PATTERNS)
    unknown = [
        i for i, w in enumerate(words) if not re.search(rf"\b{re.escape(w)}\b", forms) and not reader.sees(w)
    ]
    return words[unknown[0] if unknown else 0 :][:12]

"""Questions about videos: whole sentences of a few forms, each with the program that answers it.

No model reads them. A question is a sentence of one of the forms, with every word of it, or it is refused: a word that
is passed over would make a wrong answer that nobody notices. A time and a place are taken off the ends of the sentence
first ("after second 20", "in the left half"); what remains must be a form as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from ...check import check
from ...errors import Refused
from ...language.parts_of_speech import is_plural, tag_words
from ...registry import Registry
from ...registry.types import Type, accepts, render
from ...values.colors import NAMES
from ...values.track import Span
from ..base import PlanRequest
from .support import CorpusWords
from .support.question import NUMBERS, ORDINALS

MAX_WORDS = 40
"""Number of words of a question; the forms have fewer."""

Kind: TypeAlias = Literal["int", "float", "bool", "str", "spans"]

_EXAMPLES: dict[Kind, Any] = {"int": 2, "float": 0.5, "bool": True, "str": "red", "spans": [Span(0, 1)]}
"""A value of each kind of answer."""

# -- words -----------------------------------------------------------------------------------------------

_PERSONS = frozenset(("anyone", "anybody", "someone", "somebody", "people", "persons"))
_WALKERS = frozenset(
    "person pedestrian human man woman boy girl child kid dog cat puppy kitten animal creature pet horse cow sheep "
    "elephant bear zebra giraffe bird".split()
)
"""What walks; all else drives."""
_COMPOUNDS = frozenset(("hot dog", "potted plant", "stuffed bear"))
"""Names of objects that begin with an adjective."""
_NO_OBJECTS = frozenset(
    "thing object item something anything everything stuff second minute hour time moment frame scene shot video clip "
    "film kind type sort colour color half left right top bottom upper lower front back middle side last only "
    "next".split()
) | {*NUMBERS, *ORDINALS}
"""Words that no name of a kind of object has."""

_WHAT = r"(?P<what>[a-z]+(?:[ -][a-z]+){0,3}?)"
_SOMEONE = r"(?P<what>anyone|anybody|someone|somebody)"
_A = r"(?:an?|any|some|at least one)"
_PLACES = {word: n for word, n in ORDINALS.items() if word.isalpha()}
_ONE = rf"the (?:(?P<place>{'|'.join(_PLACES)}|last|only) )?{_WHAT}"
_COUNT = rf"\d{{1,4}}|{'|'.join(NUMBERS)}"
_VIDEO = "(?:video|clip|film|movie|recording|footage)"
_SEEN = "(?:visible|seen|shown|to be seen)"
_VISIBLE = rf"(?:{_SEEN}|in view|in sight|on (?:the )?screen)"
_IN_VIEW = rf"(?:{_VISIBLE}|in the (?:picture|frame))"
_HOW_LONG = "(?:for )?how (?:long|many seconds)"
_AT_ONCE = "(?:at once|at the same time|at one time|simultaneously)"
_AUXILIARY = "(?:(?:are|is|were|was|have|has|did|does|do) )?"
_PASS, _COME, _GO = "pass(?:es|ed|ing)?", "(?:comes?|came|coming)", "(?:go|goes|went|gone|going)"
_DRIVE, _WALK = "(?P<drive>drives?|drove|driven|driving)", "(?P<walk>walk(?:s|ed|ing)?)"
_APPEAR = (
    rf"(?:appear(?:s|ed)?|(?:show|shows|showed) up|arrive[sd]?|{_COME} into (?:view|sight|the picture|the frame)"
    "|enter(?:s|ed)? the (?:picture|frame))"
)
_LEAVE = rf"(?:(?:leaves?|left)(?: the (?:picture|frame))?|disappear(?:s|ed)?|{_GO} out of (?:view|sight))"
_BY = rf"(?:{_PASS}(?: by| past| through)?|{_APPEAR}|(?:{_COME}|{_GO}|{_DRIVE}|{_WALK}) (?:by|past)|{_COME} along)"
_OF_PICTURE = rf"(?: of the (?:picture|frame|image|screen|view|{_VIDEO}))?"
_WAYS = {
    "down": ("top", "bottom"),
    "up": ("bottom", "top"),
    "right": ("left", "right"),
    "left": ("right", "left"),
}
_ACROSS = "|".join(
    f"(?P<{way}>(?:from )?(?:the )?{a} to (?:the )?{b}{_OF_PICTURE})" for way, (a, b) in _WAYS.items()
)
_TOWARDS = "(?P<towards>down|downwards?|up|upwards?|(?:(?:to|towards) the )?(?:left|right))"
_QUANTITY = (
    "(?:(?:(?P<none>no|zero)|(?:(?P<compared>fewer than|less than|more than|greater than|at least|at most|no more than"
    rf"|no fewer than|no less than|exactly|just|only) )?(?P<number>{_COUNT})(?P<beyond> or more| or fewer| or less)?"
    "|an?|any|some) )?"
)
_OPERATORS = {
    "fewer than": "<", "less than": "<", "more than": ">", "greater than": ">", "at least": ">=", "at most": "<=",
    "no more than": "<=", "no fewer than": ">=", "no less than": ">=", "or more": ">=",
    "or fewer": "<=", "or less": "<=",
}  # fmt: skip
_MOST, _LEAST = (
    "largest|greatest|biggest|highest|maximum|maximal|most",
    "smallest|lowest|least|minimum|minimal|fewest",
)
_EXTREME = rf"(?:(?P<most>{_MOST})|(?P<least>{_LEAST}))"
_WHEN = "(?:when|at (?:what|which) (?:second|time)|in (?:what|which) second)"
_RANGE = "(?:from (?:which|what) second to (?:which|what)(?: second)?|from when to when)"
_UNTIL = rf"(?: {_RANGE})?(?: in seconds)?"

_NUMBERS_HERE = rf"(\d+(?:\.\d+)?|{'|'.join(NUMBERS)})"
_TIMES = (
    r"at [@#](?P<moment>[\d.]+)",
    rf"at the (?P<at>beginning|start|end)(?: of the {_VIDEO})?",
    r"after @(?P<a>[\d.]+)",
    r"before @(?P<b>[\d.]+)",
    r"(?:between|from) (?=[^ ]+ (?:and|to) [@#]|[@#])[@#]?(?P<a>[\d.]+) (?:and|to) [@#]?(?P<b>[\d.]+)",
    rf"(?:in|during) the (?P<half>first|second) half(?: of the {_VIDEO})?",
    rf"(?:in|within|during) the (?P<part>first|last) #(?P<length>[\d.]+)(?: of the {_VIDEO})?",
)
_HALVES = {
    "left": "Box(0, 0, video.width / 2, video.height)",
    "right": "Box(video.width / 2, 0, video.width, video.height)",
    "upper": "Box(0, 0, video.width, video.height / 2)",
    "lower": "Box(0, video.height / 2, video.width, video.height)",
}
_ZONE = (
    rf"(?:(?:in|on|at) the (?P<zone>left|right|upper|lower|top|bottom) half|on the (?P<side>left|right)(?: side)?)"
    rf"{_OF_PICTURE}"
)


@dataclass(frozen=True)
class _Time:
    """A moment of a video, or a part of it, as expressions of a program.

    Attributes:
        start, end: Where the part begins and ends; the same for a moment.
        part: The part as a video.
        named: A second that the question names and the video must have; empty if it names none.
    """

    start: str
    end: str
    part: str = ""
    named: str = ""

    @property
    def is_moment(self) -> bool:
        return self.start == self.end


@dataclass(frozen=True)
class _Objects:
    """The objects of a question: a noun in the singular, and a colour if it has one."""

    noun: str
    color: str = ""

    @property
    def colored(self) -> list[str]:
        """What is true of each of their tracks, besides the noun."""
        return [f'has_color(best_view(video, each), "{self.color}")'] if self.color else []

    def tracks(self, *conditions: str) -> str:
        """A list of those of their tracks for which the conditions hold."""
        conditions = (*self.colored, *conditions)
        tracks = f'track(video, "{self.noun}")'
        return f"[each for each in {tracks} if {' and '.join(conditions)}]" if conditions else tracks

    @property
    def counts(self) -> str:
        """Their number over time, which is not known of objects of a colour."""
        if self.color:
            raise _NotOfThisForm
        return f'count_over_time(video, "{self.noun}")'

    def __str__(self) -> str:
        return f"{self.color} {self.noun}".strip()


class _NotOfThisForm(Exception):
    """A sentence has the words of a form, and asks for something else."""


@dataclass(frozen=True)
class _Asked:
    """A sentence that has the words of a form.

    Attributes:
        words: What the groups of the form matched.
        objects: What it asks about; no noun if the form has none.
        time, zone: Taken off its ends; None and "" if it has none.
    """

    words: dict[str, str | None]
    objects: _Objects
    time: _Time | None
    zone: str


@dataclass(frozen=True)
class _Body:
    """What a program does: the kind and expression of its answer, and lines before that."""

    kind: Kind
    value: str
    lines: tuple[str, ...] = field(default=())


# -- the programs ----------------------------------------------------------------------------------------


def _count(asked: _Asked) -> _Body:
    if asked.objects.color:
        return _Body("int", f"len({asked.objects.tracks()})")
    return _Body("int", f'count_unique(video, "{asked.objects.noun}")')


def _count_at(asked: _Asked) -> _Body:
    return _Body("int", _number_at(asked))


def _number_at(asked: _Asked) -> str:
    """The number of objects at the moment of the question, which is that of the nearest time."""
    if asked.time is None or not asked.time.is_moment:
        raise _NotOfThisForm
    return f"min({asked.objects.counts}, key=lambda sample: abs(sample[0] - {asked.time.start}))[1]"


def _extreme(asked: _Asked) -> _Body:
    return _Body("int", f"{'min' if asked.words['least'] else 'max'}(n for _, n in {asked.objects.counts})")


def _most_at_once(asked: _Asked) -> _Body:
    return _Body("int", f"max(n for _, n in {asked.objects.counts})")


def _direction(asked: _Asked) -> _Body:
    towards = asked.words.get("towards") or next(way for way in _WAYS if asked.words.get(way))
    way = next(way for way in _WAYS if way in towards)
    return _Body("int", "len(" + asked.objects.tracks(f'each.direction == "{way}"') + ")")


def _appears(asked: _Asked) -> _Body:
    return _Body("float", f"{_chosen(asked)}.first_seen", _choice(asked))


def _first_appears(asked: _Asked) -> _Body:
    return _Body("float", "tracks[0].first_seen", _found(asked))


def _leaves(asked: _Asked) -> _Body:
    """The first to appear, unless another leaves first: then it is not said which is meant. The last likewise."""
    place, each = asked.words["place"], _chosen(asked)
    if place not in ("first", "last", "only", None):
        raise _NotOfThisForm
    lines = _choice(asked)
    if place in ("first", "last"):
        extreme, other = ("min", ">") if place == "first" else ("max", "<")
        lines += (
            f"if {each}.last_seen {other} {extreme}(each.last_seen for each in tracks):",
            f'    raise NothingFound("the {place} {asked.objects} to appear is not the {place} to leave")',
        )
    lines += (
        f"if {each}.last_seen > video.end - 0.5:",
        f'    raise NothingFound("the {asked.objects} is in view to the end")',
    )
    return _Body("float", f"{each}.last_seen", lines)


def _color(asked: _Asked) -> _Body:
    if asked.objects.color or asked.objects.noun == "person":
        raise _NotOfThisForm
    return _Body("str", f"dominant_color(best_view(video, {_chosen(asked)}))", _choice(asked))


def _duration(asked: _Asked) -> _Body:
    return _Body("float", f"{_chosen(asked)}.duration", _choice(asked))


def _duration_of_any(asked: _Asked) -> _Body:
    spans = f"spans_where([(t, n > 0) for t, n in {asked.objects.counts}])"
    return _Body("float", f"sum(span.duration for span in {spans})")


def _times_of_one(asked: _Asked) -> _Body:
    return _Body("spans", f"list({_chosen(asked)}.spans)", _choice(asked))


def _length(asked: _Asked) -> _Body:
    return _Body("float", "video.duration")


def _times(asked: _Asked) -> _Body:
    number, compared, beyond = (asked.words.get(name) for name in ("number", "compared", "beyond"))
    condition = "n > 0"
    if asked.words.get("none"):
        condition = "n == 0"
    elif number:
        if beyond and compared:
            raise _NotOfThisForm
        operator = _OPERATORS.get((beyond or compared or "").strip(), "==")
        condition = f"n {operator} {NUMBERS.get(number, number)}"
    return _Body("spans", f"spans_where([(t, {condition}) for t, n in {asked.objects.counts}])")


def _exists(asked: _Asked) -> _Body:
    time, zone, objects = asked.time, asked.zone, asked.objects
    if time is None and not zone and not objects.color:
        return _Body("bool", f'count_unique(video, "{objects.noun}") > 0')
    if time is not None and time.is_moment:
        return _exists_at(asked, time)
    if time is not None and not zone and not objects.color:
        held = f"{time.start} <= t <= {time.end}"
        return _Body("bool", f"any(n > 0 for t, n in {objects.counts} if {held})")
    inside = [f"seconds_inside(each, {zone}) > 0"] if zone else []
    tracks = f'track({time.part if time else "video"}, "{objects.noun}")'
    lines = (f"{zone} = {_HALVES[zone]}",) if zone else ()
    return _Body("bool", f"any({' and '.join([*inside, *objects.colored])} for each in {tracks})", lines)


def _exists_at(asked: _Asked, time: _Time) -> _Body:
    if not asked.zone and not asked.objects.color:
        return _Body("bool", f"{_number_at(asked)} > 0")
    if not asked.zone:
        return _Body("bool", f"any(each.seen({time.start}) for each in {asked.objects.tracks()})")
    axis, side = ("x", "width") if asked.zone in ("left", "right") else ("y", "height")
    operator = "<" if asked.zone in ("left", "upper") else ">="
    half = f"place.center.{axis} {operator} video.{side} / 2"
    lines = (
        f"tracks = {asked.objects.tracks()}",
        f"places = [each.at({time.start}) for each in tracks]",
    )
    return _Body("bool", f"any({half} for place in places if place)", lines)


def _exists_there(asked: _Asked) -> _Body:
    if asked.time is None and not asked.zone:
        raise _NotOfThisForm
    return _exists(asked)


def _found(asked: _Asked) -> tuple[str, ...]:
    """Lines that find the tracks, and end the program if there is none."""
    return (
        f"tracks = {asked.objects.tracks()}",
        "if not tracks:",
        f'    raise NothingFound("no {asked.objects} is seen")',
    )


def _choice(asked: _Asked) -> tuple[str, ...]:
    """Lines that find the tracks, and end the program if there is none for `_chosen`."""
    place = asked.words["place"]
    lines = _found(asked)
    if place in (None, "only"):
        lines += (
            "if len(tracks) > 1:",
            f'    raise NothingFound(f"{{len(tracks)}} are seen, not one {asked.objects}: ask for the first or last")',
        )
    elif place != "last" and _PLACES[str(place)] > 1:
        number = _PLACES[str(place)]
        lines += (
            f"if len(tracks) < {number}:",
            f'    raise NothingFound(f"only {{len(tracks)}} are seen: there is no {place} {asked.objects}")',
        )
    return lines


def _chosen(asked: _Asked) -> str:
    place = asked.words["place"]
    return f"tracks[{-1 if place == 'last' else _PLACES.get(str(place), 1) - 1}]"


# -- the forms -------------------------------------------------------------------------------------------

_Build: TypeAlias = Callable[[_Asked], _Body]

_THERE = rf"(?:(?:are|were) there|(?:are|were) {_IN_VIEW}|(?:do|can|did) you see|can be seen)"
_ALL_THERE = rf"(?:(?:are|were) there|(?:are|were) {_SEEN}|(?:do|can|did) you see|can be seen)"
_DIFFERENT = "(?:different |distinct |unique |individual )?"

_FORMS: dict[_Build, tuple[str, ...]] = {
    _count: (
        rf"how many {_DIFFERENT}{_WHAT}(?: {_AUXILIARY}{_BY}| {_ALL_THERE})?(?: in total| altogether| overall)?",
        rf"what is the (?:total )?number of {_DIFFERENT}{_WHAT}(?: that {_BY})?",
        rf"count (?:all )?(?:the )?{_WHAT}(?: that {_BY})?",
    ),
    _count_at: (rf"how many {_WHAT} {_THERE}",),
    _extreme: (
        rf"what (?:is|was) the {_EXTREME} number of {_WHAT}(?:(?: that (?:is|are|can be))? {_IN_VIEW})?"
        rf"(?: {_AT_ONCE})?",
        rf"what (?:is|are) the (?:(?P<most>most)|(?P<least>fewest)) {_WHAT}(?: {_IN_VIEW})?(?: {_AT_ONCE})?",
        rf"how many {_WHAT} {_THERE} (?:(?P<most>at most)|(?P<least>at least))(?: {_AT_ONCE})?",
    ),
    _most_at_once: (rf"how many {_WHAT} {_THERE} {_AT_ONCE}",),
    _direction: (
        rf"how many {_WHAT} {_AUXILIARY}(?:moves?|moved|moving|travel(?:s|l?ed|l?ing)?|{_GO}|{_DRIVE}|{_WALK})"
        rf" (?:{_ACROSS}|{_TOWARDS})",
        rf"how many {_WHAT} {_AUXILIARY}(?:{_PASS}|{_COME}) (?:{_ACROSS})",
    ),
    _appears: (rf"{_WHEN} (?:does|did) {_ONE} {_APPEAR}(?: in seconds)?",),
    _first_appears: (
        rf"{_WHEN} (?:does|did) (?:the|an?|any) {_WHAT} (?:first {_APPEAR}|{_APPEAR} (?:first|for the first time))"
        "(?: in seconds)?",
        rf"{_WHEN} (?:is|was) (?:the|an?|any) {_WHAT} first {_IN_VIEW}(?: in seconds)?",
        rf"{_WHEN} (?:does|did) {_SOMEONE} (?:first {_APPEAR}|{_APPEAR} (?:first|for the first time))(?: in seconds)?",
    ),
    _leaves: (rf"{_WHEN} (?:does|did) {_ONE} {_LEAVE}(?: in seconds)?",),
    _times: (
        rf"when (?:are|is|were|was) there {_QUANTITY}{_WHAT}(?: {_IN_VIEW})?{_UNTIL}",
        rf"{_RANGE} (?:are|is) there {_QUANTITY}{_WHAT}(?: {_IN_VIEW})?",
        rf"when (?:are|is) {_QUANTITY}{_WHAT} {_IN_VIEW}{_UNTIL}",
        rf"when (?:do|can) you see {_QUANTITY}{_WHAT}{_UNTIL}",
        rf"when is (?:there )?{_SOMEONE}(?: there| {_IN_VIEW})?{_UNTIL}",
        rf"when is (?:there )?(?P<none>nobody|no one|no-one)(?: there| {_IN_VIEW})?{_UNTIL}",
    ),
    _times_of_one: (rf"when (?:is|was) {_ONE} {_IN_VIEW}{_UNTIL}",),
    _exists: (
        rf"(?:is|was) there (?:ever )?{_A} {_WHAT}(?: {_IN_VIEW})?",
        rf"(?:are|were) there (?:ever )?(?:any |some )?{_WHAT}(?: {_IN_VIEW})?",
        rf"(?:is|are|was|were) (?:ever )?{_A} {_WHAT} (?:there|ever {_IN_VIEW}|{_IN_VIEW})",
        rf"(?:is|was) (?:there (?:ever )?)?{_SOMEONE} (?:there|ever {_IN_VIEW}|{_IN_VIEW})",
        rf"is there (?:ever )?{_SOMEONE}",
        rf"(?:do|can|did) you (?:ever )?see (?:{_A} )?{_WHAT}",
        rf"(?:do|can|did) you (?:ever )?see {_SOMEONE}",
    ),
    _exists_there: (rf"(?:is|are) (?:ever )?{_A} {_WHAT}", rf"is {_SOMEONE}(?: ever)?"),
    _color: (
        rf"(?:what|which) colou?r (?:is|was|has) {_ONE}",
        rf"what (?:is|was) the colou?r of {_ONE}",
        rf"(?:what|which) colou?r does {_ONE} have",
    ),
    _duration: (
        rf"{_HOW_LONG} (?:is|was) {_ONE} {_VISIBLE}(?: for)?",
        rf"{_HOW_LONG} (?:does|did) {_ONE} (?:stay|remain)(?: {_IN_VIEW})?",
    ),
    _duration_of_any: (
        rf"{_HOW_LONG} (?:is|was) (?:an?|any) {_WHAT} {_VISIBLE}(?: for)?",
        rf"{_HOW_LONG} (?:is|was) {_SOMEONE} {_VISIBLE}(?: for)?",
    ),
    _length: (
        rf"how (?:long|many seconds) is (?:the|this) {_VIDEO}(?: long)?",
        rf"how (?:long|many seconds) does (?:the|this) {_VIDEO} (?:last|take)",
        rf"what is the (?:length|duration) of (?:the|this) {_VIDEO}",
    ),
}  # fmt: skip
"""What builds a program → the sentences for it."""

_PATTERNS = [(re.compile(pattern), build) for build, patterns in _FORMS.items() for pattern in patterns]
_TIMED = frozenset((_count_at, _exists, _exists_there))
_PLACED = frozenset((_exists, _exists_there))


# -- reading -----------------------------------------------------------------------------------------------


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
    text = re.sub(r"\b(what|when|how|there)'s\b", r"\1 is", re.sub(r"[?.!]+$", "", text))
    text = re.sub(r",(?!\d)", " ", text)
    text = re.sub(r"[@#]", " ? ", text)
    text = re.sub(rf"\bsecond {_NUMBERS_HERE}(?![\w.:])", lambda m: f"@{_digits(m[1])}", text)
    text = re.sub(
        rf"(?<![\w.:@]){_NUMBERS_HERE} ?(?:seconds?|secs?|s)\b", lambda m: f"#{_digits(m[1])}", text
    )
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

    def read(self, words: list[str]) -> set[tuple[_Body, _Time | None]]:
        """The programs of all forms that a sentence has; there is one if the question is understood."""
        found = set[tuple[_Body, _Time | None]]()
        for text, time, zone in _taken_apart(" ".join(words)):
            for pattern, build in _PATTERNS:
                match = pattern.fullmatch(text)
                if match is None or (time and build not in _TIMED) or (zone and build not in _PLACED):
                    continue
                groups = match.groupdict()
                objects = self._objects(groups)
                if objects is None:
                    continue
                try:
                    found.add((build(_Asked(groups, objects, time, zone)), time))
                except _NotOfThisForm:
                    continue
        return found

    def sees(self, word: str) -> bool:
        """Whether a word names objects that can be seen."""
        return self._objects({"what": word}) is not None

    def _objects(self, groups: dict[str, str | None]) -> _Objects | None:
        """The objects that a sentence names; None if it names none, or says more of them than a colour."""
        what = groups.get("what")
        if what is None and groups.get("none") is None:
            return _Objects("")
        objects = _Objects("person") if what is None else self._noun_phrase(what)
        if objects is None:
            return None
        walks = objects.noun in _WALKERS
        if (groups.get("drive") and walks) or (groups.get("walk") and not walks):
            return None
        phrases = self.registry["detect"].sees.phrases.get("what") if "detect" in self.registry else None
        if phrases is None:  # it looks for whatever it is told to
            return objects if self.known.nouns.issuperset(objects.noun.split()) else None
        if not phrases.can_see(objects.noun):
            self.unseen.append(phrases.refusal(objects.noun))
            return None
        return objects

    def _noun_phrase(self, phrase: str) -> _Objects | None:
        words = phrase.split()
        color = words.pop(0) if len(words) > 1 and words[0] in (*NAMES, "gray") else ""
        if words[-1] in _PERSONS:
            words = [*words[:-1], "person"]
        *before, head = *words[:-1], self._singular(words[-1])
        noun = " ".join([*before, head])
        if head == "person" and color:
            return None  # of skin or clothes?
        if noun not in _COMPOUNDS:
            tags = [word.tag for word in tag_words(f"the {' '.join(words)}")][1:]
            if (
                set(tags) != {"noun"}
                or any(map(is_plural, before))
                or not _NO_OBJECTS.isdisjoint((*before, head))
            ):
                return None
        return _Objects(noun, color)

    def _singular(self, word: str) -> str:
        """The singular of a noun, as far as its letters and the known nouns tell it."""
        if not is_plural(word):
            return word
        endings = (("ies", "y"), ("ves", "fe"), ("ves", "f"), ("s", ""), ("es", ""))
        tried = [word.removesuffix(end) + instead for end, instead in endings if word.endswith(end)]
        return next((w for w in tried if w in self.known.nouns), word)


def _taken_apart(text: str) -> Iterator[tuple[str, _Time | None, str]]:
    """A sentence without the time and the place at its ends, with them: in each way in which they can be taken off."""
    todo: list[tuple[str, _Time | None, str, bool]] = [(text, None, "", False)]
    while todo:
        text, time, zone, named = todo.pop()
        yield text, time, zone
        if not named:
            todo += [
                (rest, time, zone, True)
                for rest, _ in _without(text, rf"(?:in|during) (?:the|this) {_VIDEO}")
            ]
        if not zone:
            for rest, match in _without(text, _ZONE):
                side = match["zone"] or match["side"]
                todo.append((rest, time, {"top": "upper", "bottom": "lower"}.get(side, side), named))
        if time is None:
            for pattern in _TIMES:
                for rest, match in _without(text, pattern):
                    if taken := _time(match.groupdict()):
                        todo.append((rest, taken, zone, named))


def _without(text: str, pattern: str) -> Iterator[tuple[str, re.Match[str]]]:
    """The text without what the pattern matches at its end, and without what it matches at its start."""
    for whole in (rf"(?P<rest>.*\S) {pattern}", rf"{pattern} (?P<rest>.*)"):
        if match := re.fullmatch(whole, text):
            yield match["rest"], match


def _time(words: dict[str, str | None]) -> _Time | None:
    """The time that a phrase of `_TIMES` says; None if it says none."""
    a, b, moment, length = (words.get(name) for name in ("a", "b", "moment", "length"))
    if not all(re.fullmatch(r"\d+(?:\.\d+)?", number) for number in (a, b, moment, length) if number):
        return None
    if moment:
        return _Time(moment, moment, named=moment)
    if at := words.get("at"):
        near = "(video.end - 0.5)" if at == "end" else "(video.start + 0.5)"
        return _Time(near, near)
    if half := words.get("half"):
        middle = "(video.start + video.end) / 2"
        start, end = ("video.start", middle) if half == "first" else (middle, "video.end")
        return _Time(start, end, f"video.{half}_half()")
    if part := words.get("part"):
        is_first = part == "first"
        start = "video.start" if is_first else f"video.end - {length}"
        end = f"video.start + {length}" if is_first else "video.end"
        return _Time(start, end, f"video.between({start}, {end})")
    if a and b and not float(a) < float(b):
        return None
    start, end = a or "video.start", b or "video.end"
    return _Time(start, end, f"video.between({start}, {end})", a or b or "")


def _guard(time: _Time | None) -> list[str]:
    if time is None or not time.named:
        return []
    return [
        f"if not video.start <= {time.named} <= video.end:",
        f'    raise NothingFound("the video has no second {time.named}")',
    ]


def _fitted(body: _Body, returns: Type) -> str:
    """The answer as an expression of the type that is asked for.

    Raises:
        Refused: It cannot be.
    """
    fits = {kind for kind, example in _EXAMPLES.items() if returns is None or accepts(returns, example)}
    if body.kind in fits:
        return body.value
    if body.kind == "float" and "int" in fits:
        return f"round({body.value})"
    if body.kind == "int" and "str" in fits:
        return f"str({body.value})"
    answer = {"spans": "a list of spans of time", "str": "a text", "bool": "true or false"}.get(
        body.kind, "a number"
    )
    raise Refused(f"the answer to this question is {answer}, and {render(returns)} was asked for")


def _not_understood(words: list[str], registry: Registry, known: CorpusWords) -> list[str]:
    """The fewest words in a row without which a sentence would be understood; else those that no form has, or all."""
    reader, n = _Reader(registry, known), len(words)
    if n <= MAX_WORDS:
        for length in range(1, n):
            for start in range(n - length, -1, -1):
                if reader.read([*words[:start], *words[start + length :]]):
                    return words[start : start + length]
    forms = " ".join(pattern.pattern for pattern, _ in _PATTERNS)
    unknown = [
        i for i, w in enumerate(words) if not re.search(rf"\b{re.escape(w)}\b", forms) and not reader.sees(w)
    ]
    return words[unknown[0] if unknown else 0 :][:12]

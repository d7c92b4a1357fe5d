"""The programs that answer questions about videos, each built from what a sentence of its form says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ..image_requests.form import NotOfThisForm
from ..support.question import NUMBERS
from .words import HALVES, OPERATORS, PLACES, WAYS, way_of

Kind: TypeAlias = Literal["int", "ints", "float", "bool", "str", "spans"]


@dataclass(frozen=True)
class Time:
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
class TrackedObjects:
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
            raise NotOfThisForm
        return f'count_over_time(video, "{self.noun}")'

    def __str__(self) -> str:
        return f"{self.color} {self.noun}".strip()


@dataclass(frozen=True)
class Sentence:
    """A sentence that has the words of a form.

    Attributes:
        words: What the groups of the form matched.
        objects: What it asks about; no noun if the form has none.
        time, zone: Taken off its ends; None and "" if it has none.
        other: Second kind of object that it names.
    """

    words: dict[str, str | None]
    objects: TrackedObjects
    time: Time | None
    zone: str
    other: TrackedObjects = field(default_factory=lambda: TrackedObjects(""))


@dataclass(frozen=True)
class ProgramBody:
    """What a program does: the kind and expression of its answer, and lines before that."""

    kind: Kind
    value: str
    lines: tuple[str, ...] = field(default=())


def count(asked: Sentence) -> ProgramBody:
    if asked.objects.color:
        return ProgramBody("int", f"len({asked.objects.tracks()})")
    return ProgramBody("int", f'count_unique(video, "{asked.objects.noun}")')


def count_at(asked: Sentence) -> ProgramBody:
    return ProgramBody("int", _number_at(asked))


def _number_at(asked: Sentence) -> str:
    """The number of objects at the moment of the question, which is that of the nearest time."""
    if asked.time is None or not asked.time.is_moment:
        raise NotOfThisForm
    return f"min({asked.objects.counts}, key=lambda sample: abs(sample[0] - {asked.time.start}))[1]"


def extreme(asked: Sentence) -> ProgramBody:
    return ProgramBody(
        "int", f"{'min' if asked.words['least'] else 'max'}(n for _, n in {asked.objects.counts})"
    )


def most_at_once(asked: Sentence) -> ProgramBody:
    return ProgramBody("int", f"max(n for _, n in {asked.objects.counts})")


def direction(asked: Sentence) -> ProgramBody:
    return ProgramBody("int", f"len({_going(asked, _way(asked))})")


def any_goes(asked: Sentence) -> ProgramBody:
    return ProgramBody("bool", f"len({_going(asked, _way(asked))}) > 0")


def all_go(asked: Sentence) -> ProgramBody:
    return ProgramBody("bool", f'all(each.direction == "{_way(asked)}" for each in tracks)', _found(asked))


def one_goes(asked: Sentence) -> ProgramBody:
    return ProgramBody("bool", f'{_chosen(asked)}.direction == "{_way(asked)}"', _choice(asked))


def way_of_one(asked: Sentence) -> ProgramBody:
    lines = (
        *_choice(asked),
        f'if {_chosen(asked)}.direction == "none":',
        f'    raise NothingFound("the {asked.objects} hardly moves")',
    )
    return ProgramBody("str", f"{_chosen(asked)}.direction", lines)


def more_go(asked: Sentence) -> ProgramBody:
    """Whether more go one way than the other."""
    way, other = _two_ways(asked)
    operator = "<" if asked.words.get("fewer") else ">"
    return ProgramBody("bool", f"len({_going(asked, way)}) {operator} len({_going(asked, other)})")


def both_ways(asked: Sentence) -> ProgramBody:
    """How many go one way, and how many the other, in the order of the question."""
    return ProgramBody(
        "ints", "[" + ", ".join(f"len({_going(asked, way)})" for way in _two_ways(asked)) + "]"
    )


def _way(asked: Sentence) -> str:
    towards = asked.words.get("towards") or next(way for way in WAYS if asked.words.get(way))
    return next(way for way in WAYS if way in towards)


def _two_ways(asked: Sentence) -> tuple[str, str]:
    one, other = (way_of(str(asked.words[name])) for name in ("one_way", "other_way"))
    if one == other:
        raise NotOfThisForm
    return one, other


def _going(asked: Sentence, way: str) -> str:
    return asked.objects.tracks(f'each.direction == "{way}"')


def which_first(asked: Sentence) -> ProgramBody:
    one, other = str(asked.objects), str(asked.other)
    if one == other:
        raise NotOfThisForm
    return ProgramBody("str", f'"{one}" if max(a) < min(b) else "{other}"', _two_first(asked))


def before(asked: Sentence) -> ProgramBody:
    return ProgramBody("bool", f"max(a) {'>' if asked.words.get('after') else '<'} min(b)", _two_first(asked))


def _two_first(asked: Sentence) -> tuple[str, ...]:
    """Lines that find when two kinds of objects appear, as lists `a` and `b`, of which one lies before the other: of "a
    car", the first; of "the car", each that is seen, since any may be meant."""
    lines: tuple[str, ...] = ()
    for name, objects, only in (("a", asked.objects, "only"), ("b", asked.other, "only_other")):
        meant = "tracks" if asked.words.get(only) else "tracks[:1]"
        lines += (*_found(asked, objects), f"{name} = [each.first_seen for each in {meant}]")
    return (
        *lines,
        "if max(a) > min(b) - 0.2 and max(b) > min(a) - 0.2:",
        '    raise NothingFound("none is first: they appear together, or one of several before and one after")',
    )


def at_once(asked: Sentence) -> ProgramBody:
    """Whether two kinds of objects are in view at the same time."""
    others = asked.other.tracks()
    return ProgramBody(
        "bool",
        "any(span.overlaps(other) for each in one for span in each.spans for two in others for other in two.spans)",
        (f"one = {asked.objects.tracks()}", f"others = {others}"),
    )


def compared_at_ends(asked: Sentence) -> ProgramBody:
    """Whether there are more, or fewer, at one end of the video than at the other."""
    at_end = asked.words["first_time"] == "end"
    lines = (
        f"samples = {asked.objects.counts}",
        "first = min(samples, key=lambda sample: abs(sample[0] - (video.start + 0.5)))[1]",
        "last = min(samples, key=lambda sample: abs(sample[0] - (video.end - 0.5)))[1]",
    )
    operator = ">" if (asked.words.get("more") is not None) == at_end else "<"
    return ProgramBody("bool", f"last {operator} first", lines)


def appear_within(asked: Sentence) -> ProgramBody:
    """Number of those that come into view in a time."""
    if asked.time is None or asked.time.is_moment:
        raise NotOfThisForm
    within = f"{asked.time.start} <= each.first_seen <= {asked.time.end}"
    return ProgramBody("int", f"len({asked.objects.tracks(within)})")


def any_appears_within(asked: Sentence) -> ProgramBody:
    return ProgramBody("bool", f"{appear_within(asked).value} > 0")


def until(asked: Sentence) -> ProgramBody:
    return ProgramBody("float", f"{_chosen(asked)}.first_seen - video.start", _choice(asked))


def count_of_color(asked: Sentence) -> ProgramBody:
    return ProgramBody("int", f"len({_colored(asked).tracks()})")


def one_has_color(asked: Sentence) -> ProgramBody:
    color = _colored(asked).color
    return ProgramBody("bool", f'has_color(best_view(video, {_chosen(asked)}), "{color}")', _choice(asked))


def all_have_color(asked: Sentence) -> ProgramBody:
    (condition,) = _colored(asked).colored
    return ProgramBody("bool", f"all({condition} for each in tracks)", _found(asked))


def _colored(asked: Sentence) -> TrackedObjects:
    if asked.objects.color or asked.objects.noun == "person":
        raise NotOfThisForm
    return TrackedObjects(asked.objects.noun, str(asked.words["color"]))


def appears(asked: Sentence) -> ProgramBody:
    return ProgramBody("float", f"{_chosen(asked)}.first_seen", _choice(asked))


def first_appears(asked: Sentence) -> ProgramBody:
    return ProgramBody("float", "tracks[0].first_seen", _found(asked))


def leaves(asked: Sentence) -> ProgramBody:
    """The first to appear, unless another leaves first: then it is not said which is meant. The last likewise."""
    place, each = asked.words["place"], _chosen(asked)
    if place not in ("first", "last", "only", None):
        raise NotOfThisForm
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
    return ProgramBody("float", f"{each}.last_seen", lines)


def color(asked: Sentence) -> ProgramBody:
    if asked.objects.color or asked.objects.noun == "person":
        raise NotOfThisForm
    return ProgramBody("str", f"dominant_color(best_view(video, {_chosen(asked)}))", _choice(asked))


def duration(asked: Sentence) -> ProgramBody:
    return ProgramBody("float", f"{_chosen(asked)}.duration", _choice(asked))


def duration_of_any(asked: Sentence) -> ProgramBody:
    spans = f"spans_where([(t, n > 0) for t, n in {asked.objects.counts}])"
    return ProgramBody("float", f"sum(span.duration for span in {spans})")


def times_of_one(asked: Sentence) -> ProgramBody:
    return ProgramBody("spans", f"list({_chosen(asked)}.spans)", _choice(asked))


def length(asked: Sentence) -> ProgramBody:
    return ProgramBody("float", "video.duration")


def times(asked: Sentence) -> ProgramBody:
    return ProgramBody("spans", f"spans_where([(t, {_condition(asked)}) for t, n in {asked.objects.counts}])")


def times_of_most(asked: Sentence) -> ProgramBody:
    lines = (f"samples = {asked.objects.counts}", "most = max(n for _, n in samples)", *_none_if_zero(asked))
    return ProgramBody("spans", "spans_where([(t, n == most) for t, n in samples])", lines)


def _none_if_zero(asked: Sentence) -> tuple[str, ...]:
    return "if most == 0:", f'    raise NothingFound("no {asked.objects} is seen")'


def seconds_of(asked: Sentence) -> ProgramBody:
    """For how long so many are there."""
    spans = f"spans_where([(t, {_condition(asked)}) for t, n in {asked.objects.counts}])"
    return ProgramBody("float", f"sum(span.duration for span in {spans})")


def ever(asked: Sentence) -> ProgramBody:
    """Whether there are ever so many."""
    if not asked.words.get("number") and not asked.words.get("none"):
        raise NotOfThisForm  # whether there are any at all
    condition = _condition(asked, at_least=True)
    return ProgramBody("bool", f"any({condition} for _, n in {asked.objects.counts})")


def always(asked: Sentence) -> ProgramBody:
    return ProgramBody("bool", f"all({_condition(asked)} for _, n in {asked.objects.counts})")


def _condition(asked: Sentence, at_least: bool = False) -> str:
    """What is true of `n` if there are as many as the sentence says; a bare number is that number, or at least that."""
    number, compared, beyond = (asked.words.get(name) for name in ("number", "compared", "beyond"))
    if asked.words.get("none"):
        return "n == 0"
    if not number:
        return "n > 0"
    if beyond and compared:
        raise NotOfThisForm
    operator = OPERATORS.get((beyond or compared or "").strip(), "==")
    if at_least and not beyond and not compared:
        operator = ">="
    return f"n {operator} {NUMBERS.get(number, number)}"


def exists(asked: Sentence) -> ProgramBody:
    time, zone, objects = asked.time, asked.zone, asked.objects
    if time is None and not zone and not objects.color:
        return ProgramBody("bool", f'count_unique(video, "{objects.noun}") > 0')
    if time is not None and time.is_moment:
        return _exists_at(asked, time)
    if time is not None and not zone and not objects.color:
        held = f"{time.start} <= t <= {time.end}"
        return ProgramBody("bool", f"any(n > 0 for t, n in {objects.counts} if {held})")
    inside = [f"seconds_inside(each, {zone}) > 0"] if zone else []
    tracks = f'track({time.part if time else "video"}, "{objects.noun}")'
    lines = (f"{zone} = {HALVES[zone]}",) if zone else ()
    return ProgramBody(
        "bool", f"any({' and '.join([*inside, *objects.colored])} for each in {tracks})", lines
    )


def _exists_at(asked: Sentence, time: Time) -> ProgramBody:
    if not asked.zone and not asked.objects.color:
        return ProgramBody("bool", f"{_number_at(asked)} > 0")
    if not asked.zone:
        return ProgramBody("bool", f"any(each.seen({time.start}) for each in {asked.objects.tracks()})")
    axis, side = ("x", "width") if asked.zone in ("left", "right") else ("y", "height")
    operator = "<" if asked.zone in ("left", "upper") else ">="
    half = f"place.center.{axis} {operator} video.{side} / 2"
    lines = (
        f"tracks = {asked.objects.tracks()}",
        f"places = [each.at({time.start}) for each in tracks]",
    )
    return ProgramBody("bool", f"any({half} for place in places if place)", lines)


def exists_ever(asked: Sentence) -> ProgramBody:
    return exists(asked)


def exists_there(asked: Sentence) -> ProgramBody:
    if asked.time is None and not asked.zone:
        raise NotOfThisForm
    return exists(asked)


def inside_at(asked: Sentence) -> ProgramBody:
    """Whether one object is in a half of the picture at a moment."""
    if asked.time is None or not asked.time.is_moment or not asked.zone:
        raise NotOfThisForm
    lines = (*_choice(asked), f"place = {_chosen(asked)}.at({asked.time.start})")
    return ProgramBody("bool", f"place is not None and {_in_half('place', asked.zone)}", lines)


def count_inside_at(asked: Sentence) -> ProgramBody:
    """Number of objects in a half of the picture at a moment."""
    if asked.time is None or not asked.time.is_moment or not asked.zone:
        raise NotOfThisForm
    lines = (f"places = [each.at({asked.time.start}) for each in {asked.objects.tracks()}]",)
    return ProgramBody(
        "int", f"len([place for place in places if place and {_in_half('place', asked.zone)}])", lines
    )


def seconds_in_half(asked: Sentence) -> ProgramBody:
    if not asked.zone:
        raise NotOfThisForm
    lines = (*_choice(asked), f"{asked.zone} = {HALVES[asked.zone]}")
    return ProgramBody("float", f"seconds_inside({_chosen(asked)}, {asked.zone})", lines)


def _in_half(place: str, zone: str) -> str:
    axis, side = ("x", "width") if zone in ("left", "right") else ("y", "height")
    operator = "<" if zone in ("left", "upper") else ">="
    return f"{place}.center.{axis} {operator} video.{side} / 2"


def _found(asked: Sentence, objects: TrackedObjects | None = None) -> tuple[str, ...]:
    """Lines that find the tracks, and end the program if there is none."""
    objects = objects or asked.objects
    return (
        f"tracks = {objects.tracks()}",
        "if not tracks:",
        f'    raise NothingFound("no {objects} is seen")',
    )


def _alone(objects: TrackedObjects) -> tuple[str, ...]:
    """Lines that end the program if there are several tracks."""
    return (
        "if len(tracks) > 1:",
        f'    raise NothingFound(f"{{len(tracks)}} are seen, not one {objects}: ask for the first or last")',
    )


def _choice(asked: Sentence) -> tuple[str, ...]:
    """Lines that find the tracks, and end the program if there is none for `_chosen`."""
    place = asked.words["place"]
    lines = _found(asked)
    if place in (None, "only"):
        lines += _alone(asked.objects)
    elif place != "last" and PLACES[str(place)] > 1:
        number = PLACES[str(place)]
        lines += (
            f"if len(tracks) < {number}:",
            f'    raise NothingFound(f"only {{len(tracks)}} are seen: there is no {place} {asked.objects}")',
        )
    return lines


def _chosen(asked: Sentence) -> str:
    place = asked.words["place"]
    return f"tracks[{-1 if place == 'last' else PLACES.get(str(place), 1) - 1}]"

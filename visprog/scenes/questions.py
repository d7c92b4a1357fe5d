"""Questions about a scene, each with its answer and a program that finds it."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .facts import NOUNS, Mention, matches, plural, with_article
from .objects import COLORS, DIRECTIONS, MIN_OFFSET, SIZES, TEXTURES, SceneObject, is_held_out, offset
from .phrases import PhraseSampler
from .shapes import SHAPES
from .wordings import COLOR_QUESTIONS, PROGRAMS, QUESTION_TYPES, WORDINGS

MIN_AREA_RATIO = 1.7
"""By what factor the areas of two boxes must differ for one to be called larger."""

RELATIVE = {"left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"}

Answer = str | bool | int


class Ground(NamedTuple):
    """What a part of a question means.

    Attributes:
        phrase: in the singular: "red circle", "largest thing", "thing left of".
        objects: all that it fits.
    """

    phrase: str
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True)
class SceneQuestion:
    """A question about one image.

    Attributes:
        text: as a person would ask it.
        answer: a bool for a yes/no question, an int for a count, else a word.
        type: one of QUESTION_TYPES.
        program: a visprog program that answers it.
        grounds: what the answer rests on, in the order in which it has to be found.
        claim: what the question asserts of two objects, where it does: an axis, "x", "y" or "size", along which the
            first comes before the second.
    """

    text: str
    answer: Answer
    type: str
    program: str
    grounds: tuple[Ground, ...] = ()
    claim: tuple[str, SceneObject, SceneObject] | None = None

    @property
    def answer_text(self) -> str:
        """The answer in words: "yes", "no", "3", "red"."""
        if isinstance(self.answer, bool):
            return "yes" if self.answer else "no"
        return str(self.answer)


def make_questions(
    objects: Sequence[SceneObject],
    rng: random.Random,
    count: int,
    types: Sequence[str] = QUESTION_TYPES,
    *,
    color: bool = True,
    rare: bool = False,
) -> list[SceneQuestion]:
    """Up to `count` different questions; fewer where the objects do not give more.

    Yes and no are equally likely whatever is asked, so that the words of a question tell little of its answer.

    Args:
        types: to choose from, each as often.
        color: colours may be spoken of.
        rare: so may combinations that training never shows.

    Raises:
        ValueError: an unknown type.
    """
    unknown = set(types) - set(QUESTION_TYPES)
    if unknown:
        raise ValueError(f"unknown type of question '{min(unknown)}': use {', '.join(QUESTION_TYPES)}")
    usable = [question_type for question_type in types if color or question_type not in COLOR_QUESTIONS]
    maker = QuestionMaker(objects, rng, color, rare)
    found: dict[str, SceneQuestion] = {}
    for _ in range(4 * count if usable else 0):
        if len(found) == count:
            break
        question = maker.make(rng.choice(usable))
        if question is not None:
            found.setdefault(question.text, question)
    return list(found.values())


def area(obj: SceneObject) -> float:
    """Of the bounding box, in squared widths of the image."""
    left, top, right, bottom = obj.extent
    return (right - left) * (bottom - top)


def gap(a: SceneObject, b: SceneObject) -> float:
    """Between two bounding boxes along the axis where they are farther apart; < 0 where they overlap."""
    p, q = a.extent, b.extent
    return max(p[0] - q[2], q[0] - p[2], p[1] - q[3], q[1] - p[3])


EXTREMES: dict[str, tuple[Callable[[SceneObject], float], float]] = {
    "largest": (lambda t: -math.log(area(t)), math.log(MIN_AREA_RATIO)),
    "smallest": (lambda t: math.log(area(t)), math.log(MIN_AREA_RATIO)),
    "leftmost": (lambda t: t.x, MIN_OFFSET),
    "rightmost": (lambda t: -t.x, MIN_OFFSET),
    "topmost": (lambda t: t.y, MIN_OFFSET),
    "bottommost": (lambda t: -t.y, MIN_OFFSET),
}
"""Helper of that name → what is least for the object that it names, and by how much it must be so."""


_PHRASE = rf"(?:an? )?(?:(?:{'|'.join((*SIZES, *COLORS, *TEXTURES[1:]))}) )*(?:{'|'.join(NOUNS)})"
_WORD = f"(?:{'|'.join((*TEXTURES[1:], *RELATIVE.values(), *EXTREMES, 'larger', 'smaller'))})"
_WORDED = re.compile(
    "|".join(
        re.sub(r"\\\{(\w+)\\\}", lambda slot: _WORD if slot[1] == "word" else _PHRASE, re.escape(wording))
        for wordings in WORDINGS.values()
        for wording in wordings
    ),
    re.IGNORECASE,
)


def is_worded(text: str) -> bool:
    """True if a question is one that could be asked here, of this scene or another."""
    return _WORDED.fullmatch(" ".join(text.split()).rstrip(" ?.!") + "?") is not None


class QuestionMaker:
    """Makes questions about some objects."""

    def __init__(self, objects: Sequence[SceneObject], rng: random.Random, color: bool, rare: bool) -> None:
        self.objects, self.rng, self.rare = objects, rng, rare
        self.phrases = PhraseSampler(objects, rng, color, rare)
        self._makers: dict[str, Callable[[], SceneQuestion | None]] = {
            "existence": self._existence, "count": self._count, "color": lambda: self._attribute("color"),
            "shape": lambda: self._attribute("shape"), "texture": self._texture, "size": self._size,
            "relation": self._relation, "relation_color": lambda: self._related("color"),
            "relation_shape": lambda: self._related("shape"), "extreme_color": lambda: self._extreme("color"),
            "extreme_shape": lambda: self._extreme("shape"), "compare_counts": self._compare,
            "and": lambda: self._logic("and"), "or": lambda: self._logic("or"),
        }  # fmt: skip

    def make(self, question_type: str) -> SceneQuestion | None:
        """A question of a type; None if these objects do not seem to give one."""
        tries = (self._makers[question_type]() for _ in range(6))
        return next((question for question in tries if question is not None), None)

    # -- types -----------------------------------------------------------------------------------

    def _existence(self) -> SceneQuestion | None:
        answer = self.phrases.coin()
        return self._made("existence", answer, self.phrases.draw(answer))

    def _count(self) -> SceneQuestion | None:
        counts: dict[int, list[Mention]] = {0: [self.phrases.draw(False)]}
        for mention in [Mention(), *(m for obj in self.objects for m in self.phrases.ways(obj))]:
            counts.setdefault(self.phrases.fitting(mention), []).append(mention)
        number = self.rng.choice(sorted(counts))
        return self._made("count", number, self.rng.choice(counts[number]))

    def _attribute(self, question_type: str) -> SceneQuestion | None:
        found = self.phrases.unique(without=question_type)
        return found and self._made(question_type, getattr(found[0], question_type), found[1])

    def _texture(self) -> SceneQuestion | None:
        large = [obj for obj in self.objects if obj.size != "small"]  # the small are never patterned
        patterned = [obj for obj in large if obj.texture != "solid"]
        answer = self.phrases.coin()
        found = self.phrases.unique(patterned if answer or self.phrases.coin() else large)
        if not patterned or found is None:
            return None
        obj, mention = found
        others = [
            t for t in TEXTURES[1:]
            if t != obj.texture and (self.rare or not is_held_out(obj.shape, texture=t))
        ]  # fmt: skip
        word = obj.texture if answer else self.rng.choice(others)
        ground = self._ground(mention._replace(texture=word))
        return self._made("texture", answer, mention, word=word, ground=ground)

    def _size(self) -> SceneQuestion | None:
        pair = self.phrases.pair()
        if pair is None:
            return None
        (a, first), (b, second) = pair
        ratio = area(a) / area(b)
        if 1 / MIN_AREA_RATIO < ratio < MIN_AREA_RATIO:
            return None
        word = self.rng.choice(("larger", "smaller"))
        answer = (ratio > 1) == (word == "larger")
        claim = ("size", b, a) if word == "larger" else ("size", a, b)
        return self._made("size", answer, first, second, word=word, claim=claim)

    def _relation(self) -> SceneQuestion | None:
        pair = self.phrases.pair()
        if pair is None:
            return None
        (a, first), (b, second) = pair
        clear = [d for d in DIRECTIONS if abs(offset(a, d, b)) >= MIN_OFFSET]
        if not clear:
            return None
        direction = self.rng.choice(clear)
        answer = offset(a, direction, b) > 0
        (axis, sign), method = DIRECTIONS[direction], direction.replace(" ", "_")
        claim = (axis, a, b) if sign < 0 else (axis, b, a)
        word = RELATIVE[direction]
        return self._made("relation", answer, first, second, word=word, method=method, claim=claim)

    def _related(self, what: str) -> SceneQuestion | None:
        found = self.phrases.unique()
        if found is None:
            return None
        anchor, mention = found
        direction = self.rng.choice(list(DIRECTIONS))
        others = [obj for obj in self.objects if obj is not anchor]
        there = [obj for obj in others if offset(obj, direction, anchor) > 0]
        if len(there) != 1 or any(abs(offset(t, direction, anchor)) < MIN_OFFSET / 2 for t in others):
            return None
        (target,) = there
        if offset(target, direction, anchor) < MIN_OFFSET or gap(target, anchor) <= 0.02:
            return None
        answer = getattr(target, what)
        word = RELATIVE[direction]
        method, ground = direction.replace(" ", "_"), Ground(f"thing {direction}", (target,))
        return self._made(f"relation_{what}", answer, mention, word=word, method=method, ground=ground)

    def _extreme(self, what: str) -> SceneQuestion | None:
        word = self.rng.choice(list(EXTREMES))
        measure, least = EXTREMES[word]
        ranked = sorted(map(measure, self.objects))
        if len(ranked) > 1 and ranked[1] - ranked[0] < least:
            return None
        target = min(self.objects, key=measure)
        ground = Ground(f"{word} thing", (target,))
        return self._made(f"extreme_{what}", getattr(target, what), None, word=word, ground=ground)

    def _compare(self) -> SceneQuestion | None:
        answer = self.phrases.coin()
        for _ in range(10):
            one, other = self.phrases.draw(True), self.phrases.draw(self.rng.random() < 0.6)
            counts = self.phrases.fitting(one), self.phrases.fitting(other)
            if counts[0] != counts[1] and (counts[0] > counts[1]) != answer:
                return self._made("compare_counts", answer, other, one)
            if one != other and (counts[0] > counts[1]) == answer:
                return self._made("compare_counts", answer, one, other)
        return None

    def _logic(self, question_type: str) -> SceneQuestion:
        answer = self.phrases.coin()
        while True:
            if answer == (question_type == "and"):  # both are there, or neither is
                one, other = (self.phrases.draw(answer), self.phrases.draw(answer))
            else:
                first = self.phrases.coin()
                one, other = self.phrases.draw(first), self.phrases.draw(not first)
            if one != other:
                return self._made(question_type, answer, one, other)

    def _made(
        self,
        question_type: str,
        answer: Answer,
        p: Mention | None,
        q: Mention | None = None,
        word: str = "",
        method: str = "",
        ground: Ground | None = None,
        claim: tuple[str, SceneObject, SceneObject] | None = None,
    ) -> SceneQuestion:
        first, second = str(p or Mention()), str(q or "")
        bare, bare2 = (str(m._replace(size=None)) if m else "" for m in (p, q))
        slots = {
            "p": first, "q": second, "bare": bare, "bare2": bare2,
            "word": word, "a": with_article(first), "many": plural(first),
            "a2": with_article(second) if second else "", "many2": plural(second), "method": method,
            "compare": ">" if word == "larger" else "<", "shapes": ", ".join(f'"{s}"' for s in SHAPES),
            "statement": with_article(f"{word} {(p and p.shape) or 'thing'}"),
        }  # fmt: skip
        text = self.rng.choice(WORDINGS[question_type]).format(**slots)
        grounds = [self._ground(mention) for mention in (p, q) if mention is not None]
        grounds += [ground] if ground else []
        return SceneQuestion(
            text, answer, question_type, PROGRAMS[question_type].format(**slots), tuple(grounds), claim
        )

    def _ground(self, mention: Mention) -> Ground:
        return Ground(str(mention), tuple(obj for obj in self.objects if matches(obj, mention)))

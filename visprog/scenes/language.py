"""What can be said of a scene: captions of several lengths, phrases for single objects, and near misses."""

from __future__ import annotations

import random
import re
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from .facts import NOUNS, NUMBERS, RELATION_PHRASES, agrees, facts_of, plural, with_article
from .objects import COLORS, OPPOSITE, SIZES, TEXTURES, SceneObject, is_held_out
from .shapes import SHAPES

LEVELS = ("short", "plain", "full")
FRAMES = (
    "{}",
    "there {be} {}",
    "a picture of {}",
    "the picture shows {}",
    "here we see {}",
    "a drawing with {}",
)
VARIANTS = len(FRAMES) + 1
NEGATIVE_SLACK = 0.06
"""A reversed relation is a negative only where it fails by more than this, in widths of the image."""

GRID = 12
"""Columns and rows that `cell` tells places in."""

Relation = tuple[int, str, int]


def caption(
    objects: Sequence[SceneObject],
    relations: Sequence[Relation],
    key: str,
    level: str,
    variant: int,
    *,
    color: bool = True,
) -> str:
    """One caption.

    Args:
        relations: those that hold clearly; needed for the level "full" only.
        key: seed of the random choices.
        level: "short", "plain" or "full".
        variant: 0 for the simplest words, objects from left to right; up to VARIANTS - 1 for others.
        color: name colours.

    Raises:
        ValueError: an unknown level.
    """
    if level not in LEVELS:
        raise ValueError(f"unknown level '{level}' of captions: use one of {', '.join(LEVELS)}")
    subject = random.Random(f"{key}/{level}")  # what is spoken of is the same in all variants
    frame = FRAMES[max(variant - 1, 0)]
    if level == "short":
        return frame.format(with_article(phrase(subject.choice(objects), color=color)), be="is")
    full = level == "full"
    related = _relation(objects, relations, subject, color) if full else None
    order = sorted(range(len(objects)), key=lambda i: objects[i].x)
    if variant == 0:
        return _sentence(objects, order, related, full, color, frame)
    rng = random.Random(f"{key}/{level}/{variant}")
    rng.shuffle(order)
    return _sentence(objects, order, related, full, color, frame, rng)


def listing(objects: Sequence[SceneObject], *, color: bool = True) -> str:
    """All that is visible of all objects, from left to right, with an object's cell before and after whatever may be
    asked for: "d 3 small d 3 red d 3 circle d 3 ; k 6 large k 6 striped blue k 6 square k 6". Who writes knows from
    the first where to look; who reads finds what a word is true of right after it."""
    found = []
    for obj in from_left(objects):
        looks = phrase(replace(obj, shape=""), color=color, texture=True).strip()
        parts = [part for part in (obj.size, looks, obj.shape) if part]
        found.append(f" {cell(obj)} ".join(["", *parts, ""]).strip())
    return " ; ".join(found)


def cell(obj: SceneObject) -> str:
    """Where the middle of an object lies in a grid of GRID columns and rows: a letter from the left and a number from
    the top, "d 3"."""
    column, row = (min(max(int(at * GRID), 0), GRID - 1) for at in (obj.x, obj.y))
    return f"{string.ascii_lowercase[column]} {row + 1}"


def from_left(objects: Iterable[SceneObject]) -> list[SceneObject]:
    return sorted(objects, key=lambda obj: (obj.x, obj.y))


def region_caption(obj: SceneObject, rng: random.Random, *, color: bool = True) -> str:
    """A phrase for one object, of random detail: mostly colour and shape."""
    detail = rng.random()
    if detail < 0.5:
        return phrase(obj, color=color)
    if detail < 0.7:
        return phrase(obj, color=color and detail < 0.6, size=True)
    if detail < 0.9:
        return phrase(obj, color=color and detail < 0.8, texture=True)
    return phrase(obj, color=color, size=True, texture=True, texture_last=detail < 0.95)


def phrase(
    obj: SceneObject,
    *,
    color: bool = True,
    size: bool = False,
    texture: bool = False,
    texture_last: bool = False,
) -> str:
    """A noun phrase for an object; solid is not named."""
    pattern = obj.texture if texture and obj.texture != "solid" else ""
    hue = obj.color if color else ""
    words = (obj.size if size else "", *((hue, pattern) if texture_last else (pattern, hue)), obj.shape)
    return " ".join(word for word in words if word)


def negatives(
    caption: str, objects: Sequence[SceneObject], rng: random.Random, *, rare: bool = False
) -> list[str]:
    """Near misses of a caption that are not true of the objects; see `Scene.negatives`.

    Args:
        rare: they may name combinations that training never shows.
    """
    found = []
    for candidate in dict.fromkeys(_edits(caption, rng)):
        read = facts_of(candidate)
        if read is None or agrees(read, objects, slack=NEGATIVE_SLACK):
            continue
        if rare or not any(is_held_out(m.shape, m.color, m.texture) for m in read.mentions):
            found.append(candidate)
    rng.shuffle(found)
    return found


def _sentence(
    objects: Sequence[SceneObject],
    order: Sequence[int],
    related: Relation | None,
    full: bool,
    color: bool,
    frame: str,
    rng: random.Random | None = None,
) -> str:
    """One caption of all objects; without `rng` in the simplest words."""
    last = rng is not None and rng.random() < 0.3
    names = [phrase(t, color=color, size=full, texture=full, texture_last=last) for t in objects]
    if related is None:
        groups = _groups([names[i] for i in order])
        plural_verb = groups[0] != with_article(names[order[0]])
        return frame.format(_listed(groups), be="are" if plural_verb else "is")
    a, relation, b = related
    if rng is not None and relation in OPPOSITE and rng.random() < 0.5:
        a, relation, b = b, OPPOSITE[relation], a
    says = RELATION_PHRASES[relation]
    how = says[0] if rng is None else rng.choice(says)
    if rng is not None and rng.random() < 0.3:
        groups = _groups([names[i] for i in order])
        be = "is" if groups[0] == with_article(names[order[0]]) else "are"
        return f"{frame.format(_listed(groups), be=be)}; the {names[a]} is {how} the {names[b]}"
    rest = _groups([names[i] for i in order if i not in (a, b)])
    pair = f"{with_article(names[a])} {how} {with_article(names[b])}"
    return frame.format(pair, be="is") + (f", with {_listed(rest)}" if rest else "")


def _relation(
    objects: Sequence[SceneObject], relations: Sequence[Relation], rng: random.Random, color: bool
) -> Relation | None:
    """A relation between two objects whose full names fit no other, if there is one."""
    names = [phrase(t, color=color, size=True, texture=True) for t in objects]
    found = [(i, r, j) for i, r, j in relations if names.count(names[i]) == 1 == names.count(names[j])]
    return rng.choice(found) if found else None


def _groups(names: Sequence[str]) -> list[str]:
    """ "red circle", "blue square", "red circle" → "two red circles", "a blue square"."""
    found = []
    for name in dict.fromkeys(names):
        count = names.count(name)
        found.append(f"{NUMBERS[count]} {plural(name)}" if count > 1 else with_article(name))
    return found


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


# -- near misses -------------------------------------------------------------------------------------

_TOKEN = re.compile(r"\w+|\W+")
_FLIPS = [
    (re.compile(rf"\b{re.escape(said)}\b"), RELATION_PHRASES[OPPOSITE[name]][k])
    for name, phrases in RELATION_PHRASES.items()
    if name in OPPOSITE
    for k, said in sorted(enumerate(phrases), key=lambda pair: -len(pair[1]))
]


def _edits(caption: str, rng: random.Random) -> Iterator[str]:
    """Captions that differ in one or two words, true or not."""
    for pattern, opposite in _FLIPS:
        if pattern.search(caption):
            yield pattern.sub(opposite, caption, count=1)
            break
    tokens = _TOKEN.findall(caption)
    for words in (COLORS, SHAPES, SIZES, TEXTURES[1:]):
        at = [k for k, token in enumerate(tokens) if _singular(token) in words]
        for i, j in combinations(at, 2):
            if _singular(tokens[i]) != _singular(tokens[j]):
                one, other = _like(tokens[j], tokens[i]), _like(tokens[i], tokens[j])
                yield _joined([*tokens[:i], one, *tokens[i + 1 : j], other, *tokens[j + 1 :]])
        for i in at:
            other = rng.choice([word for word in words if word != _singular(tokens[i])])
            yield _joined([*tokens[:i], _like(other, tokens[i]), *tokens[i + 1 :]])
    yield from _recounted(tokens, rng)


def _recounted(tokens: list[str], rng: random.Random) -> Iterator[str]:
    """Each number changed; "a" to "two" with its noun in the plural."""
    for i, token in enumerate(tokens):
        if token in NUMBERS[2:]:
            count = NUMBERS.index(token)
            other = NUMBERS[count + 1 if count == 2 or (rng.random() < 0.5 and count < 9) else count - 1]
            yield _joined([*tokens[:i], other, *tokens[i + 1 :]])
        elif token in ("a", "an"):
            words = (k for k in range(i + 1, len(tokens)) if tokens[k].isalpha())
            noun = next((k for k in words if not _is_attribute(tokens[k])), None)
            if noun is not None and tokens[noun] in SHAPES:
                many = plural(tokens[noun])
                yield _joined([*tokens[:i], "two", *tokens[i + 1 : noun], many, *tokens[noun + 1 :]])


def _is_attribute(word: str) -> bool:
    return word in COLORS or word in SIZES or word in TEXTURES


def _singular(word: str) -> str:
    return NOUNS.get(word) or word


def _like(word: str, example: str) -> str:
    """`word` in the number of `example`, where they are nouns."""
    shape = _singular(word)
    if shape not in SHAPES:
        return word
    return plural(shape) if example not in SHAPES else shape


def _joined(tokens: Sequence[str]) -> str:
    """The text, with "a" and "an" as the words after them ask for."""
    text = "".join(tokens)
    return re.sub(r"\ban? (?=(\w))", lambda m: "an " if m[1] in "aeiou" else "a ", text)

"""Generated scenes: random objects that programs search for, with known places, colours and names."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...values import Box, Circle, Grid, Line, Located, Point, Polygon, Region
from ...values.image import Image
from .asked_words import QuestionWords
from .wording import is_a, is_person

WIDTH, HEIGHT = 640, 480
_BLANK = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
_COLORS = ("red", "blue", "green", "yellow", "black", "white", "brown", "grey", "orange", "pink", "purple")
_OTHERS = ("lantern", "rock", "barrel", "statue", "cactus", "globe")
_WORDS = ("harbour", "violet", "quartz", "meadow", "falcon", "copper", "ribbon", "walnut", "pepper", "orchid")
_BASES = (("man", "adult"), ("woman", "adult"), ("boy", "child"), ("girl", "child"))
_PLAIN_PEOPLE = ("person", "man", "woman", "child", "boy", "girl", "adult", "face")
_CORNERS = {"triangle": 3, "pentagon": 5, "hexagon": 6, "heptagon": 7, "octagon": 8, "star": 10}
_FOUR = ("square", "rectangle", "diamond", "rhombus", "parallelogram", "trapezoid")
SHAPES = ("circle", *_CORNERS, *_FOUR)
_KINDS_OF_SHAPE = {
    "square": ("square", "rectangle", "rhombus", "parallelogram", "quadrilateral"),
    "rectangle": ("rectangle", "parallelogram", "quadrilateral"),
    "diamond": ("diamond", "rhombus", "parallelogram", "quadrilateral"),
    "rhombus": ("rhombus", "diamond", "parallelogram", "quadrilateral"),
    "parallelogram": ("parallelogram", "quadrilateral"),
    "trapezoid": ("trapezoid", "quadrilateral"),
}
_DRAWN = ("find_circles", "find_polygons", "find_lines", "find_grid", "intersections")


@dataclass(frozen=True, eq=False)
class WorldImage(Image):
    """An image of a world: blank pixels, and the edits that were applied.

    Attributes:
        done: Edits, each with its name and the regions that it was applied to.
    """

    done: frozenset[tuple[Any, ...]] = frozenset()


@dataclass(frozen=True)
class WorldObject:
    """One object of an image.

    Attributes:
        nouns: Nouns that name it.
        value: Value that the tools return for it: a region, or a shape of a drawing.
        color: Basic name of its colour.
        salt: Random number that identifies it, and determines which statements about it are true.
        score: Confidence that the tools report.
        label: Text that the tools return with it; empty for its noun.
    """

    nouns: frozenset[str]
    value: Located
    color: str
    salt: int
    score: float
    label: str = ""

    @property
    def box(self) -> Box:
        return self.value.box

    def is_a(self, name: str) -> bool:
        """Whether a noun names this object, or a class that contains it."""
        if name == "thing":
            return not self.nouns & {"face", "text", "line"}
        return any(is_a(noun, name) for noun in self.nouns)


@dataclass
class WorldScene:
    """The content of one image."""

    image: WorldImage
    objects: list[WorldObject]
    texts: list[Region]
    grid: Grid | None
    color: str
    salt: int

    def __post_init__(self) -> None:
        self.by_box = {edges(t.box): t for t in self.objects}


class SceneMaker:
    """Generator of the images of one world."""

    def __init__(self, words: QuestionWords, rng: random.Random) -> None:
        self.words = words
        self.rng = rng
        mentioned = [c for c in words.colors if c in _COLORS or c in ("cyan", "beige")]
        others = [c for c in _COLORS if c not in mentioned]
        self.colors = mentioned + rng.sample(others, max(1, 4 - len(mentioned)))
        self.usual = rng.choice(self.colors)
        self.uniform = rng.choice((0.0, 0.0, 0.0, 0.5, 0.9))
        self.numbers = [n for n in map(abs, words.numbers) if n]
        self.equal = rng.choice((None, None, None, rng.randint(1, 4)))
        self.gathers = rng.random() < 0.25
        self.people = any(map(is_person, words.nouns)) or bool(
            {"find_faces"} & words.tools or {"face"} & {*words.nouns}
        )
        shapes = [n for n in words.nouns if n in SHAPES]
        self.shapes = shapes if shapes or words.tools & {*_DRAWN} else []
        self.drawing = bool(words.tools & {*_DRAWN}) or bool(
            {*words.nouns} & {*SHAPES, "shape", "polygon", "line"}
        )

    def scenes(self, images: int) -> list[WorldScene]:
        return [self._scene(i) for i in range(images)]

    def _scene(self, index: int) -> WorldScene:
        image = WorldImage(_BLANK, None, f"picture {index + 1}")
        plans = [(noun, self.rng.random()) for noun in self._contents()]
        plans.sort(key=lambda p: -p[1])
        objects: list[WorldObject] = []
        for noun, size in plans:
            made = self._object(noun, size, objects, image)
            if made is not None:
                objects.append(made)
        objects += self._faces(objects, image)
        objects += self._lines(image)
        objects.sort(key=lambda t: -t.score)
        grid = None
        if "find_grid" in self.words.tools and self.rng.random() < 0.9:
            grid = Grid(self.rng.randint(2, 9), self.rng.randint(2, 9), Box(20, 20, 500, 400))
        return WorldScene(image, objects, self._texts(objects, image), grid, self._color(), self._salt())

    def _contents(self) -> list[str]:
        """The nouns of the objects of an image, each repeated once per object."""
        rng, found = self.rng, []
        nouns = [
            n for n in self.words.nouns if n not in ("face", "text", "line", "thing", "shape", "polygon")
        ]
        roles = [n for n in nouns if is_person(n) and n not in _PLAIN_PEOPLE]
        for noun in nouns:
            if noun in _PLAIN_PEOPLE or noun in ("quadrilateral",):
                continue
            found += [noun] * self._count(noun)
            if (
                " " in noun and rng.random() < 0.7 and noun not in roles
            ):  # a related object: a sign that is not a stop sign
                found.append(noun.split()[-1])
        if self.people:
            found += self._people()
        if self.drawing:
            extra = rng.sample(SHAPES[:8], 2)
            more = sorted({"circle", *extra} - {*nouns})
            more = [
                s
                for s in more
                if not any((k, "") in self.words.known for k in (s, *_KINDS_OF_SHAPE.get(s, ())))
            ]
            found += [s for s in more for _ in range(rng.randint(0, 3))]
            if ("circle", "") in self.words.known and "circle" not in nouns:
                found += ["circle"] * self._count("circle")
        if "find_qr_codes" in self.words.tools and "qr code" not in nouns:
            found += ["qr code"] * self._count("qr code")
        if {"thing"} & {*self.words.nouns} or not self.drawing:
            found += [n for n in rng.sample(_OTHERS, 2) if n not in nouns]
        return found

    def _people(self) -> list[str]:
        """Men, women, boys and girls; the count of the question if it is about people in general."""
        rng, named = self.rng, {*self.words.nouns}
        if "person" in named and rng.random() < 0.5:
            return [rng.choice(_BASES)[0] for _ in range(self._count("person"))]
        found = []
        for base, age in _BASES:
            found += [base] * (self._count(base) if named & {base, age} else rng.randint(0, 2))
        return found

    def _count(self, noun: str) -> int:
        rng = self.rng
        maximum = self.words.known.get((noun, ""))
        if maximum:
            return maximum if rng.random() < 0.9 else 0
        if any(n == noun for n, _ in self.words.known):
            return rng.randint(1, 4)
        if self.equal is not None and rng.random() < 0.9:
            return self.equal * rng.choice((1, 1, 1, 2))
        if self.numbers and rng.random() < 0.6:
            return max(0, min(rng.choice(self.numbers) + rng.choice((-1, 0, 0, 1, 2)), 18))
        return rng.choice((0, 0, 0, 1, 1, 1, 2, 2, 3, 4, 5))

    def _color(self) -> str:
        return self.usual if self.rng.random() < self.uniform else self.rng.choice(self.colors)

    def _color_of(self, noun: str, others: Sequence[WorldObject]) -> str:
        """A random colour, but of "the red car" there is only one."""
        known = [color for name, color in self.words.known if name == noun and color]
        there = {t.color for t in others if noun in t.nouns}
        missing = [c for c in known if c not in there]
        if missing and self.rng.random() < 0.9:
            return missing[0]
        color = self._color()
        free = [c for c in (*self.colors, *_COLORS) if c not in known]
        return self.rng.choice(free[:3]) if color in known and color in there else color

    def _salt(self) -> int:
        return self.rng.getrandbits(32)

    def _object(
        self, noun: str, size: float, others: Sequence[WorldObject], image: WorldImage
    ) -> WorldObject | None:
        rng = self.rng
        box = self._place(size, [t for t in others if noun not in t.nouns], [t.box for t in others])
        if box is None:
            return None
        color, nouns = self._color_of(noun, others), {noun}
        if is_person(noun):
            nouns |= _base(noun, rng)
        elif noun in self._bases():
            roles = [
                n for n in self.words.nouns if is_person(n) and n not in _PLAIN_PEOPLE and _suits(n, noun)
            ]
            nouns |= {"adult"} if noun in ("man", "woman") else set()
            nouns |= {rng.choice(roles)} if roles and rng.random() < 0.3 else set()
        value: Located = Region(box, noun, 1.0, image)
        if noun in SHAPES:
            value = _shape(noun, box, color, image)
            nouns |= {*_KINDS_OF_SHAPE.get(noun, ()), "shape"} | ({"polygon"} if noun != "circle" else set())
        label = f"code-{rng.randint(100, 999)}" if noun == "qr code" else ""
        return WorldObject(frozenset(nouns), value, color, self._salt(), round(rng.uniform(0.5, 1), 6), label)

    @staticmethod
    def _bases() -> tuple[str, ...]:
        return tuple(base for base, _ in _BASES)

    def _place(self, size: float, hosts: Sequence[WorldObject], boxes: Sequence[Box]) -> Box | None:
        """A free place: alone, within another object, or partly on one; never slightly across an edge."""
        rng = self.rng
        for _ in range(25):
            width, height = (12 + 120 * (size * rng.uniform(0.6, 1.2)) ** 1.5 for _ in "xy")
            host = None
            if hosts and rng.random() < 0.6:
                asked = [t for t in hosts if not t.nouns.isdisjoint(self.words.nouns)]
                among = asked if asked and rng.random() < 0.7 else hosts
                host = among[0].box if self.gathers else rng.choice(among).box
                most = 0.2 if self.gathers else 0.42
                width, height = (v * rng.uniform(0.12, most) for v in (host.width, host.height))
                left = rng.uniform(host.left, host.right - width)
                top = rng.uniform(host.top, host.bottom - height)
                if rng.random() < 0.4:
                    top = host.top - height * rng.uniform(0.25, 0.45)
            else:
                left, top = rng.uniform(0, WIDTH - width), rng.uniform(0, HEIGHT - height)
            if width < 3 or height < 3 or top < 0:
                continue
            box = Box(left, top, left + width, top + height)
            if all(b is host or _is_clear(box, b) for b in boxes):
                return box
        return None

    def _faces(self, objects: Sequence[WorldObject], image: WorldImage) -> list[WorldObject]:
        found = []
        for obj in objects:
            if obj.is_a("person") and self.rng.random() < 0.75:
                b, x = obj.box, obj.box.center.x
                half, top = 0.15 * b.width, b.top + 0.03 * b.height
                box = Box(x - half, top, x + half, top + 0.2 * b.height)
                face = Region(box, "face", 1.0, image)
                score = round(self.rng.uniform(0.5, 1), 6)
                found.append(WorldObject(frozenset(("face",)), face, obj.color, obj.salt, score))
        return found

    def _lines(self, image: WorldImage) -> list[WorldObject]:
        if not self.words.tools & {"find_lines", "intersections"} and "line" not in self.words.nouns:
            return []
        found = []
        for _ in range(self.rng.randint(0, 6)):
            points = [Point(self.rng.uniform(0, WIDTH), self.rng.uniform(0, HEIGHT)) for _ in range(3)]
            color = self._color()
            line = Line(tuple(points), color, image)
            found.append(
                WorldObject(
                    frozenset(("line",)), line, color, self._salt(), round(self.rng.uniform(0.5, 1), 6)
                )
            )
        return found

    def _texts(self, objects: Sequence[WorldObject], image: WorldImage) -> list[Region]:
        """Writing on some objects and beside them, in reading order."""
        rng = self.rng
        asked = [w for sought in self.words.texts for w in {sought, *sought.split()}]
        places = [t.box for t in objects if t.nouns.isdisjoint({"face", "line"}) and rng.random() < 0.5]
        places += [
            Box(x, y, x + 60, y + 20)
            for x, y in ((5.5, 5.5), (520.5, 440.5), (5.5, 450.5))
            if rng.random() < 0.6
        ]
        found, wanted = [], rng.choice((0.0, 0.3, 0.7))
        for at in places:
            x, y = at.center.x + rng.uniform(-1, 1), at.center.y + rng.uniform(-1, 1)
            half = at.width / 8
            word, number = rng.choice(_WORDS), rng.randint(100, 999)
            text = rng.choice((f"{word} {number}", f"{word} {rng.choice(_WORDS)}", f"{number}"))
            if asked and rng.random() < wanted:
                text = rng.choice(asked)
            found.append(Region(Box(x - half, y - 1, x + half, y + 1), text, 1.0, image))
        return sorted(found, key=lambda t: (t.center.y, t.center.x))


def _is_clear(a: Box, b: Box) -> bool:
    """Whether two boxes lie apart, or one lies well within the other."""
    shared = a.intersection(b)
    return shared is None or shared.area > 0.98 * min(a.area, b.area)


def _base(noun: str, rng: random.Random) -> set[str]:
    """Further nouns of a person with a role."""
    if noun in ("man", "woman"):
        return {noun, "adult"}
    if noun in ("boy", "girl"):
        return {noun, "child"}
    fits = [base for base in _BASES if _suits(noun, base[0])]
    return set(rng.choice(fits))


def _suits(role: str, base: str) -> bool:
    """Whether a person with this role may be a man, a woman, a boy or a girl."""
    for one, other in (("man", "woman"), ("woman", "man")):
        if is_a(role, one) and base in (other, "boy", "girl"):
            return False
    child = is_a(role, "child") or role in ("pupil", "student")
    return child == (base in ("boy", "girl"))


def _shape(noun: str, box: Box, color: str, image: WorldImage) -> Located:
    center = box.center
    radius = min(box.width, box.height) / 2
    if noun == "circle":
        return Circle(center, radius, color, image)
    corners = _CORNERS.get(noun, 4)
    turn = math.pi / 4 if noun in ("square", "rectangle", "trapezoid", "parallelogram") else math.pi / 2
    points = []
    for i in range(corners):
        reach = radius * (0.45 if noun == "star" and i % 2 else 1.0)
        angle = turn + 2 * math.pi * i / corners
        wide = 0.7 if noun in ("rectangle", "parallelogram") else 1.0
        points.append(Point(center.x + reach * math.cos(angle), center.y + wide * reach * math.sin(angle)))
    return Polygon(tuple(points), color, image)


def edges(box: Box) -> tuple[float, float, float, float]:
    """Left, top, right and bottom: the identity of a box."""
    return box.left, box.top, box.right, box.bottom

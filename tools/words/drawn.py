"""Phrases for drawn shapes: "small black triangle", "block", "tower", "left box".

A phrase is any of a size, a form, a colour and a place, in any order, and a noun; the place may also follow ("on the
left"), and of towers what they are made of ("tower of three blocks").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from visprog.values.colors import NAMES, SYNONYMS

from .phrase import TONES, Phrase, read_phrase, read_yaml, singular

SHAPES = frozenset(("circle", "disc", "disk", "ring", "shape", "geometric shape", "geometric figure"))
"""Nouns, next to those of polygons and lines, that mean a shape in any image."""

IN_ROWS = frozenset(("box", "panel", "tower"))
"""Kinds that stand side by side or one below another, of which one can be the middle one."""

POLYGONS = frozenset(
    ("polygon", "triangle", "square", "rectangle", "diamond", "rhombus", "parallelogram", "trapezoid",
     "quadrilateral", "pentagon", "hexagon", "heptagon", "octagon", "star")
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """A phrase for something drawn.

    Attributes:
        kind: Kind of shape: circle, line, a kind of polygon, thing (any), block, box, panel or tower.
        noun: Noun of the phrase, in the singular.
        color: Colour; "" for any.
        size: "small", "medium" or "large"; "" for any.
        places: Places that all hold: left, right, top, bottom, middle.
        count: Number of blocks in a tower; 0 for any.
    """

    kind: str
    noun: str
    color: str = ""
    size: str = ""
    places: tuple[str, ...] = ()
    count: int = 0

    @property
    def is_shape(self) -> bool:
        """Whether the noun means a shape in any image; a ball, a box or a square object may be a real one."""
        return read_yaml("drawn")["nouns"][self.noun] in POLYGONS | {"line"} or self.noun in SHAPES


def read_drawn(phrase: Phrase) -> Drawn | None:
    """The drawn shapes that a phrase names; None if it names nothing drawn."""
    table = read_yaml("drawn")
    sizes, places, nouns, forms = table["sizes"], table["places"], table["nouns"], table["forms"]
    text = re.sub(r"[- ](?:sized?|shaped)\b", "", phrase.whole)
    found_places: list[str] = []
    if after := re.fullmatch(table["after"], text):
        text = singular(after["thing"])
        found_places += [places[w] for w in re.split(r"[\s-]+", after["place"]) if w in places]
    if made := re.fullmatch(table["made"], text):
        return _made_of(made, tuple(found_places))
    words = text.split()
    size, form, count, colors = "", "", 0, list[str]()
    while words and " ".join(words) not in nouns:
        word, *words = words
        if word in sizes and not size:
            size = sizes[word]
        elif not form and (word in forms or nouns.get(word) in POLYGONS | {"circle"}):
            form = forms.get(word) or nouns[word]
        elif not count and (per := re.fullmatch(table["per"], word)) and _number(per["count"]):
            count = _number(per["count"])
        elif all(part in places for part in word.split("-")):
            found_places += [places[part] for part in word.split("-")]
        elif word in TONES or word in NAMES or word in SYNONYMS:
            colors.append(word)
        elif word not in table["fillers"]:
            return None
    if not words or (colors and all(word in TONES for word in colors)):
        return None
    noun = " ".join(words)
    kind = _formed(nouns[noun], form)
    if not kind or (size and kind == "line") or (count and kind != "tower"):
        return None
    if "middle" in found_places and kind not in IN_ROWS:
        return None
    return Drawn(kind, noun, " ".join(colors), size, tuple(found_places), count)


def _made_of(made: re.Match[str], places: tuple[str, ...]) -> Drawn | None:
    """A tower of a number of blocks, or of blocks of one colour; None if the phrase says something else of it.

    What a tower is made of holds for all of it, what it is "with" may be a part.
    """
    tower, blocks = (read_drawn(read_phrase(made[part])) for part in ("tower", "blocks"))
    if tower is None or tower.kind != "tower" or blocks is None:
        return None
    count = _number(made["blocks"].split()[0])
    of_all = made["how"] != "with"
    if blocks != Drawn("block", blocks.noun, blocks.color if of_all else "") or not (of_all or count):
        return None
    if (tower.color and blocks.color) or (tower.count and count):
        return None
    return replace(
        tower, color=tower.color or blocks.color, places=tower.places + places, count=tower.count or count
    )


def _number(word: str) -> int:
    """The number of a number word or numeral; 0 if it is none."""
    return int(word) if word.isdecimal() else int(read_yaml("drawn")["numbers"].get(word, 0))


def _formed(kind: str, form: str) -> str:
    """The kind of a shape that has a form: a round object is a circle; "" if there is no such kind."""
    if not form or kind == form or (kind == "block" and form == "rectangle"):
        return kind
    return form if kind == "thing" or (kind == "block" and form == "square") else ""

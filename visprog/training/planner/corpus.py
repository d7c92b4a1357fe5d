"""Questions and their programs, without end, from a grammar of templates.

`questions/*.yaml` hold what people might ask, `programs.yaml` what each pattern of question means, and
`questions/words.yaml` the words. A sample is drawn in three steps: a pattern and one of its templates; things,
colours, numbers and relations for its slots; then the wear that real questions show (openings, lower case, typos,
lost punctuation). Part of the nouns are invented, so that a model has to copy a word rather than know it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import yaml

from visprog.planner.embedded.vocabulary import QUESTION

NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen twenty"
).split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth".split()
EMOJI = ("smile", "sad", "heart", "star", "cool", "laugh", "angry", "wink", "surprised")
POSTURES = (
    "sitting",
    "standing",
    "lying",
    "placed",
    "parked",
    "hanging",
    "resting",
    "waiting",
    "that is",
    "seen",
)
ROUND = ("circle", "circle", "circle", "disc", "disk", "ring", "dot", "round shape")
POLYGONS = (
    "triangle square rectangle pentagon hexagon heptagon octagon diamond rhombus star polygon quadrilateral "
    "parallelogram trapezoid shape"
).split()
FIGURES = "oval ellipse heart cross arrow crescent moon spiral cube cylinder cone sphere".split()
"""Shapes that no tool measures."""

GENERIC = ("thing", "thing", "object", "item")
"""Nouns for whatever it is, told apart by a colour or nothing."""

ASKING = frozenset(
    "what which who where how why when is are do does did can could has have was were will would am".split()
)

PARTICLES = "ah lah na ma eh ya leh lor isit innit mate man".split()
"""Said at the end, by many speakers of English."""

UNCOUNTED = frozenset("black white red make-up jewellery music chess tennis football water".split())
"""Objects of conditions that have no article."""

SIDES = ("left of", "right of", "above", "below")
HALVES = {"left": ("left",), "right": ("right",), "top": ("top",), "bottom": ("bottom",)} | {
    f"{v} {h}": (v, h) for v in ("top", "bottom") for h in ("left", "right")
}
PATTERN_WEIGHT = {
    "out_of_scope": 1.5, "count": 6.0, "exists": 6.0, "rel_exists": 5.0, "color_of": 5.0, "rel_count": 7.0,
    "attr_is": 5.0, "attr_or": 5.0, "text_exists": 5.0,
} | dict.fromkeys(
    "exists_statement not_exists count_color count_sum count_diff more fewer which_more is_color color_or "
    "classify_scene classify_or is_cond does_do count_cond count_does exists_cond count_attr all_color any_color where "
    "find_all ordinal_find extreme_find extreme_color nearest_find rel_statement rel_color read_obj read_number "
    "read_image find_text count_text exists_and3 exists_or3 count_diff_fewer which_taller which_left which_higher "
    "all_rel any_text_on which_closer_to not_color not_attr count_color_or imgs_which imgs_each imgs_total imgs_any "
    "imgs_all cover_blur blur_background count_shapes".split(),
    3.0,
)  # fmt: skip
"""How often a pattern is drawn, next to the root of its number of templates."""


class Sample(NamedTuple):
    """A question, whether it is about several images, and the program that answers it."""

    question: str
    several: bool
    program: str
    pattern: str


@cache
def words() -> dict[str, Any]:
    """The word lists."""
    return dict(yaml.safe_load((files(__package__) / "questions" / "words.yaml").read_text()))


@cache
def _programs() -> dict[str, str]:
    return dict(yaml.safe_load((files(__package__) / "programs.yaml").read_text()))


@cache
def templates() -> dict[str, dict[str, list[str]]]:
    """Pattern → way of speaking → its question templates."""
    found: dict[str, dict[str, list[str]]] = {}
    folder = files(__package__) / "questions"
    written = [("plain", file) for file in folder.iterdir() if file.name != "words.yaml"]
    written += [(file.name.removesuffix(".yaml"), file) for file in (folder / "ways").iterdir()]
    for way, file in sorted(written, key=lambda pair: (pair[0], pair[1].name)):
        if file.name.endswith(".yaml"):
            for pattern, questions in yaml.load(file.read_text(), yaml.CSafeLoader).items():
                found.setdefault(pattern, {}).setdefault(way, []).extend(questions)
    return found


@dataclass
class NounPhrase:
    """What a phrase such as "red wooden chairs" names, and how a program finds it."""

    noun: str
    plural: str
    kind: str = "object"  # object | face | circle | polygon | line
    color: str = ""
    attribute: str = ""
    size: str = ""
    used: str = ""  # the form of the noun that the question shows, which the program copies

    def phrase(self, plural: bool) -> str:
        self.used = self.used or (self.plural if plural else self.noun)
        before = [self.attribute, self.color] if self.kind == "object" else [self.color]
        return " ".join(w for w in (*before, self.size, self.plural if plural else self.noun) if w)

    def find(self, image: str) -> str:
        """The expression for the list of them in `image`."""
        noun = self.used or self.noun
        color = f", {quote(self.color)}" if self.color else ""
        if self.kind == "circle":
            return f"find_circles({image}{color})"
        if self.kind == "line":
            return f"find_lines({image}{color})"
        if self.kind == "polygon":
            found = f"find_polygons({image}, {quote(noun)}{color})"
            return f"find_circles({image}{color}) + {found}" if self.noun == "shape" else found
        found = (
            f"find_faces({image})"
            if self.kind == "face"
            else (f"detect({image}, {quote(' '.join(w for w in (self.size, noun) if w))})")
        )
        conditions = [f"has_color(x, {quote(self.color)})"] if self.color else []
        conditions += [f"verify(x, {quote(self.attribute)})"] if self.attribute else []
        return f"[x for x in {found} if {' and '.join(conditions)}]" if conditions else found


def quote(text: str) -> str:
    return f'"{text}"'


def article(phrase: str) -> str:
    return ("an " if phrase[:1].lower() in "aeiou" else "a ") + phrase


@dataclass
class Corpus:
    """An endless, seeded source of samples.

    Args:
        seed: equal seeds give equal samples.
        hold_out: a share of each pattern's templates that is left out…
        held_out: …or, if true, the only ones that are drawn.
    """

    seed: int = 0
    hold_out: float = 0.0
    held_out: bool = False
    wear: bool = True
    _random: random.Random = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._templates: dict[str, list[list[str]]] = {}
        for pattern, ways in templates().items():
            kept = [[t for t in said if self._takes(t)] for said in ways.values()]
            if any(kept):
                self._templates[pattern] = [said for said in kept if said]
        self._patterns = list(self._templates)
        self._weights = [
            sum(map(len, self._templates[p])) ** 0.5 * PATTERN_WEIGHT.get(p, 1.0) for p in self._patterns
        ]

    def _takes(self, template: str) -> bool:
        return (random.Random(template).random() < self.hold_out) == self.held_out

    def reseed(self, seed: int | str) -> None:
        """Start the sequence that belongs to another seed."""
        self._random.seed(seed)

    def __iter__(self) -> Iterator[Sample]:
        while True:
            yield self.draw()

    def draw(self, pattern: str = "") -> Sample:
        """One sample, of the named pattern if given."""
        r = self._random
        pattern = pattern or r.choices(self._patterns, self._weights)[0]
        template = r.choice(r.choice(self._templates[pattern]))
        several = pattern.startswith("imgs_")
        if not several and pattern in ("count", "exists") and r.random() < 0.04:
            several, body = True, _programs()["imgs_total" if pattern == "count" else "imgs_any"]
        else:
            body = _programs()[pattern]
        if pattern == "out_of_scope":
            several = r.random() < 0.1
        filler = _Filler(r, pattern)
        question = re.sub(r" ?\{place\?\}", filler.maybe_place if not several else "", template)
        question = re.sub(r"\{([^{}]+)\}", lambda m: filler.slot(m[1]), question)
        if body.strip() == "unsure":
            program = "unsure\n"
        else:
            body = re.sub(r"\{(\w+)\}", lambda m: filler.code(m[1]), body)
            lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
            program = f"def answer({'images' if several else 'image'}):\n{lines}"
        if self.wear:
            question = self._worn(question, several, filler)
        return Sample(" ".join(question.split()), several, program, pattern)

    def _worn(self, question: str, several: bool, filler: _Filler) -> str:
        """The question as people type it: with openings and endings, or without capitals and commas."""
        r, table = self._random, words()
        protected = filler.copied
        opening, ending = r.random(), r.random()
        if opening < 0.25:
            asks = question.split()[0].lower() in ASKING
            pool = (
                table["prefixes_question" if asks else "prefixes_request"]
                if r.random() < 0.6
                else table["prefixes"]
            )
            start = (
                str(r.choice(table["prefixes_direct"]))
                if r.random() < 0.3
                else f"{str(r.choice(pool)).rstrip(',:.')}{r.choice((',', '', ''))} "
            )
            question = filler.fixed(start).rstrip() + " " + question[:1].lower() + question[1:]
        if ending < 0.18 and not several:
            mark = question[-1] if question[-1] in "?.!" else ""
            question = question.rstrip("?.!") + filler.fixed(str(r.choice(table["suffixes"]))) + mark
        if r.random() < 0.05:  # a word that says nothing
            parts = question.split()
            at = r.randrange(1, len(parts)) if len(parts) > 1 else 0
            if not any(c in protected for c in parts[max(at - 1, 0) : at + 1]):
                parts.insert(
                    at,
                    r.choice(("actually", "really", "just", "exactly", "kindly", "perhaps", "now", "even")),
                )
                question = " ".join(parts)
        if r.random() < 0.02:
            question = f"{question.rstrip('?.! ')} {r.choice(PARTICLES)}"
        if r.random() < 0.05:  # a slip of the finger
            parts = question.split()
            free = [
                i for i, w in enumerate(parts) if w.strip("?.,!\"'").lower() not in protected and len(w) > 3
            ]
            if free:
                i = r.choice(free)
                at = r.randrange(1, len(parts[i]) - 1)
                w = parts[i]
                parts[i] = r.choice(
                    (w[:at] + w[at + 1 :], w[:at] + w[at + 1] + w[at] + w[at + 2 :], w[:at] + w[at] + w[at:])
                )
                question = " ".join(parts)
        if r.random() < 0.25:
            question = question.rstrip("?.!")
        if r.random() < 0.05:
            question = question.rstrip("?.") + r.choice(("??", "!", "...", " ?"))
        return question


class _Filler:
    """Draws what fills the slots of one sample, the same in the question and in the program."""

    def __init__(self, r: random.Random, pattern: str) -> None:
        self.r, self.pattern = r, pattern
        self.values: dict[str, str] = {}
        self.noun_phrases: dict[str, NounPhrase] = {}
        self.place = ""
        self.copied: set[str] = set()
        self.words = words()

    # -- the question's side ----------------------------------------------------------------------

    def slot(self, name: str) -> str:
        text = self._slot(name)
        self.copied.update(w.strip("\"'").lower() for w in text.split())
        return text

    def fixed(self, text: str) -> str:
        return text.replace("{img}", str(self.r.choice(self.words["image_words"]))).replace(
            "{imgs}", "images"
        )

    def maybe_place(self, match: re.Match[str]) -> str:
        chance = self.r.random()
        if chance < 0.08 and not self.place:
            return " " + str(self.r.choice(self.words["scenes"]))
        return " " + self._place() if chance < 0.38 else ""

    def _place(self) -> str:
        if not self.place:
            self.place = self.r.choice(list(HALVES)[:4] * 3 + list(HALVES))
            text = str(self.r.choice(self.words["places"][self.place]))
            if self.r.random() < 0.3:
                text += " of the " + str(self.r.choice(self.words["image_words"]))
            self.values["place"] = text
            self.copied.update(text.split())
        return self.values["place"]

    def _slot(self, name: str) -> str:
        r, words = self.r, self.words
        if name in self.values:
            return self.values[name]
        if match := re.fullmatch(r"(the_|an?_)?(obj|shape)(s?)(\d?)", name):
            kind = "shape" if match[2] == "shape" else "object"
            item = self.noun_phrase(match[4], kind)
            phrase = item.phrase(bool(match[3]))
            if match[1] == "the_":
                return r.choices(("the ", "this ", "that ", "my "), (30, 1, 1, 0.5))[0] + phrase
            return (phrase if item.plural == item.noun else article(phrase)) if match[1] else phrase
        if name == "img":
            return str(r.choice(words["image_words"]))
        if name == "imgs":
            return r.choice(("images", "pictures", "photos", "photographs", "shots", "pics"))
        value = self._value(name)
        self.values[name] = value
        return value

    def _value(self, name: str) -> str:
        r, words = self.r, self.words
        if re.fullmatch(r"color\d?", name):
            taken = set(self.values.values())
            return r.choice([str(c) for c in self._colors() if c not in taken])
        if name == "color?":
            return r.choice(("", "", str(r.choice(self._colors()))))
        if re.fullmatch(r"attr\d?", name):
            pool = words["attributes"] if r.random() < 0.5 else words["predicates"]
            return invented(r) if r.random() < 0.05 else str(r.choice(pool))
        if name == "n":
            n = r.choice((2, 2, 2, 3, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20))
            self.values["n_code"] = str(n)
            return NUMBERS[n] if r.random() < 0.6 else str(n)
        if name in ("n1", "n2"):
            low = r.randrange(1, 9)
            high = low + r.randrange(1, 6) if self.pattern == "between_n" else r.randrange(1, 9)
            for slot, n in (("n1", low), ("n2", high)):
                self.values[f"{slot}_code"] = str(n)
                self.values[slot] = NUMBERS[n] if r.random() < 0.5 else str(n)
            return self.values[name]
        if name in ("cond", "do", "does"):
            return self._condition(name)
        if name in ("alt1", "alt2"):
            for slot, text in zip(("alt1", "alt2"), r.sample(r.choice(words["scene_kinds"]), 2), strict=True):
                self.values[slot] = str(text)
            return self.values[name]
        if name in ("part", "an_part", "parts"):
            part = str(r.choice(words["parts"]))
            text = pluralise(part) if name == "parts" and part not in words["mass"] else part
            self.values["part_code"] = text
            return article(text) if name == "an_part" and not text.endswith("s") else text
        if name == "ord":
            i = r.choice((1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 7, 8))
            last = r.random() < 0.06 and not self.pattern.startswith("nth_")
            self.values["ord_code"] = "-1" if last else str(i)
            if last:
                return "last"
            return (
                ORDINALS[i - 1] if r.random() < 0.7 else f"{i}{('st', 'nd', 'rd')[i - 1] if i < 4 else 'th'}"
            )
        if name == "end":
            end = r.choice(("left", "left", "right", "right", "top", "bottom"))
            self.values["end_code"] = end
            return r.choice(
                (f"from the {end}", f"from {end}", f"counting from the {end}", f"from the {end} side")
            )
        if name == "extreme":
            helper = r.choice(list(words["superlatives"]))
            self.values["extreme_code"] = helper
            return str(r.choice(words["superlatives"][helper]))
        if re.fullmatch(r"rel[12]?", name):
            method = r.choice(list(words["relations"]))
            self.values[f"{name}_code"] = method
            phrase = str(r.choice(words["relations"][method]))
            return f"{r.choice(POSTURES)} {phrase}" if r.random() < 0.12 else phrase
        if name in ("rel_lr", "crop_rel"):
            word = r.choice(SIDES)
            self.values["rel_lr_code"] = word
            return word if word in ("above", "below") else f"to the {word}"
        if name == "side":
            side = r.choice(("left", "right", "top", "bottom"))
            self.values["side_code"] = side
            return side
        if name == "place":
            return self._place()
        if name == "emoji":
            return r.choice((*EMOJI, invented(r)))
        if name == "text":
            return self._text()
        raise KeyError(f"pattern '{self.pattern}' uses the unknown slot {{{name}}}")

    def _condition(self, form: str) -> str:
        """What is worn, held or done, as "wearing a hat" (cond), "wear a hat" (do) or "wear hats" (does)."""
        r = self.r
        if form == "cond" and r.random() < 0.25:
            return str(r.choice([p for p in self.words["predicates"] if " " in p]))
        verb, participle, objects = r.choice(self.words["conditions"])
        item = str(r.choice(objects))
        countable = not (
            re.match(r"(on|in|at|to|into|the|down|up|with)\b", item)
            or item.endswith(("s", "hair"))
            or item in self.words["mass"]
            or item in UNCOUNTED
        )
        if form == "does" and countable:
            return f"{verb} {pluralise(item) if r.random() < 0.7 else article(item)}"
        return f"{participle if form == 'cond' else verb} {article(item) if countable else item}"

    def _colors(self) -> list[str]:
        colors = list(self.words["colors"])
        return colors[:12] * 4 + colors

    def _text(self) -> str:
        r = self.r
        word = r.choice(
            (invented(r), str(r.choice(self.words["nouns"])), str(r.choice(self.words["attributes"])))
        )
        if r.random() < 0.25:
            word += " " + r.choice((invented(r), str(r.choice(self.words["nouns"])), str(r.randrange(100))))
        if r.random() < 0.12:
            word = str(r.randrange(10000))
        self.values["text_code"] = word.lower()
        word = r.choice((word, word.upper(), word.title()))
        mark = r.choice(('"', '"', "'", ""))
        return mark + word + mark

    def noun_phrase(self, number: str, kind: str = "object") -> NounPhrase:
        """The noun phrase of that slot number, drawn at its first use."""
        if number not in self.noun_phrases:
            others = list(self.noun_phrases.values())
            if others and others[0].color and self.r.random() < 0.15:  # of the same kind, in another colour
                colors = [c for c in self._colors() if c != others[0].color]
                self.noun_phrases[number] = replace(others[0], color=str(self.r.choice(colors)), used="")
            else:
                while (item := self._draw(kind)).noun in {t.noun for t in others}:
                    pass
                self.noun_phrases[number] = item
        return self.noun_phrases[number]

    def _draw(self, kind: str) -> NounPhrase:
        r, words = self.r, self.words
        spread = r.random()
        plain = self.pattern.startswith(("classify", "color", "same_color", "different_color"))
        color = "" if plain or r.random() > 0.22 else str(r.choice(self._colors()))
        if "color" in self.pattern and r.random() < 0.8:
            color = ""
        if kind == "shape" or (spread < 0.09 and not plain):
            spread = r.random()
            if spread < 0.2:
                noun = r.choice(FIGURES)
                return self._dressed(NounPhrase(noun, pluralise(noun)), color)
            spread = r.random()
            if spread < 0.34:
                noun, found = r.choice(ROUND), "circle"
            elif spread < 0.40 and kind != "shape":
                noun, found = "line", "line"
            else:
                noun, found = r.choice(POLYGONS), "polygon"
            if found != "line" and r.random() < 0.15:  # no tool measures by such words
                return NounPhrase(noun, pluralise(noun), color=color, size=str(r.choice(words["sizes"])))
            return NounPhrase(noun, pluralise(noun), found, color if r.random() < 0.8 else "")
        if spread < 0.13 and not plain:
            return NounPhrase("face", "faces", "face")
        if spread < 0.17 and not plain:
            noun = r.choice(GENERIC)
            return NounPhrase(noun, pluralise(noun), color=color or str(r.choice(["", *self._colors()[:12]])))
        if spread < 0.28:
            noun = invented(r)
            return self._dressed(NounPhrase(noun, noun + ("es" if noun[-1] in "sxz" else "s")), color)
        if spread < 0.33:
            noun = f"{r.choice(words['nouns'])} {r.choice(words['nouns'])}"
            return self._dressed(NounPhrase(noun, pluralise(noun)), color)
        if spread < 0.37:
            noun = str(r.choice(words["mass"]))
            return self._dressed(NounPhrase(noun, noun), color)
        noun = str(r.choice(words["everyday"] if r.random() < 0.6 else words["nouns"]))
        return self._dressed(NounPhrase(noun, noun if noun == "people" else pluralise(noun)), color)

    def _dressed(self, item: NounPhrase, color: str) -> NounPhrase:
        r = self.r
        first = item.noun.split()[0]
        if first in self.words["colors"] or first in self.words["attributes"]:
            return item
        item.color = color
        if r.random() < 0.08:
            item.attribute = str(r.choice(self.words["attributes"]))
        elif r.random() < 0.06:
            item.size = str(r.choice(self.words["sizes"]))
        return item

    # -- the program's side -----------------------------------------------------------------------

    def _region(self) -> str:
        """The image, or the part of it that the place names."""
        image = "image"
        for side in HALVES.get(self.place, ()):
            image = f"crop_half({image}, {quote(side)})"
        return image

    def code(self, name: str) -> str:
        if match := re.fullmatch(r"([SOL])(\d?)", name):
            item = self.noun_phrase(match[2])
            if match[1] == "L":
                return quote(item.phrase(item.used == item.plural))
            found = item.find(self._region())
            return f"best({found})" if match[1] == "O" else found
        if name == "question":
            return quote(QUESTION)
        if name == "image":
            return self._region()
        if name == "nth":
            n = int(self.values.get("ord_code", "1"))
            end = self.values.get("end_code", "left")
            order = "left_to_right" if end in ("left", "right") else "top_to_bottom"
            n = -n if end in ("right", "bottom") else n
            return f"nth({order}({self.noun_phrase('').find(self._region())}), {n})"
        if name == "crop_rel":
            if "rel_lr_code" in self.values:
                return self._half_plane(self.values["rel_lr_code"].replace(" ", "_"))
            return self._crop_of_relation()
        if name in ("lines", "polygons"):
            color = self.values.get("color?", "")
            tail = f", {quote(color)}" if color else ""
            return f"find_lines(image{tail})" if name == "lines" else f'find_polygons(image, "shape"{tail})'
        if name == "ordn":
            return self.values["ord_code"]
        if name in ("extreme", "rel", "rel1", "rel2", "n", "n1", "n2"):
            return self.values[f"{name}_code"]
        if name == "side":
            return quote(self.values["side_code"])
        if name in ("text", "part"):
            return quote(self.values[f"{name}_code"])
        if name == "emoji":
            return f", {quote(self.values['emoji'])}" if "emoji" in self.values else ""
        return quote(self.values[name])

    def _crop_of_relation(self) -> str:
        """Where to look for what stands in a relation to an object: the half plane, or the object's surroundings."""
        method = self.values.get("rel_code", "")
        if method.replace("_", " ") in SIDES:
            return self._half_plane(method)
        return f"crop(image, best({self.noun_phrase('').find('image')}), 1)"

    def _half_plane(self, side: str) -> str:
        return f"crop_{side}(image, best({self.noun_phrase('').find('image')}))"


def pluralise(noun: str) -> str:
    """The plural of an English noun, by the list of irregular ones and the rules of spelling."""
    irregular = words()["plurals"]
    if noun in irregular:
        return str(irregular[noun])
    head, _, last = noun.rpartition(" ")
    if last in irregular:
        last = str(irregular[last])
    elif re.search(r"(s|x|z|ch|sh)$", last):
        last += "es"
    elif re.search(r"[^aeiou]y$", last):
        last = last[:-1] + "ies"
    else:
        last += "s"
    return f"{head} {last}".strip()


def invented(r: random.Random) -> str:
    """A word that nobody knows, to be copied letter by letter."""
    onset = "b br c ch cl d dr f fl g gl gr h j k kl l m n p pl qu r s sh sk sl st t tr v w z".split()
    vowel = "a e i o u oo ea ai ou".split()
    coda = "b ck d ff g l ll m n nk p r rd rk s st t x ng sk".split()
    syllables = r.choice((1, 2, 2, 2, 3))
    word = "".join(
        r.choice(onset) + r.choice(vowel) + (r.choice(coda) if r.random() < 0.5 else "")
        for _ in range(syllables)
    )
    return word if len(word) > 2 else word + r.choice(coda)

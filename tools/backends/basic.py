"""`classify`, `match` and `verify` without a model: colour, brightness, and the form of the image.

They refuse everything that the pixels themselves do not show.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from visprog.errors import Refused, ToolError
from visprog.registry import answer_each
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.colors import NAMES, accepts, parse
from visprog.values.image import Image

from ..color import has_color
from ..imaging import object_colors
from ..imaging.flatness import is_drawing
from ..imaging.object_colors import likely_colors
from ..imaging.thinned import lightness, thinned
from ..words.meaning import AFTER_NOUN
from ..words.phrase import PREPOSITIONS, read_phrase, singular

BRIGHT = frozenset(("bright", "well-lit", "light-filled"))
DARK = frozenset(("dark", "dim", "gloomy"))
FORMS = {"landscape": "landscape", "horizontal": "landscape", "portrait": "portrait", "vertical": "portrait",
         "square": "square"}  # fmt: skip
HUES = frozenset(NAMES) | {
    "gray", "crimson", "scarlet", "maroon", "burgundy", "golden", "teal", "turquoise", "navy", "azure",
    "magenta", "fuchsia",
}  # fmt: skip
"""Words that name a colour and nothing else. "lemon" or "rose" may mean the object."""

TONES = frozenset(("dark", "deep", "light", "pale", "bright", "vivid"))
IMAGES = frozenset(("image", "picture", "photo", "photograph"))
FILLERS = frozenset(
    ("is", "are", "it", "this", "that", "the", "its", "in", "color", "colour", "colored", "coloured",
     "format", "orientation", "mostly", "mainly")
)  # fmt: skip
PEOPLE = frozenset(
    ("person", "human", "man", "woman", "boy", "girl", "child", "kid", "baby", "adult", "face", "pedestrian",
     "player", "worker", "rider", "driver", "customer", "guest", "guy", "lady", "gentleman")
)  # fmt: skip
"""Nouns for persons: the colour that a sentence gives to a person is rarely that of the pixels."""

PROPERTIES = HUES | DARK | BRIGHT | FORMS.keys()
"""Words for properties that pixels show."""


@dataclass(frozen=True, slots=True)
class Property:
    """A property that pixels show.

    Attributes:
        kind: "color", "light" or "form".
        value: A colour ("dark red"); "dark" or "bright"; "landscape", "portrait" or "square".
        negated: Whether the statement denies it.
    """

    kind: str
    value: str
    negated: bool = False


class _Basic:
    """Reads and refuses statements for the three tools.

    Args:
        model: Must be None.
    """

    process = "native"

    tool: ClassVar[str]
    parameter: ClassVar[str]

    @property
    def sees(self) -> Sees:
        """The properties that pixels show."""
        return Sees(
            'colour ("red", "dark blue"), "dark" and "bright", and the form of the image ("portrait", "landscape", '
            '"square"). It refuses all else: what an object is, does, wears or is made of.',
            {self.parameter: Parsed(self._check)},
        )

    def _check(self, text: str) -> None:
        """Raise `Refused` for a text about more than pixels show, whatever object it is about."""
        words = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())
        words += [part for word in words if "-" in word for part in word.split("-")]
        more = (AFTER_NOUN | PREPOSITIONS) - FILLERS
        if more & set(words) or PEOPLE & set(map(singular, words)) or not PROPERTIES & set(words):
            raise self._refusal(f"whether '{text}' is true")

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError(
                f'the basic backend of {self.tool} takes no model: set backend = "siglip" or "clip" for one'
            )

    def _read(self, image: Image | Region, text: str) -> Property:
        found = read_property(image, text)
        if found is None:
            raise self._refusal(f"whether '{text}' is true of this")
        return found

    def _refusal(self, what: str) -> Refused:
        return Refused(
            f"without a vision-language model, {self.tool} sees colour, brightness and the form of the "
            f"image, and cannot tell {what}: run 'visprog models setup', or set backend = \"siglip\" under "
            f"[tools.{self.tool}] in visprog.toml, after pip install 'visprog[hf]'"
        )


class BasicVerifier(_Basic):
    """Colours ("red", "the car is dark blue"), "dark", "bright", and the form of the image ("portrait")."""

    tool = "verify"
    parameter = "statement"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.verify)

    def verify(self, image: Image | Region, statement: str) -> bool:
        """One statement.

        Raises:
            Refused: Pixels alone do not show it; the message names a backend that would see it.
        """
        wanted = self._read(image, statement)
        if wanted.kind == "color":
            true = bool(has_color(image, wanted.value))
        elif wanted.kind == "light":
            light = lightness(image)
            true = light < 35 if wanted.value == "dark" else light > 65
        else:
            true = form(image) == wanted.value
        return true != wanted.negated


class BasicMatcher(_Basic):
    """The share of a colour; the darkness or brightness; 1 or 0 for the form of the image."""

    tool = "match"
    parameter = "text"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.match)

    def match(self, image: Image | Region, text: str) -> float:
        """One text.

        Raises:
            Refused: Pixels alone do not show it; the message names a backend that would see it.
        """
        wanted = self._read(image, text)
        if wanted.kind == "color":
            (fit,) = color_shares(image, [wanted.value])
        elif wanted.kind == "light":
            light = lightness(image) / 100
            fit = 1 - light if wanted.value == "dark" else light
        else:
            fit = float(form(image) == wanted.value)
        return 1 - fit if wanted.negated else fit


class BasicClassifier(_Basic):
    """Options that are all colours, or all of "dark" and "bright", or all forms of the image."""

    tool = "classify"
    parameter = "options"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.classify)

    def classify(self, image: Image | Region, options: list[str]) -> str:
        """One choice.

        Raises:
            Refused: Pixels alone do not show it, or none of the colours is there.
            ToolError: There are no options.
        """
        if not options:
            raise ToolError("classify was given no options to choose from")
        found = [read_property(image, option) for option in options]
        wanted = [p for p in found if p is not None and not p.negated]
        if len(wanted) < len(options) or len({p.kind for p in wanted}) > 1:
            raise self._refusal("which it is of " + ", ".join(f"'{option}'" for option in options))
        if wanted[0].kind == "light":
            light = lightness(image)
            fits = [100 - light if p.value == "dark" else light for p in wanted]
        elif wanted[0].kind == "form":
            fits = [float(form(image) == p.value) for p in wanted]
        else:
            likely, named = likely_colors(image), [parse(p.value)[0] for p in wanted]
            chosen = [name for name in likely if name in named]
            if len(chosen) > 1:
                raise Refused(f"classify cannot tell {' from '.join(chosen)} here: ask has_color for each")
            shares = color_shares(image, [p.value for p in wanted])
            fits = [share + (name in chosen) for share, name in zip(shares, named, strict=True)]
        if max(fits) < 0.1:
            true = form(image) if wanted[0].kind == "form" else " or ".join(likely_colors(image))
            raise Refused(
                f"classify sees {true}, which is none of {', '.join(options)}: add it to the options"
            )
        return options[int(np.argmax(fits))]


def read_property(image: Image | Region, statement: str) -> Property | None:
    """The property that a statement is about; None if it is about more than pixels show.

    The name that a region was found by may stand in the statement ("a red car" of a region labelled "car").
    An article without such a name ("an orange") means an object, not a colour.
    """
    words = re.findall(r"[a-z]+(?:-[a-z]+)*|\S", statement.lower().replace("n't", " not").rstrip(" .!"))
    negated = words.count("not") == 1
    words = [w for w in words if w != "not"] if negated else words
    names = {singular(w) for w in _name(image).split()} if isinstance(image, Region) else set(IMAGES)
    named = any(singular(w) in names for w in words)
    if names & PEOPLE or (not named and {"a", "an"} & set(words)):
        return None
    rest = [w for w in words if w not in FILLERS | {"a", "an"} and singular(w) not in names - HUES]
    if not rest:
        return None
    if len(rest) == 1:
        for kind, values in (("light", DARK), ("light", BRIGHT), ("form", FORMS)):
            if rest[0] in values:
                value = "dark" if values is DARK else "bright" if values is BRIGHT else FORMS[rest[0]]
                return Property(kind, value, negated)
    hues = [w for word in rest for w in word.split("-") if w not in TONES]
    if len(hues) == 1 and hues[0] in HUES:
        return Property("color", " ".join(rest).replace("-", " "), negated)
    return None


def color_shares(image: Image | Region, names: Sequence[str]) -> list[float]:
    """The shares, 0 to 1, of the pixels that answer to each colour; in photographs in full light."""
    root = image.root if isinstance(image, Image) else image.image and image.image.root
    if root is not None and not is_drawing(root):
        return object_colors.color_shares(image, names)
    pixels, wanted = thinned(image), [parse(name) for name in names]
    shares = {each: float(accepts(pixels, each).mean()) for each in set(wanted)}
    return [shares[each] for each in wanted]


def form(image: Image | Region) -> str:
    """The form: "landscape", "portrait" or, within 2 %, "square"."""
    ratio = image.width / max(image.height, 1e-9)
    return "square" if abs(ratio - 1) <= 0.02 else "landscape" if ratio > 1 else "portrait"


def _name(region: Region) -> str:
    """The noun of a region's label; "" if there is none."""
    return read_phrase(region.label).noun if region.label.strip() else ""

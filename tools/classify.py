"""What a thing is, and whether a statement about it is true: `classify`, `match`, `verify`.

The backends here need nothing downloaded and answer only what the pixels themselves tell: colour, brightness,
and the form of the picture. Everything else they refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from visprog.errors import Refused, ToolError
from visprog.registry import tool
from visprog.registry.sees import Parsed, Sees
from visprog.values import Region
from visprog.values.colors import NAMES, accepts, parse, to_lab
from visprog.values.image import Image

from . import color
from .backends._each import answer_each
from .imaging.flatness import is_drawing
from .words.meaning import AFTER
from .words.phrase import PREPOSITIONS, read_phrase, singular

BRIGHT = frozenset(("bright", "well-lit", "light-filled"))
DARK = frozenset(("dark", "dim", "gloomy"))
FORMS = {"landscape": "landscape", "horizontal": "landscape", "portrait": "portrait", "vertical": "portrait",
         "square": "square"}  # fmt: skip
HUES = frozenset(NAMES) | {
    "gray", "crimson", "scarlet", "maroon", "burgundy", "golden", "teal", "turquoise", "navy", "azure",
    "magenta", "fuchsia",
}  # fmt: skip
"""Words that name a colour and nothing else. "lemon" or "rose" may ask for the thing."""

TONES = frozenset(("dark", "deep", "light", "pale", "bright", "vivid"))
PICTURES = frozenset(("image", "picture", "photo", "photograph"))
FILLERS = frozenset(
    ("is", "are", "it", "this", "that", "the", "its", "in", "color", "colour", "colored", "coloured",
     "format", "orientation", "mostly", "mainly")
)  # fmt: skip
PEOPLE = frozenset(
    ("person", "human", "man", "woman", "boy", "girl", "child", "kid", "baby", "adult", "face", "pedestrian",
     "player", "worker", "rider", "driver", "customer", "guest", "guy", "lady", "gentleman")
)  # fmt: skip
"""The colour that a sentence gives to a person is rarely that of the pixels."""

PIXELS = HUES | DARK | BRIGHT | FORMS.keys()
"""Words for what pixels tell."""


@tool(
    backends={
        "basic": "visprog.tools.classify:BasicClassifier",
        "embedded": "visprog.tools.backends.clip:EmbeddedClassifier",
        "clip": "visprog.tools.backends.clip:ClipClassifier",
        "siglip": "visprog.tools.backends.siglip:SiglipClassifier",
    },
    default="basic",
)
def classify(image: Image | Region, options: list[str]) -> str:
    """The one of the options that fits an image, or a thing found in it, best, spelled as given."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "basic": "visprog.tools.classify:BasicMatcher",
        "embedded": "visprog.tools.backends.clip:EmbeddedMatcher",
        "clip": "visprog.tools.backends.clip:ClipMatcher",
        "siglip": "visprog.tools.backends.siglip:SiglipMatcher",
    },
    default="basic",
)
def match(image: Image | Region, text: str) -> float:
    """How well a text fits an image or a thing found in it, 0 to 1. Use it to rank; to decide, use verify."""
    raise NotImplementedError  # a backend answers


@tool(
    backends={
        "basic": "visprog.tools.classify:BasicVerifier",
        "embedded": "visprog.tools.backends.clip:EmbeddedVerifier",
        "clip": "visprog.tools.backends.clip:ClipVerifier",
        "siglip": "visprog.tools.backends.siglip:SiglipVerifier",
    },
    default="basic",
)
def verify(image: Image | Region, statement: str) -> bool:
    """True if a statement, such as "a person wearing a hat" or "red", holds for an image or a thing in it."""
    raise NotImplementedError  # a backend answers


@dataclass(frozen=True, slots=True)
class Property:
    """Something that pixels tell.

    Attributes:
        kind: "color", "light" or "form".
        value: a colour ("dark red"); "dark" or "bright"; "landscape", "portrait" or "square".
        negated: the statement denies it.
    """

    kind: str
    value: str
    negated: bool = False


class _Basic:
    """What the three have in common: no weights, no options.

    Args:
        model: must be None.
    """

    tool: ClassVar[str]
    parameter: ClassVar[str]

    @property
    def sees(self) -> Sees:
        """Properties that pixels tell."""
        return Sees(
            'colour ("red", "dark blue"), "dark" and "bright", and the form of the image ("portrait", "landscape", '
            '"square"). It refuses all else: what a thing is, does, wears or is made of.',
            {self.parameter: Parsed(self._may_tell)},
        )

    def _may_tell(self, text: str) -> None:
        """Raises `Refused` for a text that is about more than pixels tell, whatever thing it is said of."""
        words = re.findall(r"[a-z]+(?:-[a-z]+)*", text.lower())
        words += [part for word in words if "-" in word for part in word.split("-")]
        more = (AFTER | PREPOSITIONS) - FILLERS
        if more & set(words) or PEOPLE & set(map(singular, words)) or not PIXELS & set(words):
            raise self._refusal(f"whether '{text}' is true")

    def __init__(self, model: str | None = None) -> None:
        if model is not None:
            raise ToolError(
                f'the basic backend of {self.tool} takes no model: set backend = "siglip" or "clip" for one'
            )

    def _read(self, thing: Image | Region, text: str) -> Property:
        found = read_property(thing, text)
        if found is None:
            raise self._refusal(f"whether '{text}' is true of this")
        return found

    def _refusal(self, what: str) -> Refused:
        return Refused(
            f"without a vision-language model, {self.tool} sees colour, brightness and the form of the "
            f'picture, and cannot tell {what}: set backend = "siglip" under [tools.{self.tool}] in '
            f"visprog.toml, after pip install 'visprog[hf]'"
        )


class BasicVerifier(_Basic):
    """Colours ("red", "the car is dark blue"), "dark", "bright", and the form of the picture ("portrait")."""

    tool = "verify"
    parameter = "statement"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.verify)

    def verify(self, image: Image | Region, statement: str) -> bool:
        """One statement.

        Raises:
            Refused: it takes more than pixels to tell; the message names what would see it.
        """
        asked = self._read(image, statement)
        if asked.kind == "color":
            true = bool(color.has_color(image, asked.value))
        elif asked.kind == "light":
            light = lightness(image)
            true = light < 35 if asked.value == "dark" else light > 65
        else:
            true = form(image) == asked.value
        return true != asked.negated


class BasicMatcher(_Basic):
    """How much is of a colour; how dark or bright it is; 1 or 0 for the form of the picture."""

    tool = "match"
    parameter = "text"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.match)

    def match(self, image: Image | Region, text: str) -> float:
        """One text.

        Raises:
            Refused: it takes more than pixels to tell; the message names what would see it.
        """
        asked = self._read(image, text)
        if asked.kind == "color":
            fit = color_share(image, asked.value)
        elif asked.kind == "light":
            light = lightness(image) / 100
            fit = 1 - light if asked.value == "dark" else light
        else:
            fit = float(form(image) == asked.value)
        return 1 - fit if asked.negated else fit


class BasicClassifier(_Basic):
    """Options that are all colours, or all of "dark" and "bright", or all forms of the picture."""

    tool = "classify"
    parameter = "options"

    def __call__(self, calls: list[dict[str, Any]]) -> list[Any]:
        return answer_each(calls, self.classify)

    def classify(self, image: Image | Region, options: list[str]) -> str:
        """One choice.

        Raises:
            Refused: it takes more than pixels to tell, or none of the colours is there.
            ToolError: there are no options.
        """
        if not options:
            raise ToolError("classify was given no options to choose from")
        found = [read_property(image, option) for option in options]
        asked = [p for p in found if p is not None and not p.negated]
        if len(asked) < len(options) or len({p.kind for p in asked}) > 1:
            raise self._refusal("which it is of " + ", ".join(f"'{option}'" for option in options))
        if asked[0].kind == "light":
            light = lightness(image)
            fits = [100 - light if p.value == "dark" else light for p in asked]
        elif asked[0].kind == "form":
            fits = [float(form(image) == p.value) for p in asked]
        else:
            likely, named = color.likely_colors(image), [parse(p.value)[0] for p in asked]
            chosen = [name for name in likely if name in named]
            if len(chosen) > 1:
                raise Refused(f"classify cannot tell {' from '.join(chosen)} here: ask has_color for each")
            fits = [
                color_share(image, p.value) + (name in chosen) for p, name in zip(asked, named, strict=True)
            ]
        if max(fits) < 0.1:
            seen = form(image) if asked[0].kind == "form" else " or ".join(color.likely_colors(image))
            raise Refused(
                f"classify sees {seen}, which is none of {', '.join(options)}: add it to the options"
            )
        return options[int(np.argmax(fits))]


def read_property(thing: Image | Region, statement: str) -> Property | None:
    """The property that a statement is about, or None where it is about more than pixels tell.

    The name that a region was found by may stand in the statement ("a red car" of a region labelled "car").
    An article without such a name ("an orange") means a thing, not a colour.
    """
    words = re.findall(r"[a-z]+(?:-[a-z]+)*|\S", statement.lower().replace("n't", " not").rstrip(" .!"))
    negated = words.count("not") == 1
    words = [w for w in words if w != "not"] if negated else words
    names = {singular(w) for w in _name(thing).split()} if isinstance(thing, Region) else set(PICTURES)
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


def lightness(thing: Image | Region) -> float:
    """Mean CIELAB lightness, 0 (black) to 100 (white)."""
    return float(to_lab(_pixels(thing)).mean(0)[0])


def color_share(thing: Image | Region, name: str) -> float:
    """The share, 0 to 1, of the pixels that answer to a colour; in photographs in full light."""
    root = thing.root if isinstance(thing, Image) else thing.image and thing.image.root
    if root is not None and not is_drawing(root):
        return color.color_share(thing, name)
    return float(accepts(_pixels(thing), parse(name)).mean())


def form(thing: Image | Region) -> str:
    """ "landscape", "portrait" or, within 2 %, "square"."""
    ratio = thing.width / max(thing.height, 1e-9)
    return "square" if abs(ratio - 1) <= 0.02 else "landscape" if ratio > 1 else "portrait"


def _name(region: Region) -> str:
    """The noun of a region's label; "" where there is none."""
    return read_phrase(region.label).noun if region.label.strip() else ""


def _pixels(thing: Image | Region) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """The pixels (N, 3) of an image, or of a region's mask or box, thinned to some 100,000.

    Raises:
        ToolError: the region does not know its picture.
    """
    if isinstance(thing, Image):
        picture, mask = thing, None
    elif thing.image is None:
        raise ToolError("this region does not know its picture: give crop(image, region)")
    else:
        picture, mask = thing.image.crop(thing.box), thing.mask
    step = max(1, int((picture.width * picture.height / 100_000) ** 0.5))
    pixels = picture.pixels[::step, ::step]
    inside = None if mask is None else mask.within(picture.box)[::step, ::step]
    return pixels[inside] if inside is not None and inside.any() else pixels.reshape(-1, 3)
